"""The query parameters of a forecast request: one table, from which the parser, its errors and the documentation live."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter. ``choices`` is empty where any value of its kind will do."""

    name: str
    help: str
    example: str
    default: str = ""
    choices: tuple[str, ...] = ()
    is_list: bool = False


#: Units customers may ask for, by dimension of :mod:`skyproof.domain.units`: Open-Meteo's word to our unit code.
UNIT_CHOICES: dict[str, tuple[str, dict[str, str]]] = {
    "temperature": ("temperature_unit", {"celsius": "Cel", "fahrenheit": "[degF]", "kelvin": "K"}),
    "speed": ("wind_speed_unit", {"ms": "m/s", "kmh": "km/h", "mph": "[mi_i]/h", "kn": "[kn_i]"}),
    "precipitation": ("precipitation_unit", {"mm": "mm", "inch": "[in_i]"}),
}

PARAMETERS: tuple[Parameter, ...] = (
    Parameter("site", "Registered sites, by id.", "zurich", is_list=True),
    Parameter(
        "latitude",
        "Latitudes in degrees north, with longitude; the nearest site in reach answers, else the point itself.",
        "47.38",
        is_list=True,
    ),
    Parameter("longitude", "Longitudes in degrees east, as many as latitudes.", "8.54", is_list=True),
    Parameter("hourly", "Variables; see /v1/variables.", "temperature_2m,precipitation", is_list=True),
    Parameter(
        "daily",
        "Statistics of local days, worked out from scenarios; see /v1/variables.",
        "temperature_2m_max,precipitation_sum",
        is_list=True,
    ),
    Parameter(
        "quantiles", "Quantile levels between 0.001 and 0.999, at most four decimals.", "0.1,0.5,0.9", is_list=True
    ),
    Parameter(
        "exceedance",
        "Thresholds of what is asked hourly or daily, in the answer's units; each gives a probability.",
        "temperature_2m>25",
        is_list=True,
    ),
    Parameter("members", "So many scenarios that agree over places, times and variables.", "10"),
    Parameter("run", "A run by its id or its init time; default the newest.", "2026-01-31T12:00Z"),
    Parameter("as_of", "Answer with what had been published by this instant.", "2026-01-31T18:00Z"),
    Parameter("models", "The model; there is one.", "skyproof", "skyproof", ("skyproof", "best_match")),
    Parameter("version", "stable, latest, or a release id.", "stable", "stable"),
    Parameter(
        "provenance", "How much to say about the origin of values.", "steps", "summary", ("none", "summary", "steps")
    ),
    Parameter("timezone", "IANA time zone of the times, or auto for the site's own.", "Europe/Zurich", "UTC"),
    Parameter("timeformat", "How times are written.", "unixtime", "iso8601", ("iso8601", "unixtime")),
    *(
        Parameter(name, f"Unit of {dimension}.", list(words)[1], next(iter(words)), tuple(words))
        for dimension, (name, words) in UNIT_CHOICES.items()
    ),
    Parameter("forecast_hours", "Steps up to so many hours after the run's init time.", "48"),
    Parameter("forecast_days", "Steps in so many local days, the first being the init time's.", "2"),
    Parameter("start_date", "First local day.", "2026-01-31"),
    Parameter("end_date", "Last local day, included.", "2026-02-01"),
    Parameter("start_hour", "First time, local to timezone unless it carries an offset.", "2026-01-31T06:00"),
    Parameter("end_hour", "Last time, included.", "2026-02-01T06:00"),
    Parameter("temporal_resolution", "Steps as the run has them.", "native", "native", ("native",)),
    Parameter(
        "format",
        "Form of the answer; flatbuffers is what Open-Meteo's own clients read.",
        "csv",
        "json",
        ("json", "csv", "arrow", "parquet", "covjson", "flatbuffers"),
    ),
)
BY_NAME = {parameter.name: parameter for parameter in PARAMETERS}

_PAST = "this address looks forward; ask an earlier run with run=<init time> or as_of=<instant>"
#: Names other services know and we do not offer here, with what to do instead.
REFUSED: dict[str, str] = {
    "past_days": _PAST,
    "past_hours": _PAST,
    "past_minutely_15": _PAST,
    "current": "ask hourly with forecast_hours for the nearest steps",
    "minutely_15": "ask hourly; steps are the run's own",
    "elevation": "values are for the elevation of the site, or of the ground at a point; the answer says it",
    "cell_selection": "the nearest site in reach answers, else the point itself where sources cover it",
    "tilt": "not offered",
    "azimuth": "not offered",
}
#: Where people put keys into addresses. Addresses are logged by every proxy on the way.
KEY_NAMES = frozenset({"apikey", "api_key", "api-key", "key", "token", "access_token", "x-api-key"})


def suggestion(name: str, known: tuple[str, ...]) -> str:
    """``did you mean ...?``, or an empty text if nothing is near."""
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""
