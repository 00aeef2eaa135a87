"""From query parameters to a canonical forecast request, with every fault found at once.

Limits: 64 parameters, 1,000 places, 99 quantile levels; what is larger is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from skyproof.domain.errors import InputError, InvalidValueError, UnknownNameError
from skyproof.domain.sites import check_identifier, find_zone
from skyproof.domain.times import format_instant, parse_instant
from skyproof.domain.variables import VARIABLES
from skyproof.stages.deliver.parameters import BY_NAME, REFUSED, UNIT_CHOICES, suggestion

MOST_PARAMETERS = 64
MOST_PLACES = 1000
MOST_LEVELS = 99
_MOST_HOURS = 1000
_MOST_DAYS = 42
_NUMBER = re.compile(r"[+-]?[0-9]{1,4}(\.[0-9]{0,12})?")
_LEVEL = re.compile(r"0?\.[0-9]{1,4}0*")
_RELEASE = re.compile(r"rel_[0-9a-f]{1,64}")
_RUN = re.compile(r"run_[0-9a-f]{1,64}")
_UNESCAPED_PLUS = re.compile(r"(T[0-9:.]+) ([0-9]{2}:?[0-9]{2})$")
_SHOWN = 80


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

    ``start`` and ``end`` are aware, or naive where they mean local time. ``units`` maps dimensions to unit codes.
    """

    places: tuple[Place, ...]
    variables: tuple[str, ...]
    levels: tuple[float, ...] = ()
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
    canonical: str = field(init=False, default="")
    #: What names the plan of columns and the time axis of this request.
    plan_key: str = field(init=False, default="")
    axis_key: str = field(init=False, default="")

    def __post_init__(self) -> None:
        window = f"{self.forecast_hours} {self.forecast_days} {self.start} {self.end}"
        object.__setattr__(self, "canonical", _canonical(self))
        object.__setattr__(self, "plan_key", f"{self.variables} {self.levels} {sorted(self.units.items())}")
        object.__setattr__(self, "axis_key", f"{self.timeformat} {window}")

    @property
    def is_pinned(self) -> bool:
        """Whether the same question will always be answered from the same run."""
        return self.run is not None or self.as_of is not None

    def unit(self, dimension: str, default: str) -> str:
        """The unit code wanted for a dimension."""
        return self.units.get(dimension, default)


def parse_request(parameters: Iterable[tuple[str, str]]) -> ForecastRequest:
    """Read a request.

    Raises:
        UnknownNameError: a parameter, variable or time zone that does not exist.
        InvalidValueError: a known parameter with an impossible value, or one too few or too many.
    """
    outcome = check_request(parameters)
    if isinstance(outcome, ForecastRequest):
        return outcome
    raise fault_error(outcome)


def fault_error(faults: tuple[Fault, ...]) -> InputError:
    """The error that faults amount to: the first one's, which also says how many more there are."""
    first = faults[0]
    cls = UnknownNameError if first.kind == UnknownNameError.kind else InvalidValueError
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return cls(first.message + more, hint=first.hint)


def check_request(parameters: Iterable[tuple[str, str]]) -> ForecastRequest | tuple[Fault, ...]:
    """Read a request, or say everything that is wrong with it."""
    reader = _Reader(parameters)
    values: dict[str, Any] = {
        "variables": reader.variables(),
        "places": reader.places(),
        "levels": reader.levels(),
        "run": reader.run(),
        "as_of": reader.instant("as_of"),
        "release_id": reader.release(),
        "provenance": reader.choice("provenance"),
        "timezone": reader.zone(),
        "timeformat": reader.choice("timeformat"),
        "units": {dimension: words[reader.choice(name)] for dimension, (name, words) in UNIT_CHOICES.items()},
        "forecast_hours": reader.count("forecast_hours", _MOST_HOURS),
        "forecast_days": reader.count("forecast_days", _MOST_DAYS),
        "start": reader.local_time("start_hour"),
        "end": reader.local_time("end_hour"),
        "form": reader.choice("format"),
    }
    reader.choice("models")
    reader.choice("temporal_resolution")
    reader.check_window()
    return tuple(reader.faults) if reader.faults else ForecastRequest(**values)


