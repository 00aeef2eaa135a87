"""What a source promised against what it sent: the batch in canonical units, and a verdict on each cycle.

A verdict never changes what a source said, with three exceptions that its reasons name or that no reader could tell
apart: numbers that stand for "no value" become missing, a few impossible values become missing, and a rounding error
below zero becomes zero.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cycles import CycleBatch, Quality, SourceSpec
from skyproof.domain.errors import UnknownNameError
from skyproof.domain.times import format_instant, require_utc
from skyproof.domain.units import conversion, convert
from skyproof.domain.variables import Variable, find_variable
from skyproof.stages.sources.problems import Problems
from skyproof.stages.sources.quality import constant_at, duplicate_members, frozen_variables, mark_fill_values
from skyproof.stages.sources.unit_slip import find_slip, profiles

#: Clocks of providers may be this far ahead of ours.
CLOCK_TOLERANCE = timedelta(minutes=10)
#: Earlier cycles remembered.
MEMORY_CYCLES = 30
#: Up to this share of impossible values a cycle is used without them.
_FEW_IMPOSSIBLE = 0.005
Verdict = tuple[Quality, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class PreviousCycle:
    """The cycle before. ``values``: (variable, lead, site, member), canonical units."""

    init_time: datetime
    variables: tuple[str, ...]
    lead_hours: tuple[int, ...]
    site_ids: tuple[str, ...]
    values: NDArray[np.float32]


@dataclass(slots=True)
class SourceMemory:
    """What the checks know of a source's earlier cycles. ``previous`` is the last one, whatever its quality."""

    profiles: dict[str, deque[NDArray[np.float64]]] = field(default_factory=dict)
    previous: PreviousCycle | None = None

    def earlier(self, variable: str) -> NDArray[np.float64]:
        """Profiles (cycle, level) of the last good cycles."""
        return np.array(self.profiles.get(variable, ()), dtype=np.float64).reshape(-1, 3)

    def remember(self, variable: str, profile: NDArray[np.float64]) -> None:
        """Add the profile of a good cycle."""
        if not np.isnan(profile).any():
            self.profiles.setdefault(variable, deque(maxlen=MEMORY_CYCLES)).append(profile)


@runtime_checkable
class OffersCells(Protocol):
    """A source that knows better than its register row which cells it fills."""

    def offered_cells(self, batch: CycleBatch) -> NDArray[np.bool_] | None:
        """The cells (variable, lead, site) of the batch's axes that it ever fills; None: what the register says."""
        ...


@dataclass(frozen=True, slots=True)
class CheckedBatch:
    """A batch in canonical units, and of each of its cycles the verdict and how many values were promised."""

    batch: CycleBatch
    verdicts: tuple[Verdict, ...]
    expected: tuple[int, ...]


def keep_credible_times(batch: CycleBatch, *, until: datetime, problems: Problems) -> CycleBatch:
    """The cycles whose times can be; the others are refused with their reason.

    Args:
        batch: as the source gave it.
        until: the present.
        problems: takes what was refused.

    Raises:
        InvalidValueError: a time without a zone.
    """
    latest = until + CLOCK_TOLERANCE
    keep = []
    for index, (start, known) in enumerate(zip(batch.init_times, batch.available_ats, strict=True)):
        init_time, available_at = require_utc(start, "init_time"), require_utc(known, "available_at")
        if init_time > latest:
            why = f"it starts in the future (now is {format_instant(until)})"
        elif available_at > latest:
            why = f"it is said to be available at {format_instant(available_at)}, in the future (now is {format_instant(until)})"
        elif available_at < init_time:
            why = f"it is said to be available at {format_instant(available_at)}, before it started"
        else:
            keep.append(index)
            continue
        problems.reject(f"cycle {format_instant(init_time)} of {batch.source_id} refused: {why}")
    if len(keep) == len(batch.init_times):
        return batch
    return replace(
        batch,
        init_times=tuple(batch.init_times[index] for index in keep),
        available_ats=tuple(batch.available_ats[index] for index in keep),
        values=batch.values[keep],
    )


def keep_known_names(batch: CycleBatch, site_ids: frozenset[str], problems: Problems) -> CycleBatch:
    """The batch without variables and sites that nobody knows here; each is named."""
    variables = []
    for name in batch.variables:
        try:
            conversion(batch.units.get(name, find_variable(name).unit), find_variable(name).unit)
            variables.append(name)
        except UnknownNameError as error:
            problems.note(f"{name} of {batch.source_id} is not taken: {error}")
    unknown = [name for name in batch.site_ids if name not in site_ids]
    for name in unknown:
        problems.note(f"site {name} of {batch.source_id} is not known here; its values are not taken")
    if not unknown and len(variables) == len(batch.variables):
        return batch
    sites = [index for index, name in enumerate(batch.site_ids) if name in site_ids]
    kept = [batch.variables.index(name) for name in variables]
    return replace(
        batch,
        variables=tuple(variables),
        units={name: batch.units[name] for name in variables if name in batch.units},
        site_ids=tuple(batch.site_ids[index] for index in sites),
        values=batch.values[:, kept][:, :, :, sites],
    )


