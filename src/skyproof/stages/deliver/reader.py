"""Reads query parameters one after the other and gathers every fault."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, time

from skyproof.domain.errors import InputError, InvalidValueError, UnknownNameError
from skyproof.domain.sites import check_identifier, find_zone
from skyproof.domain.times import parse_instant
from skyproof.domain.variables import VARIABLES, find_variable
from skyproof.stages.deliver.daily_names import DAILY
from skyproof.stages.deliver.flatbuffer_words import AGGREGATION_OF_LEVEL, probability_word
from skyproof.stages.deliver.parameters import BY_NAME, REFUSED, suggestion
from skyproof.stages.deliver.questions import (
    MOST_LEVELS,
    MOST_PARAMETERS,
    MOST_PLACES,
    Fault,
    Place,
)
from skyproof.stages.deliver.thresholds import Threshold, parse_threshold

_NUMBER = re.compile(r"[+-]?[0-9]{1,4}(\.[0-9]{0,12})?")
_LEVEL = re.compile(r"0?\.[0-9]{1,4}0*")
_RELEASE = re.compile(r"rel_[0-9a-f]{1,64}")
_RUN = re.compile(r"run_[0-9a-f]{1,64}")
_UNESCAPED_PLUS = re.compile(r"(T[0-9:.]+) ([0-9]{2}:?[0-9]{2})$")
_SHOWN = 80
_LAST_SECOND = time(23, 59, 59)


class Reader:
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
        """Note a fault."""
        self.faults.append(Fault(parameter[:_SHOWN], value[:_SHOWN], error.kind, error.message, error.hint))

    def items(self, name: str) -> list[str]:
        """The items of a list, separated by commas."""
        text = self.given.get(name, "")
        return [item.strip() for item in text.split(",")] if text.strip() else []

    def choice(self, name: str) -> str:
        """One of the choices of a parameter, its default where none is given."""
        parameter = BY_NAME[name]
        value = self.given.get(name, "") or parameter.default
        if value in parameter.choices:
            return value
        near = suggestion(value, parameter.choices)
        hint = f"use one of {', '.join(parameter.choices)}" + (f"; {near}" if near else "")
        self.fault(name, value, UnknownNameError(f"{name} {value[:_SHOWN]!r} is not known", hint=hint))
        return parameter.default

    def variables(self) -> tuple[str, ...]:
        """Variables asked hourly."""
        if not self.items("hourly") and not self.items("daily"):
            hint = "add hourly=temperature_2m, or daily=temperature_2m_max"
            self.fault("hourly", "", InvalidValueError("no variable is asked for", hint=hint))
        return self._names("hourly", tuple(variable.name for variable in VARIABLES), "variable")

    def daily(self) -> tuple[str, ...]:
        """Statistics asked daily."""
        return self._names("daily", tuple(DAILY), "daily statistic")

    def _names(self, parameter: str, known: tuple[str, ...], what: str) -> tuple[str, ...]:
        asked = self.items(parameter)
        for name in asked[:MOST_PARAMETERS]:
            if name not in known:
                hint = suggestion(name, known) or "GET /v1/variables lists them"
                self.fault(parameter, name, UnknownNameError(f"{what} {name[:_SHOWN]!r} is not known", hint=hint))
        self._check_count(parameter, asked, what)
        return tuple(dict.fromkeys(asked))

    def _check_count(self, parameter: str, asked: list[str], what: str) -> None:
        if len(asked) > MOST_PARAMETERS:
            message = f"{len(asked)} {what}s are more than {MOST_PARAMETERS}"
            self.fault(parameter, "", InvalidValueError(message, hint="ask for fewer"))

    def thresholds(self) -> tuple[Threshold, ...]:
        """Thresholds of what is asked."""
        asked = self.items("exceedance")
        self._check_count("exceedance", asked, "threshold")
        found = []
        for text in asked[:MOST_PARAMETERS]:
            try:
                threshold = parse_threshold(text)
                self._check_threshold(threshold)
                found.append(threshold)
            except InputError as error:
                self.fault("exceedance", text, error)
        return tuple(dict.fromkeys(found))

    def _check_threshold(self, threshold: Threshold) -> None:
        name = threshold.name
        if name not in self.items("hourly") and name not in self.items("daily"):
            raise UnknownNameError(f"{name} is not asked for", hint=f"add {name} to hourly, or to daily")
        if name not in DAILY and find_variable(name).family == "circular":
            raise InvalidValueError(f"{name} goes round: nothing lies above it", hint="name another variable")

    def places(self) -> tuple[Place, ...]:
        """Sites or coordinates."""
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
        """Quantile levels, rising."""
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
        """An instant."""
        text = self.given.get(name, "")
        try:
            return parse_instant(_mend_plus(text), name).replace(microsecond=0) if text else None
        except (InputError, OverflowError):
            self._impossible_time(name, text)
            return None

    def run(self) -> str | datetime | None:
        """A run by its id or its init time."""
        text = self.given.get("run", "")
        if text == "latest":
            return None
        return text if _RUN.fullmatch(text) else self.instant("run")

    def release(self) -> str | None:
        """A release by its id."""
        text = self.given.get("version", "")
        if text in ("", "stable", "latest"):
            return None
        if _RELEASE.fullmatch(text):
            return text
        hint = "use stable, latest, or a release id as in meta.model_version"
        self.fault("version", text, UnknownNameError(f"version {text[:_SHOWN]!r} is not known", hint=hint))
        return None

    def zone(self) -> str:
        """A time zone."""
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
        """A whole number between 1 and ``most``."""
        text = self.given.get(name, "")
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= most):
            hint = f"give a whole number between 1 and {most}"
            self.fault(name, text, InvalidValueError(f"{name} {text[:_SHOWN]!r} is impossible", hint=hint))
            return None
        return int(text)

    def local_time(self, name: str) -> datetime | None:
        """A time, naive where it means local time."""
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

    def local_day(self, name: str, *, last: bool = False) -> datetime | None:
        """The first second of a local day, or its last."""
        text = self.given.get(name, "")
        if not text:
            return None
        try:
            day = date.fromisoformat(text[:40])
            if len(text) != 10 or not 1 < day.year < 9999:
                raise OverflowError
        except (ValueError, OverflowError):
            hint = f"write it like {BY_NAME[name].example}"
            self.fault(name, text, InvalidValueError(f"{name} {text[:_SHOWN]!r} is not a date", hint=hint))
            return None
        return datetime.combine(day, _LAST_SECOND if last else time())

    def _impossible_time(self, name: str, text: str) -> None:
        hint = f"write it like {BY_NAME[name].example}"
        self.fault(name, text, InvalidValueError(f"{name} {text[:_SHOWN]!r} is not an ISO 8601 instant", hint=hint))

    def check_window(self) -> None:
        """The window is given in one way."""
        ways = [name for name in ("forecast_hours", "forecast_days") if self.given.get(name)]
        if self.given.get("start_hour") or self.given.get("end_hour"):
            ways.append("start_hour and end_hour")
        if self.given.get("start_date") or self.given.get("end_date"):
            ways.append("start_date and end_date")
        if len(ways) > 1:
            error = InvalidValueError(f"{' and '.join(ways)} are given together", hint="choose one of them")
            self.fault(ways[0], self.given.get(ways[0], ""), error)

    def check_form(self) -> None:
        """A table has one axis of times, and flatbuffers has words for some statistics only."""
        form = self.given.get("format", "")
        if form in ("arrow", "parquet") and self.items("hourly") and self.items("daily"):
            error = InvalidValueError(f"{form} holds one table", hint="ask hourly and daily in two requests")
            self.fault("format", form, error)
        if form == "flatbuffers" and (wrong := self._without_word()):
            hint = f"ask {', '.join(f'{level:g}' for level in AGGREGATION_OF_LEVEL)} of hourly, or format=json"
            message = f"flatbuffers has no word for {wrong}"
            self.fault("format", form, InvalidValueError(message, hint=hint))

    def _without_word(self) -> str:
        levels = [text for text in self.items("quantiles") if _LEVEL.fullmatch(text)]
        if levels and self.items("daily"):
            return "quantiles of a day's statistics"
        for text in levels:
            if float(text) not in AGGREGATION_OF_LEVEL:
                return f"the quantile {text}"
        for text in self.items("exceedance"):
            with contextlib.suppress(InputError):
                if probability_word(parse_threshold(text)) is None:
                    return f"the threshold {text[:_SHOWN]}"
        return ""


def _mend_plus(text: str) -> str:
    # An unescaped + in an address arrives as a space: 2026-01-31T06:00 01:00.
    return _UNESCAPED_PLUS.sub(r"\1+\2", text.strip())
