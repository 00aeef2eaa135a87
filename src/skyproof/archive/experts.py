"""What every expert said before the blend: kept, so that verification and learning need not run them again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from skyproof.archive.array_file import (
    FileArray,
    as_span,
    pack,
    packed_attributes,
    read_layout,
    read_stored,
    unpack,
    write_file,
)
from skyproof.archive.database import Database
from skyproof.archive.objects import content_key
from skyproof.archive.tables import canonical_json, experts
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.forecasts import ForecastGrid
from skyproof.domain.protocols import ObjectStore
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.times import format_instant
from skyproof.domain.variables import find_variable

_THREADS = 2
#: Fewer values than this are read sooner than threads have taken turns.
_WORTH_THREADS = 5_000_000


class Experts:
    """Quantiles of the experts, per release and issue time."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects

    def put(
        self,
        release_id: str,
        issue_time: datetime,
        names: tuple[str, ...],
        quantiles: NDArray[np.float32],
        grid: ForecastGrid,
    ) -> str:
        """Keep what the experts said; durable on return.

        Args:
            release_id: the release they belong to.
            issue_time: when they were asked.
            names: one per expert.
            quantiles: (expert, variable, site, lead, level) float32, canonical units, NaN where asleep.
            grid: the cells.

        Returns:
            The key for :meth:`read_key`.

        Raises:
            InvalidValueError: the shape does not fit the grid.
        """
        data = _write(release_id, issue_time, names, quantiles, grid)
        key, _ = content_key(f"experts/{release_id}", data, ".nc")
        self._objects.put(key, data)
        row = {"release_id": release_id, "issue_time": issue_time, "object_key": key}
        with self._database.writing() as connection:
            connection.execute(self._database.upsert(experts), row)
        return key

    def read(
        self, release_id: str, issue_time: datetime, *, leads: NDArray[np.intp] | None = None
    ) -> tuple[tuple[str, ...], NDArray[np.float32]] | None:
        """Names and quantiles (expert, variable, site, lead, level) kept last for that issue time; None if there are none.

        ``leads`` are the positions wanted, ascending; all by default.
        """
        query = sa.select(experts.c.object_key).where(
            experts.c.release_id == release_id, experts.c.issue_time == issue_time
        )
        with self._database.reading() as connection:
            key = connection.execute(query).scalar_one_or_none()
        return None if key is None else self.read_key(key, leads=leads)

    def read_key(
        self, key: str, *, leads: NDArray[np.intp] | None = None
    ) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Names and quantiles of a run's ``experts_key``; arguments as in :meth:`read`.

        Raises:
            IntegrityError: the object is missing or damaged.
        """
        with self._objects.local_path(key) as path:
            layout = read_layout(path)
            stored = [layout.arrays[name] for name in layout.facts["variables"]]
            experts, sites, held, levels = stored[0].shape
            wanted = held if leads is None else len(leads)
            quantiles = np.empty((experts, len(stored), sites, wanted, levels), dtype=np.float32)
            chosen = as_span(leads)
            packed = [read_stored(path, array) for array in stored]

            def read(part: tuple[int, int]) -> None:
                expert, index = part
                unpack(packed[index][expert][:, chosen], stored[index].scale, quantiles[expert, index])

            parts = [(expert, index) for index in range(len(stored)) for expert in range(experts)]
            if quantiles.size < _WORTH_THREADS:
                for part in parts:
                    read(part)
            else:
                with ThreadPoolExecutor(max_workers=_THREADS) as pool:
                    list(pool.map(read, parts))
        return layout.texts["expert"], quantiles


def _write(
    release_id: str, issue_time: datetime, names: tuple[str, ...], quantiles: NDArray[np.float32], grid: ForecastGrid
) -> bytes:
    wanted = (len(names), len(grid.variables), len(grid.sites), len(grid.lead_hours), len(LEVEL_ARRAY))
    if quantiles.shape != wanted:
        raise InvalidValueError(f"experts have quantiles of shape {quantiles.shape}, wanted {wanted}")
    arrays = [
        FileArray("expert", ("expert",), np.array(names, dtype=object)),
        FileArray("site_id", ("site_id",), np.array(grid.site_ids, dtype=object), {"cf_role": "timeseries_id"}),
        FileArray("lead", ("lead",), np.array(grid.lead_hours, dtype="<i4"), {"units": "hours"}),
        FileArray("quantile", ("quantile",), LEVEL_ARRAY.astype("<f8"), {"standard_name": "quantile", "units": "1"}),
    ]
    saturated = {}
    for index, name in enumerate(grid.variables):
        variable = find_variable(name)
        packed, saturated[name] = pack(quantiles[:, index], variable.resolution)
        attributes = {"standard_name": variable.standard_name, "units": variable.unit}
        dims = ("expert", "site_id", "lead", "quantile")
        arrays.append(FileArray(name, dims, packed, attributes | packed_attributes(variable.resolution)))
    return write_file(
        arrays,
        attributes={
            "Conventions": "CF-1.11",
            "title": "Quantiles of the experts behind a run",
            "release_id": release_id,
            "issue_time": format_instant(issue_time),
            "values_held_at_limit": canonical_json(saturated),
        },
        facts={"variables": list(grid.variables)},
    )
