"""What is wrong with single observations: a flag for each, and the batch in canonical units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cycles import ObservationBatch
from skyproof.domain.errors import UnknownNameError
from skyproof.domain.times import to_datetime64
from skyproof.domain.units import conversion, convert
from skyproof.domain.variables import Variable, find_variable
from skyproof.stages.sources.contract import CLOCK_TOLERANCE
from skyproof.stages.sources.problems import MOST_MESSAGES, Problems
from skyproof.stages.sources.quality import mark_fill_values
from skyproof.stages.sources.unit_slip import find_slip

#: Flags, gravest first; of several the first counts. ``missing`` is nobody's fault and needs no message.
FLAGS = ("future", "fill", "negative", "range", "missing")
#: From this share of implausible values on, the unit is the likely reason.
_MANY = 0.5


@dataclass(frozen=True, slots=True)
class CheckedObservations:
    """Rows of known sites and variables in canonical units, and a flag for each ('' passed)."""

    batch: ObservationBatch
    flags: NDArray[np.str_]


def check_observations(
    batch: ObservationBatch, *, site_ids: frozenset[str], until: datetime, problems: Problems
) -> CheckedObservations:
    """Refuse rows of unknown sites, variables and units, convert the others, and flag what cannot be true.

    Args:
        batch: as the feed gave it; variables without a unit are taken to be in the canonical one.
        site_ids: the places known.
        until: the present.
        problems: takes what was refused, and a message for each flag that is somebody's fault.
    """
    kept = _keep_known(batch, site_ids, problems)
    values = np.array(kept.values, dtype=np.float64)
    flags = np.full(len(values), "", dtype="U8")
    names, codes = np.unique(kept.variables, return_inverse=True)
    for index, name in enumerate(names):
        rows = np.flatnonzero(codes == index)
        variable = find_variable(str(name))
        said = kept.units.get(variable.name, variable.unit)
        values[rows], flags[rows] = _check_values(values[rows], variable, said, kept.source_id, problems)
    latest = to_datetime64(until + CLOCK_TOLERANCE)
    tolerance = np.timedelta64(int(CLOCK_TOLERANCE.total_seconds()), "s")
    early = (kept.valid_times > latest) | (kept.valid_times > kept.recorded_ats + tolerance)
    flags[early & ~np.isnan(values)] = "future"
    checked = replace(kept, values=values, units={str(name): find_variable(str(name)).unit for name in names})
    _describe(checked, flags, problems)
    return CheckedObservations(checked, flags)


def _keep_known(batch: ObservationBatch, site_ids: frozenset[str], problems: Problems) -> ObservationBatch:
    why: dict[tuple[str, str], str] = {}
    sites, site_codes = np.unique(batch.site_ids, return_inverse=True)
    names, name_codes = np.unique(batch.variables, return_inverse=True)
    unknown_site = np.array([str(site) not in site_ids for site in sites], dtype=bool)
    unknown_name = np.zeros(len(names), dtype=bool)
    for index, name in enumerate(names):
        try:
            unit = find_variable(str(name)).unit
            conversion(batch.units.get(str(name), unit), unit)
        except UnknownNameError as error:
            unknown_name[index] = True
            why["variable", str(name)] = str(error)
    if not unknown_site.any() and not unknown_name.any():
        return batch
    bad = (unknown_site[site_codes] if len(sites) else np.zeros(0, bool)) | unknown_name[name_codes]
    rows = np.flatnonzero(bad)
    for row in rows[:MOST_MESSAGES]:
        site, name = str(batch.site_ids[row]), str(batch.variables[row])
        reason = why.get(("variable", name), f"site {site} is not known; register it first")
        problems.reject(f"{batch.source_id}: {name} of {site} at {batch.valid_times[row]}Z refused: {reason}")
    if len(rows) > MOST_MESSAGES:
        problems.reject(
            f"{batch.source_id}: {len(rows) - MOST_MESSAGES} more rows refused", count=len(rows) - MOST_MESSAGES
        )
    good = ~bad
    return replace(
        batch,
        site_ids=batch.site_ids[good],
        variables=batch.variables[good],
        valid_times=batch.valid_times[good],
        recorded_ats=batch.recorded_ats[good],
        values=batch.values[good],
    )


def _check_values(
    values: NDArray[np.float64], variable: Variable, said: str, source_id: str, problems: Problems
) -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Values of one variable in its canonical unit, and flags."""
    scale, offset = conversion(variable.unit, said)
    low, high = sorted((variable.plausible[0] * scale + offset, variable.plausible[1] * scale + offset))
    flags = np.where(np.isnan(values), "missing", "").astype("U8")
    marked = mark_fill_values(values.astype(np.float32), (float(np.float32(low)), float(np.float32(high))))
    converted = convert(values, said, variable.unit)
    if marked is None:
        return converted, flags
    fill, _ = marked
    below, above = converted < variable.plausible[0], converted > variable.plausible[1]
    flags[below | above] = "range"
    if variable.lower == 0.0:
        flags[below] = "negative"
    flags[fill] = "fill"
    converted[np.isinf(converted)] = np.nan
    there = np.count_nonzero(~np.isnan(values) & ~fill)
    if there and np.count_nonzero(flags == "range") > _MANY * there:
        profile = np.quantile(converted[~np.isnan(converted) & ~fill], (0.1, 0.5, 0.9))
        slip = find_slip(variable, said, profile, np.empty((0, 3)))
        if slip is not None:
            problems.note(f"{source_id}: {slip.reason}")
    return converted, flags


def _describe(batch: ObservationBatch, flags: NDArray[np.str_], problems: Problems) -> None:
    """One line for each flagged row that somebody should look at, up to the number that is kept."""
    rows = np.flatnonzero((flags != "") & (flags != "missing"))
    for row in rows[:MOST_MESSAGES]:
        name = str(batch.variables[row])
        problems.note(
            f"{batch.source_id}: {name} of {batch.site_ids[row]} at {batch.valid_times[row]}Z is flagged {flags[row]}: "
            f"{batch.values[row]:g} {find_variable(name).unit}"
        )
    if len(rows) > MOST_MESSAGES:
        problems.note(f"{batch.source_id}: {len(rows) - MOST_MESSAGES} more rows are flagged")
