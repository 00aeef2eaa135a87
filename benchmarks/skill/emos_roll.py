"""EMOS over a table: pooled or per site, on a window or with seasonal terms, all sources or one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.skill.emos_fit import CENSORED_LOGISTIC, GAUSSIAN, Fitted, fit_emos
from benchmarks.skill.rolling import Fit, Predict
from benchmarks.skill.tables import Table, mean_and_spread

#: Fewer cases than this per coefficient, and a site keeps silent.
CASES_PER_COEFFICIENT = 3


def emos(
    table: Table,
    *,
    sources: tuple[str, ...] | None = None,
    by_site: bool = False,
    seasonal: bool = False,
    debias: bool = False,
    mean_only: bool = False,
) -> Fit:
    """EMOS of each lead (and site), for :func:`rolling.roll`.

    Args:
        table: the set; rain is censored logistic in the square root, everything else Gaussian.
        sources: which enter as regressors of their own; all by default.
        by_site: one fit per site instead of one for all.
        seasonal: annual harmonics in location and scale, log link; for long records.
        debias: take the mean error of every source at every site, over the known cases, off first.
        mean_only: the mean of the sources is the only regressor.
    """
    names = sources or tuple(table.sources)
    rain = table.kind == "precipitation"
    family = CENSORED_LOGISTIC if rain else GAUSSIAN
    started: dict[tuple[object, ...], Fitted] = {}

    def fit(known: pd.DataFrame) -> Predict:
        errors = _site_errors(table, names, known) if debias else None
        y = known["observed"].to_numpy(float)
        y = np.sqrt(y) if rain else y
        values, spread = _regressors(table, names, known, errors)

        def predict(frame: pd.DataFrame) -> np.ndarray:
            result = np.full((len(frame), len(table.levels)), np.nan)
            new, new_spread = _regressors(table, names, frame, errors)
            for key, old_rows, new_rows, present in _groups(known, frame, values, new, by_site):
                x, v = _designs(known, values[:, present], _spread_of(spread, values, present), seasonal, mean_only)
                if len(old_rows) < CASES_PER_COEFFICIENT * (x.shape[1] + v.shape[1]):
                    continue
                start = started.get(key)
                plain = x.shape[1] - 4 if seasonal else x.shape[1]
                nonnegative = np.arange(x.shape[1]) < plain if not seasonal else np.zeros(x.shape[1], bool)
                nonnegative[0] = False
                started[key] = fitted = fit_emos(
                    family,
                    x[old_rows],
                    v[old_rows],
                    y[old_rows],
                    nonnegative=nonnegative,
                    log_link=seasonal,
                    start=start,
                )
                x, v = _designs(frame, new[:, present], _spread_of(new_spread, new, present), seasonal, mean_only)
                result[new_rows] = fitted.quantiles(x[new_rows], v[new_rows], table.levels)
            return np.square(result) if rain else result

        return predict

    return fit


def _regressors(
    table: Table, names: tuple[str, ...], frame: pd.DataFrame, errors: pd.DataFrame | None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of every source (case, source) and the variance that stands for the spread (case,), NaN where nothing does."""
    root = np.sqrt if table.kind == "precipitation" else np.asarray
    members = [root(frame[list(table.sources[name])].to_numpy(float)) for name in names]
    values = np.stack([m.mean(axis=1) for m in members], axis=1)
    if errors is not None:
        values = values - errors.reindex(frame["site"]).fillna(0.0).to_numpy()
    widest = max(members, key=lambda m: m.shape[1])
    if table.spread:
        spread = np.square(frame[table.spread].to_numpy(float))
    elif widest.shape[1] > 1:
        spread = widest.var(axis=1)
    else:
        spread = values.var(axis=1) if len(names) > 1 else np.full(len(frame), np.nan)
    return values, spread


def _spread_of(spread: np.ndarray, values: np.ndarray, present: np.ndarray) -> np.ndarray:
    """The spread of the sources that are present, where it is theirs; an ensemble's own stays as it is."""
    if not np.isnan(spread).any() or len(present) == values.shape[1]:
        return spread
    return values[:, present].var(axis=1) if len(present) > 1 else np.full(len(values), np.nan)


def _site_errors(table: Table, names: tuple[str, ...], known: pd.DataFrame) -> pd.DataFrame:
    """Mean error of every source at every site, shrunk by two cases towards the mean of all."""
    off = {name: mean_and_spread(known, table.sources[name])[0] - known["observed"].to_numpy(float) for name in names}
    grouped = pd.DataFrame(off).groupby(known["site"].to_numpy())
    whole = pd.DataFrame(off).mean()
    return (grouped.sum() + 2 * whole).div(grouped.size() + 2, axis=0)


def _designs(
    frame: pd.DataFrame, values: np.ndarray, spread: np.ndarray, seasonal: bool, mean_only: bool
) -> tuple[np.ndarray, np.ndarray]:
    one = np.ones(len(frame))
    regressors = values.mean(axis=1, keepdims=True) if mean_only else values
    x = np.column_stack([one, regressors])
    flat = bool(np.isnan(spread).all())
    if not seasonal:
        return x, one[:, None] if flat else np.column_stack([one, spread])
    phase = 2 * np.pi * frame["valid_time"].dt.dayofyear.to_numpy() / 365.25
    waves = np.column_stack([np.sin(phase), np.cos(phase)])
    x = np.column_stack([x, waves, waves * values.mean(axis=1, keepdims=True)])
    v = [one, *waves.T] if flat else [one, np.log(spread + 1e-2), *waves.T]
    return x, np.column_stack(v)


def _groups(
    known: pd.DataFrame, frame: pd.DataFrame, values: np.ndarray, new: np.ndarray, by_site: bool
) -> Iterator[tuple[tuple[object, ...], np.ndarray, np.ndarray, np.ndarray]]:
    """Rows that share a fit: same lead, same sources present, and same site if asked."""
    present = np.isfinite(new)
    labels = pd.DataFrame({"lead": frame["lead"].to_numpy(), "mask": [m.tobytes() for m in present]})
    labels["site"] = frame["site"].to_numpy() if by_site else ""
    old_lead, old_site, whole = known["lead"].to_numpy(), known["site"].to_numpy(), np.isfinite(values)
    at_site = (
        {s: np.flatnonzero(old_site == s) for s in labels["site"].unique()} if by_site else {"": np.arange(len(known))}
    )
    for (lead, mask, site), rows in labels.groupby(["lead", "mask", "site"]).indices.items():
        sources = np.frombuffer(mask, dtype=bool)
        if not sources.any():
            continue
        old = at_site[site]
        old = old[(old_lead[old] == lead) & whole[old][:, sources].all(axis=1)]
        yield (lead, mask, site), old, rows, np.flatnonzero(sources)