def check_cycles(
    batch: CycleBatch,
    spec: SourceSpec,
    memory: SourceMemory,
    *,
    site_ids: tuple[str, ...],
    offered: NDArray[np.bool_] | None = None,
) -> CheckedBatch:
    """Convert a batch to canonical units and judge each of its cycles.

    Args:
        batch: known variables, units and sites only (see :func:`keep_known_names`).
        spec: what the source promised.
        memory: of the cycles before; brought up to date.
        site_ids: the places that were asked for.
        offered: the cells (variable, lead, site) of the batch's axes that the source ever fills, where it says so; by
            default it promised every lead of every variable at every place.
    """
    variables = tuple(find_variable(name) for name in batch.variables)
    values = np.array(batch.values, dtype=np.float32)
    reasons: list[list[str]] = [[] for _ in batch.init_times]
    suspect = np.zeros(len(batch.init_times), dtype=bool)
    levels = np.full((len(variables), len(batch.init_times), 3), np.nan)
    for index, variable in enumerate(variables):
        said = batch.units.get(variable.name, variable.unit)
        impossible = _mask_fill_values(values[:, index], variable, said, reasons)
        values[:, index] = convert(values[:, index], said, variable.unit)
        levels[index] = profiles(values[:, index])
        for cycle in range(len(values)):
            earlier = memory.earlier(variable.name)
            slip = find_slip(variable, said, levels[index, cycle], earlier)
            if slip is not None:
                reasons[cycle].append(slip.reason)
                suspect[cycle] = True
                continue
            if impossible is not None and impossible[cycle].any():
                suspect[cycle] |= _judge_impossible(values[cycle, index], impossible[cycle], variable, reasons[cycle])
            if not suspect[cycle]:
                memory.remember(variable.name, levels[index, cycle])
    canonical = replace(batch, values=values, units={variable.name: variable.unit for variable in variables})
    verdicts, expected = [], []
    for cycle in np.argsort([instant.timestamp() for instant in batch.init_times], kind="stable"):
        frozen = _check_against_previous(canonical, int(cycle), memory, reasons[cycle])
        suspect[cycle] |= _check_shape(canonical, int(cycle), variables, spec, reasons[cycle])
        got = int(np.count_nonzero(~np.isnan(values[cycle])))
        promised = (
            _promised(canonical, int(cycle), variables, spec, site_ids)
            if offered is None
            else int(offered.sum()) * max(spec.members, values.shape[4])
        )
        quality: Quality = "frozen" if frozen else "suspect" if suspect[cycle] or not got else "ok"
        if got < promised:
            reasons[cycle].append(_missing_words(values[cycle], batch, got, promised))
            quality = "partial" if quality == "ok" else quality
        verdicts.append((int(cycle), (quality, tuple(reasons[cycle]))))
        expected.append((int(cycle), promised))
    return CheckedBatch(canonical, tuple(v for _, v in sorted(verdicts)), tuple(e for _, e in sorted(expected)))


def _mask_fill_values(
    values: NDArray[np.float32], variable: Variable, said: str, reasons: list[list[str]]
) -> NDArray[np.bool_] | None:
    """Turn fill values into NaN in place; return the mask of other impossible values, None if there are none."""
    scale, offset = conversion(variable.unit, said)
    low, high = sorted((variable.plausible[0] * scale + offset, variable.plausible[1] * scale + offset))
    if variable.lower == 0.0:
        # Packing turns an exact zero into a tiny negative number.
        noise = (values < 0) & (values > -variable.resolution * scale)
        values[noise] = 0.0
    marked = mark_fill_values(values, (low, high))
    if marked is None:
        return None
    fill, impossible = marked
    for cycle in np.flatnonzero(fill.any(axis=(1, 2, 3))):
        words = sorted({f"{number:g}" for number in np.unique(values[cycle][fill[cycle]]).tolist()})
        count = int(fill[cycle].sum())
        reasons[cycle].append(f"{variable.name}: {count} values were {', '.join(words[:3])}, taken as missing")
    values[fill] = np.nan
    return impossible


def _judge_impossible(
    values: NDArray[np.float32], impossible: NDArray[np.bool_], variable: Variable, reasons: list[str]
) -> bool:
    """A few impossible values become missing; many make the cycle suspect (True)."""
    count, there = int(impossible.sum()), int(np.count_nonzero(~np.isnan(values)))
    strange = values[impossible]
    words = (
        f"{variable.name}: {count} of {there} values outside {variable.plausible[0]:g} to {variable.plausible[1]:g} "
        f"{variable.unit}, from {strange.min():.4g} to {strange.max():.4g}"
    )
    if count > _FEW_IMPOSSIBLE * there:
        reasons.append(words)
        return True
    reasons.append(f"{words}, taken as missing")
    values[impossible] = np.nan
    return False


