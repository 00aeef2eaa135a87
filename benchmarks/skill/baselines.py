"""Which baselines a table is judged against, and the cache of what they said."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.skill.bma import bma
from benchmarks.skill.boosted_emos import boosted_emos
from benchmarks.skill.csg import csg
from benchmarks.skill.emos_roll import emos
from benchmarks.skill.idr import idr
from benchmarks.skill.rolling import Fit, covered, last_days, roll, scores
from benchmarks.skill.tables import Table
from benchmarks.skill.trees import boosted, tune_boosted, tune_forest
from benchmarks.skill.trees import forest as grow_forest

DAY = pd.Timedelta(days=1)
MONTH = pd.Timedelta(days=30)
WINDOWS = (25, 30, 40, 60)
#: Makes the quantiles (case, level) of a table, and says what was chosen.
Baseline = Callable[[Table], tuple[np.ndarray, str]]


def raw(table: Table, source: str = "") -> tuple[np.ndarray, str]:
    """The members as they are; all sources together, or one."""
    columns = [c for name, group in table.sources.items() if source in ("", name) for c in group]
    values = np.sort(table.frame[columns].to_numpy(float), axis=1)
    count = len(columns)
    place = np.clip(table.levels * count - 0.5, 0, count - 1)
    low = np.floor(place).astype(int)
    share = place - low
    return values[:, low] * (1 - share) + values[:, np.minimum(low + 1, count - 1)] * share, f"{count} members"


def best_window(
    table: Table,
    make: Callable[[], Fit],
    *,
    windows: tuple[int, ...] = WINDOWS,
    refit: pd.Timedelta = DAY,
    spare: Callable[[Table], Fit] | None = None,
) -> tuple[np.ndarray, str]:
    """The window that turns out best over the scored cases: a choice in hindsight that favours the baseline.

    Where it says nothing (a new site), ``spare`` speaks.
    """
    days = table.frame["valid_time"].dt.floor("D").nunique()
    shorter = [w for w in windows if w < days]
    different = shorter + [w for w in windows if w >= days][:1]
    tried = {}
    for window in different:
        said = roll(table, make(), refit=refit, known=last_days(table, window))
        if spare is not None:
            instead = roll(table, spare(table), refit=refit, known=last_days(table, window))
            said = np.where(np.isfinite(said), said, instead)
        tried[f"{window} days"] = said
    return _best(table, tried)


def long_record(table: Table, makes: dict[str, Fit]) -> tuple[np.ndarray, str]:
    """The best of several fits on everything known, and on the last year and two, refitted as the table says."""
    tried = {}
    for name, fit in makes.items():
        tried[name] = roll(table, fit)
        for days in (365, 730):
            tried[f"{name}, {days} days"] = roll(table, fit, known=last_days(table, days))
    return _best(table, tried)


def blend(table: Table) -> tuple[np.ndarray, str]:
    """Equal-weight mean, per quantile level, of every source's own pooled EMOS on a window."""
    tried = {}
    for window in WINDOWS:
        parts = [
            roll(table, emos(table, sources=(name,)), refit=DAY, known=last_days(table, window))
            for name in table.sources
        ]
        tried[f"{window} days"] = np.nanmean(parts, axis=0)
    return _best(table, tried)


def lightgbm(table: Table, leave_out: tuple[str, ...] = ()) -> tuple[np.ndarray, str]:
    growth = tune_boosted(table, leave_out=leave_out)
    return roll(table, boosted(table, growth, leave_out=leave_out), refit=_seldom(table)), str(growth)


def forest(table: Table) -> tuple[np.ndarray, str]:
    leaf, share = tune_forest(table)
    step = max(_seldom(table), MONTH) if len(table.frame) > 20_000 else _seldom(table)
    return roll(table, grow_forest(table, leaf, share=share), refit=step), f"leaf {leaf}, share {share}"


def shifted_gamma(table: Table) -> tuple[np.ndarray, str]:
    """Trained on all seasons, or on the cases within 45 days of the season (as published)."""
    tried = {"all seasons": csg(table), "45 days": csg(table, season_days=45)}
    return _best(
        table, {name: roll(table, fit, refit=MONTH if "45" in name else _seldom(table)) for name, fit in tried.items()}
    )


def isotonic(table: Table, *, regression: bool) -> tuple[np.ndarray, str]:
    """Isotonic distributional regression on one index."""
    return roll(table, idr(table, regression=regression), refit=max(_seldom(table), 7 * DAY)), ""


