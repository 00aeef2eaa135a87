"""Where each row of a table lies in the cube of issue times, leads and places."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Place
from skyproof.domain.errors import ContractError
from skyproof.domain.times import Instants
from skyproof.stages.sources.case_spec import SiteSpec
from skyproof.stages.sources.case_table import Table
from skyproof.stages.sources.case_times import RowTimes

#: Values of all cubes together; 2 GiB of float32.
_MOST_VALUES = 1 << 29
#: Coordinates of one place may differ this much between rows (degrees), its heights this much (m).
_SAME_PLACE = (0.1, 0.1, 100.0)
_UNKNOWN = (-999.0, -9999.0, -99999.0, 9999.0, 99999.0)
_EARTH = ((-90.0, 90.0), (-180.0, 360.0), (-500.0, 9000.0))


@dataclass(frozen=True, slots=True)
class Axes:
    """Sorted axes, and the position of every row on them. ``cell`` is the flat position in (issue, lead, site)."""

    issue_times: Instants
    lead_hours: tuple[int, ...]
    site_ids: tuple[str, ...]
    cell: NDArray[np.int64]
    site: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of a cube (issue, lead, site)."""
        return len(self.issue_times), len(self.lead_hours), len(self.site_ids)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a table with their times, places and positions."""

    table: Table
    times: RowTimes
    sites: NDArray[np.object_]
    axes: Axes

    def refuse_repeats(self, keys: NDArray[np.int64]) -> None:
        """Refuse rows that speak of the same thing twice.

        Raises:
            ContractError: two rows have the same key.
        """
        order = np.argsort(keys, kind="stable")
        again = order[1:][keys[order][1:] == keys[order][:-1]]
        if not len(again):
            return
        named = "; ".join(
            f"{self.table.name_rows(np.array([k]))} (site {self.sites[k]}, issued {self.times.issue[k]}, "
            f"lead {self.times.lead_hours[k]} h)"
            for k in np.sort(again)[:3]
        )
        told = "1 row repeats" if len(again) == 1 else f"{len(again):,} rows repeat"
        raise ContractError(
            f"{told} the site, issue time and lead of an earlier row: {named}",
            hint="drop the repeated rows; or name what tells them apart under site, time, where or pivot",
        )


def find_axes(times: RowTimes, sites: NDArray[np.object_], *, values_per_cell: int) -> Axes:
    """Axes that hold every row.

    Args:
        times: of the rows.
        sites: identifier of the place of every row.
        values_per_cell: how many cubes there will be, members counted.

    Raises:
        ContractError: the cube would not fit into memory.
    """
    issue_times, issue = np.unique(times.issue, return_inverse=True)
    leads, lead = np.unique(times.lead_hours, return_inverse=True)
    names, where = np.unique(sites.astype(str), return_inverse=True)
    order = np.array(sorted(range(len(names)), key=lambda k: _natural(str(names[k]))), dtype=np.int64)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    site = rank[where]
    shape = (len(issue_times), len(leads), len(names))
    cells = shape[0] * shape[1] * shape[2]
    if cells * values_per_cell > _MOST_VALUES:
        raise ContractError(
            f"{len(sites):,} rows make {shape[0]:,} issue times x {shape[1]:,} leads x {shape[2]:,} sites x "
            f"{values_per_cell} values, {cells * values_per_cell * 4 / 2**30:,.0f} GiB; at most "
            f"{_MOST_VALUES * 4 / 2**30:g} GiB fit",
            hint="check that time and site name the right columns; else split the table by site or keep fewer leads",
        )
    cell = (issue * shape[1] + lead) * shape[2] + site
    return Axes(issue_times, tuple(int(h) for h in leads), tuple(str(names[k]) for k in order), cell, site)


def read_sites(table: Table, spec: SiteSpec, *, is_column: bool) -> NDArray[np.object_]:
    """Identifier of the place of every row.

    Raises:
        ContractError: a row has none.
    """
    if not is_column:
        return np.full(table.rows, spec.constant or spec.id, dtype=object)
    sites = table.texts(str(spec.id))
    if (absent := np.array([site is None for site in sites])).any():
        raise ContractError(
            f"{table.name_rows(absent)}: column {spec.id!r} names no site", hint="fill the cells in or drop the rows"
        )
    return sites


def part_namesakes(
    table: Table, spec: SiteSpec, times: RowTimes, sites: NDArray[np.object_]
) -> tuple[NDArray[np.object_], list[str]]:
    """Tell stations apart that share an identifier, where rows of the same times lie at different coordinates.

    Returns:
        Identifiers, those of namesakes with their coordinates behind (``ALDER@45.86,-119.89``), and warnings.
    """
    if not isinstance(spec.latitude, str) or not isinstance(spec.longitude, str):
        return sites, []
    _, number = np.unique(sites.astype(str), return_inverse=True)
    order = np.lexsort((times.lead_hours, times.issue, number))
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for key in (number, times.issue, times.lead_hours):
        same &= key[order][1:] == key[order][:-1]
    if not same.any():
        return sites, []
    places = np.round(np.stack([table.numbers(spec.latitude), table.numbers(spec.longitude)]), 2)
    apart = (places[:, order[1:]] != places[:, order[:-1]]).any(axis=0) & same
    shared = np.isin(number, number[order[1:][apart]])
    if not shared.any():
        return sites, []
    parted = sites.copy()
    for row in np.flatnonzero(shared):
        parted[row] = f"{sites[row]}@{places[0, row]:g},{places[1, row]:g}"
    names = sorted({str(name) for name in sites[shared]})
    told = f"{', '.join(names[:5])}{' and others' if len(names) > 5 else ''}"
    return parted, [f"{told}: one name, several places at the same time; each place is a site of its own"]


def read_places(table: Table, spec: SiteSpec, axes: Axes) -> tuple[tuple[Place, ...], list[str]]:
    """Every place with its coordinates, and warnings about places that move.

    Raises:
        ContractError: a coordinate that is nowhere on earth.
    """
    columns, warnings = [], []
    named = (("latitude", spec.latitude), ("longitude", spec.longitude), ("elevation", spec.elevation))
    for (what, column), (low, high), same in zip(named, _EARTH, _SAME_PLACE, strict=True):
        if column is None:
            columns.append(np.full(len(axes.site_ids), np.nan))
            continue
        values = table.numbers(column) if isinstance(column, str) else np.full(table.rows, float(column))
        if (marks := np.isin(values, _UNKNOWN)).any():
            values = np.where(marks, np.nan, values)
            warnings.append(f"{what}: {marks.sum():,} rows hold a mark for a missing value, such as -9999")
        if (wrong := (values < low) | (values > high)).any():
            raise ContractError(
                f"{table.name_rows(wrong)}: {what} {values[wrong][0]:g} is outside {low:g} to {high:g}",
                hint=f"check site.{what}; degrees north, degrees east, metres",
            )
        middle, spread = _by_site(values, axes)
        if (moving := spread > same).any():
            warnings.append(f"{what} of {moving.sum()} sites differs between rows; its median is used")
        columns.append(middle)
    east = np.where(columns[1] > 180, columns[1] - 360, columns[1])
    places = tuple(
        Place(name, float(columns[0][k]), float(east[k]), float(columns[2][k])) for k, name in enumerate(axes.site_ids)
    )
    return places, warnings


def scatter(axes: Axes, values: NDArray[np.float64], rows: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
    """A cube (issue, lead, site), NaN where no row lies; ``rows`` are those that ``values`` belong to, else all."""
    cube = np.full(axes.shape, np.nan, dtype=np.float32)
    cube.reshape(-1)[axes.cell if rows is None else axes.cell[rows]] = values
    return cube


def _by_site(values: NDArray[np.float64], axes: Axes) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median and range of a column at every place, NaN and 0 where there is nothing."""
    known = np.isfinite(values)
    order = np.lexsort((values[known], axes.site[known]))
    ordered, site = values[known][order], axes.site[known][order]
    count = np.bincount(site, minlength=len(axes.site_ids))
    start = np.concatenate([[0], np.cumsum(count)[:-1]])
    middle, spread = np.full(len(count), np.nan), np.zeros(len(count))
    some = count > 0
    middle[some] = ordered[start[some] + count[some] // 2]
    spread[some] = ordered[start[some] + count[some] - 1] - ordered[start[some]]
    return middle, spread


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Sorts site2 before site10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]
