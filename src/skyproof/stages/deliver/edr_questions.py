"""The queries of OGC API - Environmental Data Retrieval as forecast requests.

Source:
    OGC 19-086r6, OGC API - Environmental Data Retrieval 1.1, clause 8 and requirements A.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from skyproof.domain.errors import InvalidValueError, UnknownNameError
from skyproof.domain.times import from_epoch_seconds, parse_instant
from skyproof.domain.variables import VARIABLES
from skyproof.stages.deliver.columns import level_name
from skyproof.stages.deliver.parameters import suggestion
from skyproof.stages.deliver.questions import MOST_LEVELS, MOST_PARAMETERS, ForecastRequest, Place
from skyproof.stages.deliver.wkt import Geometry

#: Names a coordinate reference system may be given by; longitude always comes first.
CRS_NAMES = ("CRS84", "OGC:CRS84", "http://www.opengis.net/def/crs/OGC/1.3/CRS84")
FORM_NAMES = ("CoverageJSON", "covjson")
#: Quantiles listed as parameters of a collection; any other level can be asked for as well.
LISTED_LEVELS = (0.1, 0.5, 0.9)
_LEVEL = re.compile(r"0?\.[0-9]{1,4}")
_QUANTILE = re.compile(r"([a-z0-9_]+?)_p([0-9]{1,2}(?:_[0-9]{1,2})?)")
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


def parameter_names(variables: tuple[str, ...]) -> tuple[str, ...]:
    """The parameters listed for a run's variables: the mean and some quantiles of each."""
    suffixes = ("", *(f"_{level_name(level)}" for level in LISTED_LEVELS))
    return tuple(f"{variable}{suffix}" for variable in variables for suffix in suffixes)


def edr_request(
    places: tuple[Place, ...],
    asked: Mapping[str, str],
    *,
    variables: tuple[str, ...],
    run: str | datetime | None,
    instants: tuple[int, ...] = (),
    is_area: bool = False,
) -> ForecastRequest:
    """A query's parameters as a request.

    Args:
        places: where.
        asked: ``parameter-name``, ``quantiles``, ``datetime``, ``crs`` and ``f``, each once.
        variables: of the collection; all of them are meant where none is named.
        run: the instance; None is the newest.
        instants: a time for each place, in epoch seconds, where it is a trajectory.
        is_area: whether several places may answer.

    Raises:
        InvalidValueError: a known parameter with an impossible value.
        UnknownNameError: a parameter of no collection, a form or reference system that is not offered.
    """
    check_choice(asked, "crs", CRS_NAMES)
    check_choice(asked, "f", FORM_NAMES)
    names = _columns(asked, variables)
    start, end = (None, None) if instants else read_interval(asked.get("datetime", ""))
    return ForecastRequest(
        places,
        tuple(dict.fromkeys(name for name, _ in names)),
        levels=tuple(sorted({level for _, level in names if level is not None})),
        only=tuple(name if level is None else f"{name}_{level_name(level)}" for name, level in names),
        run=run,
        start=start,
        end=end,
        instants=instants,
        is_area=is_area,
        form="covjson",
    )


def read_interval(text: str) -> tuple[datetime | None, datetime | None]:
    """An instant, or ``start/end`` of which one may be open (``..`` or nothing).

    Raises:
        InvalidValueError: another form.
    """
    first, slash, last = text.strip().partition("/")
    if not first and not last:
        return None, None
    start = None if first in ("", "..") else _instant(first)
    if not slash:
        return start, start
    return start, None if last in ("", "..") else _instant(last)


def trajectory_instants(geometry: Geometry, asked: Mapping[str, str]) -> tuple[int, ...]:
    """A time for each vertex: its measure in epoch seconds, or the one instant of ``datetime``.

    Raises:
        InvalidValueError: neither is given.
    """
    count = sum(map(len, geometry.parts))
    if geometry.seconds is not None:
        inside = (geometry.seconds >= _FIRST.timestamp()) & (geometry.seconds <= _LAST.timestamp())
        if not inside.all():
            raise InvalidValueError("a measure is no time", hint="give seconds since 1970-01-01T00:00Z")
        return tuple(int(second) for second in geometry.seconds)
    start, end = read_interval(asked.get("datetime", ""))
    if start is None or start != end:
        raise InvalidValueError(
            "a trajectory needs its times", hint="give them as measures (LINESTRINGM), or one instant as datetime"
        )
    return (int(start.timestamp()),) * count


def _instant(text: str) -> datetime:
    # An unescaped + of an offset arrives as a space.
    instant = parse_instant(text.strip().replace(" ", "+"), "datetime")
    if not _FIRST <= instant <= _LAST:
        raise InvalidValueError(f"datetime {text[:40]!r} is too far away", hint="write it like 2026-01-31T06:00Z")
    return from_epoch_seconds(int(instant.timestamp()))


def _columns(asked: Mapping[str, str], variables: tuple[str, ...]) -> list[tuple[str, float | None]]:
    """The columns wanted: variable and level, None for the mean."""
    levels = [item.strip() for item in asked.get("quantiles", "").split(",") if item.strip()]
    if len(levels) > MOST_LEVELS:
        raise InvalidValueError(f"{len(levels)} quantiles are more than {MOST_LEVELS}", hint="ask for fewer")
    for text in levels:
        if not _LEVEL.fullmatch(text) or not 0.001 <= float(text) <= 0.999:
            raise InvalidValueError(f"quantile {text[:40]!r} is impossible", hint="give levels such as 0.1,0.5,0.9")
    names = [name.strip() for name in asked.get("parameter-name", "").split(",") if name.strip()] or list(variables)
    if len(names) > MOST_PARAMETERS:
        raise InvalidValueError(f"{len(names)} parameters are more than {MOST_PARAMETERS}", hint="ask for fewer")
    wanted: dict[tuple[str, float | None], None] = {}
    for name in names:
        variable, level = _column(name, variables)
        wanted[variable, level] = None
        if level is None:
            wanted.update({(variable, float(text)): None for text in levels})
    return list(wanted)


def _column(name: str, variables: tuple[str, ...]) -> tuple[str, float | None]:
    if name in variables:
        return name, None
    match = _QUANTILE.fullmatch(name)
    if match is not None and match[1] in variables:
        level = round(float(match[2].replace("_", ".")) / 100, 4)
        if 0.001 <= level <= 0.999:
            return match[1], level
    known = tuple(variable.name for variable in VARIABLES if variable.name in variables)
    hint = suggestion(name, parameter_names(known)) or "the collection's parameter_names lists them"
    raise UnknownNameError(f"parameter {name[:60]!r} is not known", hint=hint)


def check_choice(asked: Mapping[str, str], name: str, choices: tuple[str, ...]) -> None:
    """Refuse a value that is none of the choices; the first of them is the name told.

    Raises:
        UnknownNameError: it is not.
    """
    value = asked.get(name, choices[0])
    if value not in choices:
        raise UnknownNameError(f"{name} {value[:60]!r} is not offered", hint=f"use {choices[0]}")
