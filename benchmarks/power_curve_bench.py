"""What one power curve is worth before any joint model: GEFCom2014 wind, learned on 2012, judged on January to June 2013.

    python benchmarks/power_curve_bench.py ../shared/data/gefcom2014-wind/wind.parquet

Mean pinball loss of 99 levels over the farms, of the learned curve, the physical first guess, and the farm's climatology.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from skyproof.science.power_curve import fit_power_curve, predict_power, wind_power
from skyproof.science.scores import pinball

LEVELS = np.arange(1, 100) / 100
SPLIT = np.datetime64("2013-01-01T01:00")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    table = pq.read_table(parser.parse_args().file)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    losses, covered = [], []
    for farm in np.unique(columns["farm"]):
        mine = (columns["farm"] == farm) & np.isfinite(columns["power"])
        wind = np.hypot(columns["u100"][mine], columns["v100"][mine])
        power, past = columns["power"][mine].astype(float), columns["valid_time"][mine] < SPLIT
        guess = wind_power(wind)
        learned = predict_power(fit_power_curve(wind[past], power[past], guess[past]), wind[~past], LEVELS)
        climatology = np.quantile(power[past], LEVELS)
        truth = power[~past, None]
        forecasts = (learned, guess[~past, None], climatology[None])
        losses.append([pinball(quantiles, truth, LEVELS).mean() for quantiles in forecasts])
        covered.append(np.mean((power[~past] >= learned[:, 9]) & (power[~past] <= learned[:, 89])))
    for name, loss in zip(("learned curve", "first guess", "climatology"), np.mean(losses, axis=0), strict=True):
        print(f"{name:14} {loss:.4f}")
    print(f"the 80 % interval of the learned curve covers {100 * np.mean(covered):.1f} %")


if __name__ == "__main__":
    main()
