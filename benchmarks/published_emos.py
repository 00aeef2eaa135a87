"""EMOS as published for the ECMWF ensemble at two German stations, beside Skyproof's own scorecard on the same days.

Local EMOS with a rolling window, the reference method of Moeller and Gross (2016, doi:10.1002/qj.2741; 2020,
doi:10.1002/qj.3667) on this data: N(a + b * ensemble mean, c^2 + d^2 * ensemble variance), fitted by minimum CRPS to the
last 30 days whose observation had arrived (Gneiting et al. 2005, doi:10.1175/MWR2904.1). Fitted with scipy, scored with
scoringrules.

    python benchmarks/published_emos.py ../shared/data/ecmwf-ens-t2m-germany/t2m.parquet
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import scoringrules as sr
from scipy.optimize import minimize

MEMBERS = [f"m{number:02d}" for number in range(1, 51)]


def station_scores(
    rows: dict[str, np.ndarray], station: str, window: int, first: str
) -> tuple[list[float], list[float]]:
    """CRPS of rolling EMOS and of the raw ensemble on every day from ``first`` on."""
    mine = (rows["station_id"].astype(str) == station) & (rows["lead_hours"] == 24)
    order = np.argsort(rows["valid_time"][mine])
    members = np.stack([rows[name][mine][order] for name in MEMBERS], axis=1).astype(float)
    observed, valid = rows["obs"][mine][order].astype(float), rows["valid_time"][mine][order]
    mean, variance = members.mean(axis=1), members.var(axis=1, ddof=1)
    known = np.isfinite(mean) & np.isfinite(observed)
    emos, raw = [], []
    start = np.array([0.0, 1.0, 1.0, 1.0])
    for day in np.flatnonzero(known & (valid >= np.datetime64(first))):
        # Issued at 18 UTC of the day before: the observation of 12 UTC that day has arrived.
        past = np.flatnonzero(known[:day])[-window:]

        def loss(p: np.ndarray, past: np.ndarray = past) -> float:
            spread = np.sqrt(p[2] ** 2 + p[3] ** 2 * variance[past] + 1e-6)
            return float(sr.crps_normal(observed[past], p[0] + p[1] * mean[past], spread).mean())

        fit = minimize(loss, start, method="L-BFGS-B").x
        spread = np.sqrt(fit[2] ** 2 + fit[3] ** 2 * variance[day] + 1e-6)
        emos.append(float(sr.crps_normal(observed[day], fit[0] + fit[1] * mean[day], spread)))
        raw.append(float(sr.crps_ensemble(observed[day], members[day], estimator="nrg")))
    return emos, raw


def main() -> None:
    """Print mean CRPS at each station and at both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--window", type=int, default=30, help="days of the rolling window")
    parser.add_argument("--from", dest="first", default="2008-01-02", help="first valid day")
    options = parser.parse_args()
    table = pq.read_table(options.file)
    rows = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    together: list[list[float]] = [[], []]
    for station in ("10361", "10020"):
        emos, raw = station_scores(rows, station, options.window, options.first)
        together[0] += emos
        together[1] += raw
        print(f"{station}: rolling EMOS {np.mean(emos):.3f}, raw ensemble {np.mean(raw):.3f}, {len(emos)} days")
    print(f"both: rolling EMOS {np.mean(together[0]):.3f}, raw ensemble {np.mean(together[1]):.3f}")


if __name__ == "__main__":
    main()
