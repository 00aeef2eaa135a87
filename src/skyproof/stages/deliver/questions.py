"""What a customer may ask: a valid forecast request, and its canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from skyproof.domain.times import format_instant
from skyproof.stages.deliver.daily_names import DAILY
from skyproof.stages.deliver.parameters import UNIT_CHOICES
from skyproof.stages.deliver.thresholds import Threshold

MOST_PARAMETERS = 64
MOST_PLACES = 1000
MOST_LEVELS = 99
MOST_MEMBERS = 1000


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one parameter. ``kind`` is that of the error it would be alone."""

    parameter: str
    value: str
    kind: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """One place as it was asked for: a site by id, or a coordinate in degrees."""

    site_id: str = ""
    latitude: float = 0.0
    longitude: float = 0.0


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """A valid question. ``canonical`` says all that shapes the answer; which run answers it is chosen apart.

    ``start`` and ``end`` are aware, or naive where they mean local time. ``units`` maps dimensions to unit codes. ``only`` keeps
    some of the columns, all by default; ``instants`` (epoch seconds, one per place) keep of each place its value then.
    ``is_area`` makes a collection even of one place.
    """

    places: tuple[Place, ...]
    variables: tuple[str, ...]
    daily: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    members: int = 0
    run: str | datetime | None = None
    as_of: datetime | None = None
    release_id: str | None = None
    provenance: str = "summary"
    timezone: str = "UTC"
    timeformat: str = "iso8601"
    units: Mapping[str, str] = field(default_factory=dict)
    forecast_hours: int | None = None
    forecast_days: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    form: str = "json"
    only: tuple[str, ...] = ()
    instants: tuple[int, ...] = ()
    is_area: bool = False
    canonical: str = field(init=False, default="")
    #: What names the plan of columns and the time axis of this request.
    plan_key: str = field(init=False, default="")
    axis_key: str = field(init=False, default="")

    def __post_init__(self) -> None:
        window = f"{self.forecast_hours} {self.forecast_days} {self.start} {self.end}"
        object.__setattr__(self, "canonical", _canonical(self))
        asked = f"{self.variables} {self.daily} {self.levels} {self.thresholds} {self.members}"
        object.__setattr__(self, "plan_key", f"{asked} {sorted(self.units.items())}")
        object.__setattr__(self, "axis_key", f"{self.timeformat} {window}")

    @property
    def is_pinned(self) -> bool:
        """Whether the same question will always be answered from the same run."""
        return self.run is not None or self.as_of is not None

    @property
    def needs_members(self) -> bool:
        """Whether the answer is worked out from scenarios."""
        return bool(self.daily or self.members)

    @property
    def hourly_thresholds(self) -> tuple[Threshold, ...]:
        """Those of variables."""
        return tuple(threshold for threshold in self.thresholds if threshold.name not in DAILY)

    @property
    def daily_thresholds(self) -> tuple[Threshold, ...]:
        """Those of a day's statistics."""
        return tuple(threshold for threshold in self.thresholds if threshold.name in DAILY)

    def unit(self, dimension: str, default: str) -> str:
        """The unit code wanted for a dimension."""
        return self.units.get(dimension, default)


def _canonical(request: ForecastRequest) -> str:
    if request.places and request.places[0].site_id:
        places = {"site": ",".join(place.site_id for place in request.places)}
    else:
        places = {
            "latitude": ",".join(repr(place.latitude) for place in request.places),
            "longitude": ",".join(repr(place.longitude) for place in request.places),
        }
    parts: dict[str, object] = {
        "daily": ",".join(request.daily),
        "exceedance": ",".join(threshold.text for threshold in request.thresholds),
        "format": request.form,
        "hourly": ",".join(request.variables),
        "area": "true" if request.is_area else "",
        "instants": ",".join(map(str, request.instants)),
        "members": request.members or "",
        "only": ",".join(request.only),
        "provenance": request.provenance,
        "quantiles": ",".join(f"{level:g}" for level in request.levels),
        "timeformat": request.timeformat,
        "timezone": request.timezone,
        "forecast_hours": request.forecast_hours or "",
        "forecast_days": request.forecast_days or "",
        "start_hour": _canonical_time(request.start),
        "end_hour": _canonical_time(request.end),
        **places,
    }
    for dimension, (name, words) in UNIT_CHOICES.items():
        parts[name] = next(word for word, code in words.items() if code == request.units.get(dimension, code))
    return "&".join(f"{name}={value}" for name, value in sorted(parts.items()) if value != "")


def _canonical_time(instant: datetime | None) -> str:
    if instant is None:
        return ""
    return instant.isoformat() if instant.tzinfo is None else format_instant(instant)
