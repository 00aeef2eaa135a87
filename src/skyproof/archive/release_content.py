"""What is inside a release: everything that made it able to forecast, in bytes that depend on nothing else.

The same history and the same code give the same bytes, and so the same release id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.array_file import read_arrays, write_arrays
from skyproof.domain.cases import SourceHabit
from skyproof.domain.errors import IntegrityError
from skyproof.domain.forecasts import ForecastGrid
from skyproof.domain.sites import Site
from skyproof.domain.times import format_instant, parse_instant

Arrays = Mapping[str, NDArray[Any]]


#: Under this name a release keeps where the first guess of a variable ended.
GUESS = "guess"


def case_model(name: str, variable: str) -> str:
    """The key in :attr:`ReleaseContent.models` of an expert, or of the guess, of one variable."""
    return f"{name}/{variable}"


@dataclass(frozen=True, slots=True)
class RegimeCalibration:
    """What the release learned about one degradation regime.

    ``factors``: (variable, lead) stretch of the quantiles about their median; ``widening``: mean width of the 80 %
    interval relative to the full regime; ``coverage``: share of the held-out observations inside it, of ``cases``.
    """

    factors: NDArray[np.float64]
    widening: float
    coverage: float
    cases: int


@dataclass(frozen=True, slots=True)
class ReleaseContent:
    """A release, unpacked.

    ``expert_names`` are the blend's experts in order, the first ``usual`` of which need no source; ``models`` their states,
    by name, or by name and variable (``emos:alba/temperature_2m``) for those that learn from cases; ``blend_state`` is what
    the blend had learned by ``learned_at`` from nominal issue times every ``issue_every_hours`` from ``issue_hour_utc``;
    ``habits`` what each source usually brought to them.
    ``dependence`` is how errors hang together, for scenarios; releases of before scenarios have none.
    """

    code_version: str
    learned_at: datetime
    trained_from: datetime
    grid: ForecastGrid
    source_ids: tuple[str, ...]
    issue_every_hours: int
    issue_hour_utc: int
    max_cycle_age_hours: int
    expert_names: tuple[str, ...]
    usual: int
    habits: Mapping[str, SourceHabit]
    models: Mapping[str, Arrays]
    blend_state: Arrays
    regimes: Mapping[str, RegimeCalibration]
    dependence: Arrays = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The release as a file; equal contents give equal bytes."""
        arrays: dict[str, NDArray[Any]] = {"manifest": np.array([self._manifest()])}
        arrays.update(
            {f"model|{name}|{key}": value for name, state in self.models.items() for key, value in state.items()}
        )
        arrays.update({f"blend|{key}": value for key, value in self.blend_state.items()})
        arrays.update({f"dependence|{key}": value for key, value in self.dependence.items()})
        arrays.update({f"habit|{name}": habit.leads for name, habit in self.habits.items()})
        arrays.update({f"regime|{name}": known.factors for name, known in self.regimes.items()})
        return write_arrays(dict(sorted(arrays.items())), attributes={"title": "Skyproof release"})

    @classmethod
    def from_bytes(cls, data: bytes) -> ReleaseContent:
        """Unpack a release.

        Raises:
            IntegrityError: the bytes are no release.
        """
        arrays, _ = read_arrays(data)
        try:
            manifest = json.loads(str(arrays.pop("manifest")[0]))
        except (KeyError, ValueError) as error:
            raise IntegrityError("a release without a readable manifest", hint="restore the object store") from error
        if "habits" not in manifest:
            raise IntegrityError(
                f"the release was made by an older version ({manifest.get('code_version')})",
                hint="skyproof learn makes a new one",
            )
        models: dict[str, dict[str, NDArray[Any]]] = {name: {} for name in manifest["models"]}
        blend_state: dict[str, NDArray[Any]] = {}
        dependence: dict[str, NDArray[Any]] = {}
        for full_name, value in arrays.items():
            kind, _, name = full_name.partition("|")
            if kind == "model":
                owner, _, key = name.partition("|")
                models[owner][key] = value
            elif kind in {"blend", "dependence"}:
                (blend_state if kind == "blend" else dependence)[name] = value
        regimes = {
            name: RegimeCalibration(arrays[f"regime|{name}"], **known) for name, known in manifest["regimes"].items()
        }
        grid = manifest["grid"]
        return cls(
            code_version=manifest["code_version"],
            learned_at=parse_instant(manifest["learned_at"]),
            trained_from=parse_instant(manifest["trained_from"]),
            grid=ForecastGrid(
                tuple(Site(**site) for site in grid["sites"]),
                tuple(grid["variables"]),
                tuple(grid["lead_hours"]),
                grid["step_hours"],
            ),
            source_ids=tuple(manifest["source_ids"]),
            issue_every_hours=manifest["issue_every_hours"],
            issue_hour_utc=manifest["issue_hour_utc"],
            max_cycle_age_hours=manifest["max_cycle_age_hours"],
            expert_names=tuple(manifest["expert_names"]),
            usual=manifest["usual"],
            habits={
                name: SourceHabit(known["age_hours"], known["members"], arrays[f"habit|{name}"])
                for name, known in manifest["habits"].items()
            },
            models=models,
            blend_state=blend_state,
            regimes=regimes,
            dependence=dependence,
        )

    def _manifest(self) -> str:
        manifest = {
            "code_version": self.code_version,
            "learned_at": format_instant(self.learned_at),
            "trained_from": format_instant(self.trained_from),
            "grid": {
                "sites": [asdict(site) for site in self.grid.sites],
                "variables": self.grid.variables,
                "lead_hours": self.grid.lead_hours,
                "step_hours": self.grid.step_hours,
            },
            "source_ids": self.source_ids,
            "issue_every_hours": self.issue_every_hours,
            "issue_hour_utc": self.issue_hour_utc,
            "max_cycle_age_hours": self.max_cycle_age_hours,
            "expert_names": self.expert_names,
            "usual": self.usual,
            "habits": {
                name: {"age_hours": habit.age_hours, "members": habit.members} for name, habit in self.habits.items()
            },
            "models": sorted(self.models),
            "regimes": {
                name: {"widening": known.widening, "coverage": known.coverage, "cases": known.cases}
                for name, known in self.regimes.items()
            },
        }
        return json.dumps(manifest, sort_keys=True)
