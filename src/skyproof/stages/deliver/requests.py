"""From query parameters to a canonical forecast request, with every fault found at once.

Limits: 64 parameters, 64 names in a list, 1,000 places, 99 quantile levels, 1,000 members; what is larger is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from skyproof.domain.errors import InputError, InvalidValueError, UnknownNameError
from skyproof.stages.deliver.parameters import UNIT_CHOICES
from skyproof.stages.deliver.questions import (
    MOST_LEVELS,
    MOST_MEMBERS,
    MOST_PARAMETERS,
    MOST_PLACES,
    Fault,
    ForecastRequest,
    Place,
)
from skyproof.stages.deliver.reader import Reader

__all__ = [
    "MOST_LEVELS",
    "MOST_MEMBERS",
    "MOST_PARAMETERS",
    "MOST_PLACES",
    "Fault",
    "ForecastRequest",
    "Place",
    "check_request",
    "fault_error",
    "parse_request",
]

MOST_HOURS = 1000
MOST_DAYS = 42


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
    reader = Reader(parameters)
    values: dict[str, Any] = {
        "variables": reader.variables(),
        "daily": reader.daily(),
        "places": reader.places(),
        "levels": reader.levels(),
        "thresholds": reader.thresholds(),
        "members": reader.count("members", MOST_MEMBERS) or 0,
        "run": reader.run(),
        "as_of": reader.instant("as_of"),
        "release_id": reader.release(),
        "provenance": reader.choice("provenance"),
        "timezone": reader.zone(),
        "timeformat": reader.choice("timeformat"),
        "units": {dimension: words[reader.choice(name)] for dimension, (name, words) in UNIT_CHOICES.items()},
        "forecast_hours": reader.count("forecast_hours", MOST_HOURS),
        "forecast_days": reader.count("forecast_days", MOST_DAYS),
        "start": reader.local_time("start_hour") or reader.local_day("start_date"),
        "end": reader.local_time("end_hour") or reader.local_day("end_date", last=True),
        "form": reader.choice("format"),
    }
    reader.choice("models")
    reader.choice("temporal_resolution")
    reader.check_window()
    reader.check_form()
    return tuple(reader.faults) if reader.faults else ForecastRequest(**values)