def _check_against_previous(batch: CycleBatch, cycle: int, memory: SourceMemory, reasons: list[str]) -> bool:
    """Whether all that could change did not; a part that did not is a reason of its own. Remembers the cycle."""
    now, previous = batch.values[cycle], memory.previous
    variables = tuple(find_variable(name) for name in batch.variables)
    frozen: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()
    if previous is not None and previous.init_time < batch.init_times[cycle]:
        before = _aligned(previous, batch)
        frozen, judged = frozen_variables(now, before, variables)
        if frozen:
            when = format_instant(previous.init_time)
            reasons.append(f"{', '.join(frozen)}: every value is that of the cycle {when}")
    if not np.isnan(now).all():
        memory.previous = PreviousCycle(batch.init_times[cycle], batch.variables, batch.lead_hours, batch.site_ids, now)
    return bool(frozen) and frozen == judged


def _check_shape(
    batch: CycleBatch, cycle: int, variables: tuple[Variable, ...], spec: SourceSpec, reasons: list[str]
) -> bool:
    """Repeated members, constant fields, a frozen part, and what was not announced; True makes the cycle suspect."""
    values = batch.values[cycle]
    suspect = any("every value is that of the cycle" in reason for reason in reasons)
    for index, variable in enumerate(variables):
        constant = constant_at(values[index], variable)
        if constant is not None:
            reasons.append(f"{variable.name}: every value is {constant:g} {variable.unit}")
            suspect = True
    pairs = duplicate_members(values)
    if pairs:
        words = ", ".join(f"{later} repeats {earlier}" for later, earlier in pairs[:5])
        reasons.append(f"{len(pairs)} of {values.shape[-1]} members are copies: {words}")
        suspect |= len(pairs) * 2 >= values.shape[-1]
    if spec.members and values.shape[-1] > spec.members:
        reasons.append(f"{values.shape[-1]} members, promised were {spec.members}")
    new = [name for name in batch.variables if spec.units and name not in spec.units]
    if new:
        reasons.append(f"{', '.join(new)} came though not promised")
    return suspect


def _promised(
    batch: CycleBatch, cycle: int, variables: tuple[Variable, ...], spec: SourceSpec, site_ids: tuple[str, ...]
) -> int:
    """Values a cycle should have. Sums and means over the step before have none at lead 0, unless they came."""
    leads = set(spec.lead_hours) | set(batch.lead_hours)
    places = len(set(site_ids) | set(batch.site_ids))
    members = max(spec.members, batch.values.shape[4])
    present = {variable.name: index for index, variable in enumerate(variables)}
    count = 0
    for name in dict.fromkeys((*spec.variables, *batch.variables)):
        own = len(leads)
        if 0 in leads and find_variable(name).cell_method != "instant":
            came = name in present and 0 in batch.lead_hours
            first = batch.values[cycle, present[name], batch.lead_hours.index(0)] if came else None
            own -= first is None or bool(np.isnan(first).all())
        count += own * places * members
    return count


def _missing_words(values: NDArray[np.float32], batch: CycleBatch, got: int, promised: int) -> str:
    """How much is missing, and what of it is missing as a whole."""
    words = f"got {got} of {promised} values"
    if not got:
        return words
    there = ~np.isnan(values)
    gone = []
    for what, names, axes in (
        ("variable", batch.variables, (1, 2, 3)),
        ("member", tuple(range(1, values.shape[3] + 1)), (0, 1, 2)),
        ("site", batch.site_ids, (0, 1, 3)),
    ):
        lost = [str(name) for name, kept in zip(names, np.any(there, axis=axes).tolist(), strict=True) if not kept]
        if lost:
            gone.append(f"{what} {', '.join(lost[:4])}{f' and {len(lost) - 4} more' if len(lost) > 4 else ''}")
    return f"{words}; nothing of {'; '.join(gone)}" if gone else words


def _aligned(previous: PreviousCycle, batch: CycleBatch) -> NDArray[np.float32]:
    """The values of the cycle before on the axes of the batch (variable, lead, site, member), NaN where it has none."""
    if previous.values.shape == batch.values.shape[1:] and (
        (previous.variables, previous.lead_hours, previous.site_ids)
        == (batch.variables, batch.lead_hours, batch.site_ids)
    ):
        return previous.values
    out = np.full(batch.values.shape[1:], np.nan, dtype=np.float32)
    here_v, own_v = _shared(batch.variables, previous.variables)
    here_l, own_l = _shared(batch.lead_hours, previous.lead_hours)
    here_s, own_s = _shared(batch.site_ids, previous.site_ids)
    members = min(batch.values.shape[4], previous.values.shape[3])
    out[np.ix_(here_v, here_l, here_s, range(members))] = previous.values[np.ix_(own_v, own_l, own_s, range(members))]
    return out


def _shared(axis: Sequence[object], held: Sequence[object]) -> tuple[list[int], list[int]]:
    """Positions, in both, of what two axes have in common."""
    place = {name: index for index, name in enumerate(held)}
    here = [index for index, name in enumerate(axis) if name in place]
    return here, [place[axis[index]] for index in here]
