"""Judging the product on a table: read, check the pairs, forecast with a rolling origin, score, write down."""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import skyproof
from skyproof.cycle.experts import table_experts
from skyproof.domain.bench import BenchTable, Refit
from skyproof.domain.cases import Cases, RolledForecasts
from skyproof.domain.progress import Progress, silent
from skyproof.domain.protocols import CaseExpert
from skyproof.stages.learn.rolling import roll_forecasts
from skyproof.stages.sources.case_cubes import load_bench_table
from skyproof.stages.sources.case_pairs import check_table_pairs
from skyproof.stages.verify.bench_files import make_folder, write_bench
from skyproof.stages.verify.bench_report import BenchReport, build_bench_report
from skyproof.stages.verify.site_folds import join_folds, site_folds

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

Experts = Callable[[Cases], Sequence[CaseExpert]]


class Roll(Protocol):
    """How forecasts are made with a rolling origin."""

    def __call__(
        self,
        cases: Cases,
        experts: Experts,
        /,
        *,
        levels: NDArray[np.float64],
        evaluate_from: np.datetime64,
        refit: Refit,
        progress: Progress,
        memory: Path | None,
    ) -> RolledForecasts:
        """Forecasts of every model for the issue times from ``evaluate_from`` on."""
        ...


def bench_cycle(
    spec: Path,
    *,
    roll: Roll = roll_forecasts,
    experts: Experts = table_experts,
    data_folders: Sequence[Path] = (),
    accept_pairs: bool = False,
    memory: Path | None = None,
    out: Path | None = None,
    progress: Progress = silent,
) -> BenchReport:
    """Judge the product and every other model on the table of a spec.

    Args:
        spec: what the table holds and what is asked.
        roll: makes the forecasts.
        experts: of the product.
        data_folders: where the files may lie beside the spec's own folder.
        accept_pairs: go on where forecasts and observations seem not to belong together.
        memory: folder of what an interrupted run left; a run that ends takes its part away.
        out: folder of report, picture and quantiles.
        progress: called as the work goes on.

    Raises:
        InputError: spec or table are wrong.
        NotAvailableError: the product said nothing about any judged case.
    """
    began = time.perf_counter()
    if out is not None:
        make_folder(out)
    progress("read the table", 0, 2)
    table = load_bench_table(spec, data_folders=data_folders)
    progress("read the table", 1, 2)
    warnings = (*table.warnings, *check_table_pairs(table, accept=accept_pairs))
    progress("read the table", 2, 2)
    # What another version of the code left would not be what this one does.
    kept = None if memory is None else memory / f"{table.digest[:16]}-{_code_digest()[:16]}"
    if memory is not None and kept is not None:
        _drop_stale(memory, table.digest[:16], kept)
    rolled = _forecast(table, roll, experts, kept, progress)
    report = build_bench_report(
        table, rolled, warnings=warnings, seconds=time.perf_counter() - began, peak_memory_mb=_peak_memory_mb()
    )
    if out is not None:
        write_bench(report, rolled, out)
    if kept is not None:
        shutil.rmtree(kept, ignore_errors=True)
    return report


def _forecast(
    table: BenchTable, roll: Roll, experts: Experts, kept: Path | None, progress: Progress
) -> RolledForecasts:
    asked: dict[str, Any] = {
        "levels": table.levels,
        "evaluate_from": table.first_issue,
        "refit": table.refit,
        "progress": progress,
    }
    if not table.leave_out_sites:
        return roll(table.cases, experts, memory=_make(kept), **asked)

    def folds() -> Iterator[tuple[NDArray[np.bool_], RolledForecasts]]:
        for number, (out, cases) in enumerate(site_folds(table.cases)):
            place = None if kept is None else kept / f"fold-{number}"
            yield out, roll(cases, experts, memory=_make(place), **asked)

    return join_folds(folds())


def _code_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(skyproof.__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _drop_stale(memory: Path, digest: str, kept: Path) -> None:
    """Take away what other versions of the code left of the same table."""
    for folder in memory.glob(f"{digest}-*"):
        if folder != kept:
            shutil.rmtree(folder, ignore_errors=True)


def _make(folder: Path | None) -> Path | None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _peak_memory_mb() -> float:
    """Largest memory of this process so far, in MB; 0 on systems that do not say."""
    if resource is None:
        return 0.0
    # Kilobytes on Linux, bytes on macOS.
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale, 1)
