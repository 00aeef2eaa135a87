"""Fields of a model cycle read at places, from any gridded format, and what follows from them.

A reader hands over :class:`FieldValues`, one per message or slab, with the names and units of its format already
translated. Here sums over odd intervals become sums over the step between two leads, and wind components become
speed and direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.times import to_datetime64
from skyproof.domain.variables import find_variable
from skyproof.stages.sources.points import ForecastPoints
from skyproof.stages.sources.problems import Problems

#: Eastward and northward components, and the speed and direction they give.
WIND_COMPONENTS = {
    ("wind_u_10m", "wind_v_10m"): ("wind_speed_10m", "wind_direction_10m"),
    ("wind_u_100m", "wind_v_100m"): ("wind_speed_100m", None),
}
COMPONENT_NAMES = frozenset(name for pair in WIND_COMPONENTS for name in pair)
#: Energy summed over the interval, J/m2; divided by its seconds it is the mean in W/m2.
JOULES = "J/m2"


@dataclass(frozen=True, slots=True)
class FieldValues:
    """One variable of one member at one lead, at the places asked for.

    ``start_hours`` is where the interval begins for sums, means and maxima (hours after init), and equals
    ``lead_hours`` for instants. ``values``: (site,) float32.
    """

    variable: str
    unit: str
    init_time: datetime
    lead_hours: int
    start_hours: int
    member: int
    values: NDArray[np.float32]
    origin: str


def to_points(
    fields: Iterable[FieldValues],
    site_ids: Sequence[str],
    *,
    wanted: Sequence[str] = (),
    known_at: dict[datetime, datetime],
    problems: Problems,
) -> tuple[ForecastPoints, ...]:
    """Everything that was read of one source, as points.

    Args:
        fields: in any order; of several for the same cell the first counts, unless its values differ: then both are
            handed on, and joining says so.
        site_ids: the places, in the order of the values.
        wanted: variables to keep; all by default.
        known_at: for each init time, when the cycle became available.
        problems: takes what could not be used.
    """
    held = list(fields)
    held += _derive_winds(held, problems)
    keep = [
        field for field in held if field.variable not in COMPONENT_NAMES and (not wanted or field.variable in wanted)
    ]
    members = {number: index for index, number in enumerate(sorted({field.member for field in keep}))}
    parts = []
    for variable in dict.fromkeys(field.variable for field in keep):
        own = [field for field in keep if field.variable == variable]
        if find_variable(variable).cell_method != "instant":
            own = _to_preceding(own, problems)
        units = dict.fromkeys(field.unit for field in own)
        parts += [_stack([f for f in own if f.unit == unit], site_ids, members, known_at) for unit in units]
    return tuple(parts)


def _stack(
    fields: Sequence[FieldValues],
    site_ids: Sequence[str],
    members: dict[int, int],
    known_at: dict[datetime, datetime],
) -> ForecastPoints:
    count = len(site_ids)
    return ForecastPoints(
        variable=fields[0].variable,
        unit=fields[0].unit,
        init_times=np.repeat(np.array([to_datetime64(f.init_time) for f in fields], dtype="datetime64[s]"), count),
        available_ats=np.repeat(
            np.array([to_datetime64(known_at[f.init_time]) for f in fields], dtype="datetime64[s]"), count
        ),
        lead_hours=np.repeat(np.array([f.lead_hours for f in fields], dtype=np.int64), count),
        site_ids=np.tile(np.array(site_ids, dtype=str), len(fields)),
        first_members=np.repeat(np.array([members[f.member] for f in fields], dtype=np.int64), count),
        values=np.concatenate([f.values for f in fields])[:, None],
        origins=np.repeat(np.array([f.origin for f in fields], dtype=str), count),
    )


def _derive_winds(fields: Sequence[FieldValues], problems: Problems) -> list[FieldValues]:
    """Speed and direction (where the wind comes from, degrees) where both components are there and the speed is not.

    A component alone is no wind, and is told.
    """
    cells = {(f.variable, f.init_time, f.lead_hours, f.member): f for f in fields if f.lead_hours == f.start_hours}
    derived = []
    for (eastward, northward), (speed, direction) in WIND_COMPONENTS.items():
        for (name, init_time, lead, member), u in cells.items():
            cell = (init_time, lead, member)
            if name == northward and (eastward, *cell) not in cells:
                problems.note(f"{u.origin}: {northward} has no {eastward} beside it; left out")
            v = cells.get((northward, *cell)) if name == eastward else None
            if name == eastward and (v is None or v.unit != u.unit):
                problems.note(f"{u.origin}: {eastward} has no {northward} in the same unit beside it; left out")
            if v is None or v.unit != u.unit:
                continue
            if (speed, *cell) not in cells:
                derived.append(replace(u, variable=speed, values=np.hypot(u.values, v.values)))
            if direction is not None and (direction, *cell) not in cells:
                angle = np.degrees(np.arctan2(-u.values, -v.values)) % 360.0
                derived.append(replace(u, variable=direction, unit="deg", values=angle.astype(np.float32)))
    return derived


def _to_preceding(fields: Sequence[FieldValues], problems: Problems) -> list[FieldValues]:
    """Fields over whatever intervals as fields over the step between two leads of their cycle.

    A field that already covers that step is taken as it is. A sum since an earlier lead becomes the difference to the
    sum from the same start to the lead before. A mean or maximum over anything else cannot be split, and is refused.
    """
    result: list[FieldValues] = []
    cycles = dict.fromkeys((field.init_time, field.member) for field in fields)
    leads = sorted({field.lead_hours for field in fields if field.lead_hours > 0})
    before = dict(zip(leads, [0, *leads], strict=False))
    for init_time, member in cycles:
        own = [field for field in fields if (field.init_time, field.member) == (init_time, member)]
        spans = {(field.start_hours, field.lead_hours): field for field in own}
        for lead in dict.fromkeys(field.lead_hours for field in own if field.lead_hours > 0):
            field = _over_step(spans, before[lead], lead)
            if field is not None:
                result.append(_per_second(field, lead - before[lead]))
                continue
            there = [f"{start}-{end} h" for start, end in spans if end == lead]
            problems.reject(
                f"{own[0].origin}: {own[0].variable} covers {', '.join(there)} of the cycle of {init_time:%Y-%m-%d %H} UTC; "
                f"wanted {before[lead]}-{lead} h, or a sum from 0 h to both ends"
            )
    return result


def _over_step(spans: dict[tuple[int, int], FieldValues], start: int, lead: int) -> FieldValues | None:
    if (start, lead) in spans:
        return spans[start, lead]
    for earlier in sorted({begin for begin, end in spans if end == lead and begin < start}, reverse=True):
        whole, part = spans[earlier, lead], spans.get((earlier, start))
        summed = find_variable(whole.variable).cell_method == "preceding sum" or whole.unit == JOULES
        if part is None or not summed:
            continue
        difference = whole.values - part.values
        # Packed sums may shrink by one step of their packing, which grows with the largest value of the field.
        tiny = (difference < 0) & (difference > -1e-3 * np.maximum(np.abs(whole.values), 1e-3))
        return replace(whole, values=np.where(tiny, 0.0, difference).astype(np.float32), start_hours=start)
    return None


def _per_second(field: FieldValues, step_hours: int) -> FieldValues:
    if field.unit != JOULES:
        return field
    return replace(field, unit="W/m2", values=(field.values / (3600.0 * step_hours)).astype(np.float32))