def choose(table: Table) -> dict[str, Baseline]:
    """Every baseline that fits the table, the quick ones first."""
    if not table.sources:
        given: Baseline = partial(lightgbm, leave_out=("power_now", "ws_older"))
        own = {"lightgbm_given": given} if "power_now" in table.features else {}
        return {**own, "lightgbm": lightgbm, "forest": forest}
    long = (table.start - table.frame["valid_time"].min()) > pd.Timedelta(days=500)
    single = {name: partial(raw, source=name) for name in table.sources} if len(table.sources) > 1 else {}
    result: dict[str, Baseline] = {"raw": raw, **{f"raw_{name}": baseline for name, baseline in single.items()}}
    alone = table.frame["site"].nunique() == 1
    windows = (*WINDOWS, 120, 365) if alone else WINDOWS
    result["emos_pooled"] = lambda t: best_window(t, lambda: emos(t), windows=windows)
    if table.frame["site"].nunique() > 1:
        often = DAY if table.frame["site"].nunique() < 5 else table.refit
        result["emos_site"] = lambda t: best_window(
            t, lambda: emos(t, by_site=True, mean_only=True), refit=often, spare=emos
        )
        result["emos_debiased"] = lambda t: best_window(t, lambda: emos(t, debias=True))
    if long:
        result["emos_seasonal"] = lambda t: long_record(t, {"by site": emos(t, by_site=True, seasonal=True)})
        result["emos_seasonal_pooled"] = lambda t: long_record(t, {"pooled": emos(t, seasonal=True)})
    if table.kind == "temperature" and sum(map(len, table.sources.values())) > 2:
        result["bma"] = lambda t: best_window(t, lambda: bma(t), windows=(25, 40))
    if table.kind == "temperature" and table.features:
        result["emos_boosted"] = lambda t: long_record(t, {"all known": boosted_emos(t)})
    if table.kind == "precipitation":
        result["csg"] = shifted_gamma
    if len(table.sources) > 1:
        result["blend"] = blend
    for name in table.sources if table.name.startswith("us-airports") else ():
        result[f"emos_{name}"] = lambda t, n=name: best_window(t, lambda: emos(t, sources=(n,)))
        result[f"emos_{name}_debiased"] = lambda t, n=name: best_window(t, lambda: emos(t, sources=(n,), debias=True))
    result["idr_mean"] = partial(isotonic, regression=False)
    result["idr_index"] = partial(isotonic, regression=True)
    result["lightgbm"] = lightgbm
    result["forest"] = forest
    return result


def keep(table: Table, name: str, baseline: Baseline, folder: Path) -> None:
    """Run one baseline and write what it said, its scores and one line of summary."""
    began = time.perf_counter()
    quantiles, note = baseline(table)
    rows = table.scored()
    frame, said = table.frame.loc[rows], quantiles[rows]
    observed = frame["observed"].to_numpy(float)
    result = frame[["site", "issue_time", "valid_time", "lead", "observed"]].assign(
        score=scores(said, observed, table.levels)
    )
    result["covered"] = np.where(np.isfinite(result["score"]), covered(said, observed, table.levels), np.nan)
    columns = {f"q{level:g}": said[:, k].astype(np.float32) for k, level in enumerate(table.levels)}
    result = pd.concat([result, pd.DataFrame(columns, index=result.index)], axis=1)
    place = folder / table.name
    place.mkdir(parents=True, exist_ok=True)
    result.to_parquet(place / f"{name}.parquet", index=False)
    line = {
        "set": table.name, "baseline": name, "n": int(result["score"].notna().sum()), "score": float(result["score"].mean()),
        "coverage": float(result["covered"].mean()), "seconds": round(time.perf_counter() - began, 1), "note": note,
    }  # fmt: skip
    for low, high in table.lead_groups:
        group = result["lead"].between(low, high)
        line[f"leads {low}-{high}"] = float(result.loc[group, "score"].mean())
    (place / f"{name}.json").write_text(json.dumps(line))
    summarise(folder)


def summarise(folder: Path) -> None:
    """One table of every baseline that has been run, best first."""
    lines = pd.DataFrame([json.loads(path.read_text()) for path in sorted(folder.glob("*/*.json"))])
    text = [
        "| set | baseline | n | score | coverage 80 % | seconds | lead groups | note |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, group in lines.groupby("set", sort=False):
        for _, line in group.sort_values("score").iterrows():
            leads = ", ".join(f"{c[6:]}: {line[c]:.5f}" for c in lines if c.startswith("leads") and pd.notna(line[c]))
            text.append(
                f"| {name} | {line['baseline']} | {line['n']} | {line['score']:.5f} | {100 * line['coverage']:.1f} "
                f"| {line['seconds']} | {leads} | {line['note']} |"
            )
    (folder / "summary.md").write_text("\n".join(text) + "\n")


def _seldom(table: Table) -> pd.Timedelta:
    """How often what is slow to fit is fitted: each quarter where years of record lie behind years of scoring."""
    years = table.frame["valid_time"].max() - table.start > 800 * DAY
    return max(table.refit, 90 * DAY) if years else table.refit


def _best(table: Table, tried: dict[str, np.ndarray]) -> tuple[np.ndarray, str]:
    rows = table.scored()
    observed = table.frame.loc[rows, "observed"].to_numpy(float)
    means = {name: float(np.nanmean(scores(said[rows], observed, table.levels))) for name, said in tried.items()}
    name = min(means, key=means.__getitem__)
    return tried[name], ", ".join(f"{n}: {m:.5f}" for n, m in means.items())