class _Reader:
    """Reads one parameter after the other and gathers the faults."""

    def __init__(self, parameters: Iterable[tuple[str, str]]) -> None:
        self.faults: list[Fault] = []
        self.given: dict[str, str] = {}
        for count, (name, value) in enumerate(parameters):
            if count >= MOST_PARAMETERS:
                self.fault("", "", InvalidValueError(f"more than {MOST_PARAMETERS} parameters", hint="leave some out"))
                break
            self._take(name, value)

    def _take(self, name: str, value: str) -> None:
        parameter = BY_NAME.get(name)
        if parameter is None and name in REFUSED:
            self.fault(name, value, UnknownNameError(f"{name} is not offered here", hint=REFUSED[name]))
        elif parameter is None:
            hint = suggestion(name, tuple(BY_NAME)) or f"known are {', '.join(BY_NAME)}"
            self.fault(name, value, UnknownNameError(f"parameter {name[:_SHOWN]!r} is not known", hint=hint))
        elif name in self.given and not parameter.is_list:
            self.fault(name, value, InvalidValueError(f"{name} is given twice", hint="give it once"))
        else:
            self.given[name] = f"{self.given[name]},{value}" if name in self.given else value

    def fault(self, parameter: str, value: str, error: InputError) -> None:
        self.faults.append(Fault(parameter[:_SHOWN], value[:_SHOWN], error.kind, error.message, error.hint))

    def items(self, name: str) -> list[str]:
        text = self.given.get(name, "")
        return [item.strip() for item in text.split(",")] if text.strip() else []

    def choice(self, name: str) -> str:
        parameter = BY_NAME[name]
        value = self.given.get(name, "") or parameter.default
        if value in parameter.choices:
            return value
        near = suggestion(value, parameter.choices)
        hint = f"use one of {', '.join(parameter.choices)}" + (f"; {near}" if near else "")
        self.fault(name, value, UnknownNameError(f"{name} {value[:_SHOWN]!r} is not known", hint=hint))
        return parameter.default

    def variables(self) -> tuple[str, ...]:
        names = tuple(variable.name for variable in VARIABLES)
        asked = self.items("hourly")
        if not asked:
            self.fault("hourly", "", InvalidValueError("no variable is asked for", hint="add hourly=temperature_2m"))
        for name in asked[:MOST_PARAMETERS]:
            if name not in names:
                hint = suggestion(name, names) or "GET /v1/variables lists them"
                self.fault("hourly", name, UnknownNameError(f"variable {name[:_SHOWN]!r} is not known", hint=hint))
        if len(asked) > MOST_PARAMETERS:
            error = InvalidValueError(f"{len(asked)} variables are more than {MOST_PARAMETERS}", hint="ask for fewer")
            self.fault("hourly", "", error)
        return tuple(dict.fromkeys(asked))

    def places(self) -> tuple[Place, ...]:
        site_ids, latitudes, longitudes = self.items("site"), self.items("latitude"), self.items("longitude")
        if not site_ids and not latitudes and not longitudes:
            error = InvalidValueError("no place is asked for", hint="add site=<id>, or latitude and longitude")
            self.fault("site", "", error)
        elif site_ids and (latitudes or longitudes):
            error = InvalidValueError("both site and coordinates are given", hint="give one of them")
            self.fault("site", self.given["site"], error)
        elif len(latitudes) != len(longitudes):
            counts = f"{len(latitudes)} latitudes and {len(longitudes)} longitudes"
            self.fault("latitude", "", InvalidValueError(f"{counts} are given", hint="give as many of each"))
        elif max(len(site_ids), len(latitudes)) > MOST_PLACES:
            count = max(len(site_ids), len(latitudes))
            error = InvalidValueError(f"{count} places are more than {MOST_PLACES}", hint="ask in several requests")
            self.fault("site" if site_ids else "latitude", "", error)
        elif site_ids:
            return tuple(self._site(site_id) for site_id in dict.fromkeys(site_ids))
        else:
            return tuple(
                Place("", self._degrees("latitude", north, 90), self._degrees("longitude", east, 180))
                for north, east in zip(latitudes, longitudes, strict=True)
            )
        return ()

    def _site(self, site_id: str) -> Place:
        try:
            return Place(check_identifier(site_id, "site"))
        except InvalidValueError as error:
            self.fault("site", site_id, error)
            return Place()

    def _degrees(self, name: str, text: str, limit: int) -> float:
        value = float(text) if _NUMBER.fullmatch(text) else float("nan")
        if not -limit <= value <= limit:
            hint = f"give degrees between -{limit} and {limit}, for example {BY_NAME[name].example}"
            self.fault(name, text, InvalidValueError(f"{name} {text[:_SHOWN]!r} is impossible", hint=hint))
            return 0.0
        return value + 0.0  # -0 and 0 are one place

    def levels(self) -> tuple[float, ...]:
        asked = self.items("quantiles")
        if len(asked) > MOST_LEVELS:
            error = InvalidValueError(f"{len(asked)} quantiles are more than {MOST_LEVELS}", hint="ask for fewer")
            self.fault("quantiles", "", error)
            return ()
        for text in asked:
            if not _LEVEL.fullmatch(text) or not 0.001 <= float(text) <= 0.999:
                hint = "give levels between 0.001 and 0.999 with at most four decimals, for example 0.1,0.5,0.9"
                error = InvalidValueError(f"quantile {text[:_SHOWN]!r} is impossible", hint=hint)
                self.fault("quantiles", text, error)
                return ()
        return tuple(sorted({float(text) for text in asked}))

    def instant(self, name: str) -> datetime | None:
        text = self.given.get(name, "")
        try:
            return parse_instant(_mend_plus(text), name).replace(microsecond=0) if text else None
        except (InputError, OverflowError):
            self._impossible_time(name, text)
            return None

    def run(self) -> str | datetime | None:
        text = self.given.get("run", "")
        if text == "latest":
            return None
        return text if _RUN.fullmatch(text) else self.instant("run")

    def release(self) -> str | None:
        text = self.given.get("version", "")
        if text in ("", "stable", "latest"):
            return None
        if _RELEASE.fullmatch(text):
            return text
        hint = "use stable, latest, or a release id as in meta.model_version"
        self.fault("version", text, UnknownNameError(f"version {text[:_SHOWN]!r} is not known", hint=hint))
        return None

    def zone(self) -> str:
        text = self.given.get("timezone", "") or "UTC"
        if text in ("auto", "UTC"):
            return text
        try:
            find_zone(text)
        except UnknownNameError as error:
            self.fault("timezone", text, error)
            return "UTC"
        return text

    def count(self, name: str, most: int) -> int | None:
        text = self.given.get(name, "")
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= most):
            hint = f"give a whole number between 1 and {most}"
            self.fault(name, text, InvalidValueError(f"{name} {text[:_SHOWN]!r} is impossible", hint=hint))
            return None
        return int(text)

    def local_time(self, name: str) -> datetime | None:
        text = self.given.get(name, "")
        if not text:
            return None
        try:
            instant = datetime.fromisoformat(_mend_plus(text[:40]))
            if instant.tzinfo is not None:
                instant = instant.astimezone(UTC)
            elif not 1 < instant.year < 9999:  # so that it stays a date in every zone
                raise OverflowError
            return instant.replace(microsecond=0)
        except (ValueError, OverflowError):
            self._impossible_time(name, text)
            return None

    def _impossible_time(self, name: str, text: str) -> None:
        hint = f"write it like {BY_NAME[name].example}"
        self.fault(name, text, InvalidValueError(f"{name} {text[:_SHOWN]!r} is not an ISO 8601 instant", hint=hint))

    def check_window(self) -> None:
        ways = [name for name in ("forecast_hours", "forecast_days") if self.given.get(name)]
        if self.given.get("start_hour") or self.given.get("end_hour"):
            ways.append("start_hour and end_hour")
        if len(ways) > 1:
            error = InvalidValueError(f"{' and '.join(ways)} are given together", hint="choose one of them")
            self.fault(ways[0], self.given.get(ways[0], ""), error)


def _mend_plus(text: str) -> str:
    # An unescaped + in an address arrives as a space: 2026-01-31T06:00 01:00.
    return _UNESCAPED_PLUS.sub(r"\1+\2", text.strip())


def _canonical(request: ForecastRequest) -> str:
    if request.places and request.places[0].site_id:
        places = {"site": ",".join(place.site_id for place in request.places)}
    else:
        places = {
            "latitude": ",".join(repr(place.latitude) for place in request.places),
            "longitude": ",".join(repr(place.longitude) for place in request.places),
        }
    parts: dict[str, object] = {
        "format": request.form,
        "hourly": ",".join(request.variables),
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
