"""Baselines of trees: one gradient-boosted model per quantile level (LightGBM), and a quantile regression forest."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import lightgbm as lgb
import numpy as np
import pandas as pd
from quantile_forest import RandomForestQuantileRegressor

from benchmarks.skill.rolling import Fit, Predict, scores, widen
from benchmarks.skill.tables import Table

NINETEEN = np.arange(1, 20) / 20
TUNED_AT = np.array([0.1, 0.5, 0.9])
CHECKPOINTS = (25, 50, 100, 200, 400)
#: Rows the tuning looks at; more would only cost time.
TUNING_ROWS = 12_000
#: Rows a boosted model learns from at most, drawn at random; runs that overlap repeat themselves.
MOST_ROWS = 130_000


@dataclass(frozen=True)
class Growth:
    """How the boosted trees grow. ``residual``: the target is the departure from the mean of the sources."""

    learning_rate: float = 0.05
    leaves: int = 31
    smallest_leaf: int = 20
    share: float = 0.8
    residual: bool = False
    rounds: int = 200


def design(table: Table, frame: pd.DataFrame, leave_out: tuple[str, ...] = ()) -> tuple[pd.DataFrame, np.ndarray]:
    """Predictors of every case, and the mean of all sources (0 where there are none).

    Members of a source enter as mean, standard deviation and extremes; a source of one member as it is. Further: the mean and
    spread over sources, the hour, the season, the lead, and the site as a category.
    """
    columns: dict[str, np.ndarray] = {}
    means = []
    for name, members in table.sources.items():
        values = frame[list(members)].to_numpy(float)
        columns[name] = values.mean(axis=1)
        means.append(columns[name])
        if len(members) > 1:
            columns |= {
                f"{name}_sd": values.std(axis=1),
                f"{name}_low": values.min(axis=1),
                f"{name}_high": values.max(axis=1),
            }
            if table.kind == "precipitation":
                columns[f"{name}_wet"] = (values > 0.1).mean(axis=1)
    center = np.nanmean(means, axis=0) if means else np.zeros(len(frame))
    if len(means) > 1:
        columns |= {"mean_of_sources": center, "spread_of_sources": np.nanstd(means, axis=0)}
    columns |= {name: frame[name].to_numpy(float) for name in table.features if name not in leave_out}
    valid = frame["valid_time"]
    season = 2 * np.pi * valid.dt.dayofyear.to_numpy() / 365.25
    columns |= {
        "season_sin": np.sin(season),
        "season_cos": np.cos(season),
        "day_of_year": valid.dt.dayofyear.to_numpy(),
    }
    columns |= {"hour": valid.dt.hour.to_numpy(), "lead": frame["lead"].to_numpy()}
    sites = pd.Categorical(frame["site"], categories=sorted(table.frame["site"].unique()))
    result = pd.DataFrame(columns).assign(site=sites.codes)
    return result.loc[:, [c for c in result if table.frame["site"].nunique() > 1 or c != "site"]], center


def boosted(table: Table, growth: Growth, *, leave_out: tuple[str, ...] = ()) -> Fit:
    """19 LightGBM quantile models, at the levels 0.05 to 0.95."""

    def fit(known: pd.DataFrame) -> Predict:
        known = _thinned(known, MOST_ROWS, np.random.default_rng(1))
        x, center = design(table, known, leave_out)
        y = known["observed"].to_numpy(float) - growth.residual * center
        models = [_grow(x, y, level, growth) for level in NINETEEN]

        def predict(frame: pd.DataFrame) -> np.ndarray:
            new, middle = design(table, frame, leave_out)
            said = np.stack([model.predict(new, num_threads=1) for model in models], axis=1)
            return widen(said + growth.residual * middle[:, None], NINETEEN, table.levels)

        return predict

    return fit


def tune_boosted(table: Table, *, leave_out: tuple[str, ...] = (), seed: int = 1) -> Growth:
    """The growth with the smallest pinball loss over the end of the early part; rounds are chosen with it."""
    early = table.early()
    grow_on, judge = _split(early, seed)
    x, center = design(early, grow_on, leave_out)
    new, middle = design(early, judge, leave_out)
    y, truth = grow_on["observed"].to_numpy(float), judge["observed"].to_numpy(float)
    best, least = Growth(), np.inf
    for candidate in _candidates(bool(table.sources) and table.kind == "temperature", len(x)):
        models = [
            _grow(x, y - candidate.residual * center, level, replace(candidate, rounds=CHECKPOINTS[-1]))
            for level in TUNED_AT
        ]
        for rounds in CHECKPOINTS:
            said = np.stack([m.predict(new, num_iteration=rounds, num_threads=1) for m in models], axis=1)
            miss = truth[:, None] - said - candidate.residual * middle[:, None]
            loss = float(np.maximum(TUNED_AT * miss, (TUNED_AT - 1) * miss).mean())
            if loss < least:
                best, least = replace(candidate, rounds=rounds), loss
    return best


def forest(
    table: Table, smallest_leaf: int, *, trees: int = 200, share: float | str = 0.5, leave_out: tuple[str, ...] = ()
) -> Fit:
    """Quantile regression forest (Meinshausen 2006); missing predictors take the training median.

    A temperature is learned as its departure from the mean of the sources, which a forest of constants could not extrapolate.
    """
    departure = float(bool(table.sources) and table.kind == "temperature")

    def fit(known: pd.DataFrame) -> Predict:
        x, center = design(table, known, leave_out)
        medians = x.median()
        model = RandomForestQuantileRegressor(
            n_estimators=trees, min_samples_leaf=smallest_leaf, max_features=share, n_jobs=1, random_state=1,
            max_samples=min(1.0, 30_000 / len(x)) if len(x) > 30_000 else None,
        )  # fmt: skip
        model.fit(x.fillna(medians).to_numpy(), known["observed"].to_numpy(float) - departure * center)

        def predict(frame: pd.DataFrame) -> np.ndarray:
            new, middle = design(table, frame, leave_out)
            said = model.predict(new.fillna(medians).to_numpy(), quantiles=list(table.levels))
            return np.asarray(said) + departure * middle[:, None]

        return predict

    return fit


def tune_forest(table: Table, *, leave_out: tuple[str, ...] = (), seed: int = 1) -> tuple[int, float]:
    """Smallest leaf and share of predictors per split, by the score over the end of the early part."""
    early = table.early()
    grow_on, judge = _split(early, seed)
    found = {}
    for leaf, share in itertools.product((5, 10, 20), (0.33, 0.67)):
        said = forest(early, leaf, trees=60, share=share, leave_out=leave_out)(grow_on)(judge)
        found[leaf, share] = scores(said, judge["observed"].to_numpy(float), table.levels).mean()
    return min(found, key=found.__getitem__)


def _split(early: Table, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Cases known when the scored end of the early part began, and that end; thinned where there are many."""
    rows = early.scored()
    first = early.frame.loc[rows, "issue_time"].min()
    grow_on, judge = early.frame[early.known(first)], early.frame[rows]
    chance = np.random.default_rng(seed)
    return _thinned(grow_on, TUNING_ROWS, chance), _thinned(judge, TUNING_ROWS // 2, chance)


def _thinned(frame: pd.DataFrame, count: int, chance: np.random.Generator) -> pd.DataFrame:
    return frame if len(frame) <= count else frame.iloc[np.sort(chance.choice(len(frame), count, replace=False))]


def _candidates(residual: bool, rows: int) -> list[Growth]:
    many = rows > 5000
    shapes = ((31, 20), (63, 50), (15, 50), (31, 100)) if many else ((7, 10), (15, 20), (4, 20), (31, 10))
    rates = (0.05, 0.1)
    return [Growth(rate, *shape, residual=residual) for rate in rates for shape in shapes]


def _grow(x: pd.DataFrame, y: np.ndarray, level: float, growth: Growth) -> lgb.Booster:
    settings = {
        "objective": "quantile",
        "alpha": float(level),
        "learning_rate": growth.learning_rate,
        "num_leaves": growth.leaves,
        "min_data_in_leaf": growth.smallest_leaf,
        "feature_fraction": growth.share,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "min_data_per_group": 20,
        "max_bin": 127,
        "num_threads": 1,
        "seed": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    sites = ["site"] if "site" in x else []
    data = lgb.Dataset(x, y, categorical_feature=sites, free_raw_data=True)
    return lgb.train(settings, data, num_boost_round=growth.rounds)
