"""Scenarios: speed, calibration of sums on simulated fields, and multivariate scores on the demo's backtest.

    python benchmarks/scenario_bench.py                      # speed and simulation
    python benchmarks/scenario_bench.py --home ~/.skyproof   # and, on a finished demo, every template beside independent draws

Scores on the demo are means over cells, each variable divided by the standard deviation of its observations; gains are
relative to independent draws with the same margins, with 95 % intervals over issue times.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from time import perf_counter

import numpy as np
import scoringrules
from scipy.special import ndtri

from skyproof.archive.archive import Archive
from skyproof.cycle.wiring import Product, open_product
from skyproof.domain.errors import NotAvailableError
from skyproof.domain.forecasts import Run
from skyproof.domain.quantiles import INDEX_P10, INDEX_P90, LEVEL_ARRAY
from skyproof.domain.times import hours, to_datetime64
from skyproof.science.gaussian_copula import fit_gaussian_copula, scenarios_from_copula
from skyproof.science.multivariate_scores import energy_score, variogram_score
from skyproof.science.scenarios import (
    ensemble_template,
    independent_scenarios,
    scenario_quantiles,
    scenarios_from_template,
    weighted_sum,
)
from skyproof.science.significance import skill_with_interval
from skyproof.stages.forecast.scenarios import draw_scenarios

TEMPLATES = ("copula", "ensemble", "history", "independent")


def timed(work):
    began = perf_counter()
    return work(), perf_counter() - began


def field(issues: int, variables: int, sites: int, leads: int, seed: int) -> np.ndarray:
    """Normal scores (issue, variable, site, lead): sites of a square correlated as exp(-distance), leads with a memory of 0.9."""
    chance = np.random.default_rng(seed)
    where = np.random.default_rng(1).random((sites, 2))
    distance = np.linalg.norm(where[:, None] - where, axis=-1)
    by_site = np.linalg.cholesky(np.exp(-distance / 0.4) + 1e-9 * np.eye(sites))
    by_lead = np.linalg.cholesky(0.9 ** np.abs(np.subtract.outer(np.arange(leads), np.arange(leads))))
    noise = chance.standard_normal((issues, variables, sites, leads)).astype(np.float32)
    return np.einsum("lk,st,ivtk->ivsl", by_lead, by_site, noise, optimize=True)


def speed() -> dict[str, float]:
    """Seconds for 500 sites x 4 variables x 40 leads x 100 members, and beside scoringrules."""
    names, ids = tuple(f"v{k}" for k in range(4)), tuple(f"s{k}" for k in range(500))
    past = field(60, 4, 500, 40, 2)
    copula, fitting = timed(lambda: fit_gaussian_copula(past))
    quantiles = np.broadcast_to(ndtri(LEVEL_ARRAY), (4, 500, 40, 21))
    ensemble = np.moveaxis(field(50, 4, 500, 40, 3), 0, -1)
    template, ranking = timed(lambda: ensemble_template([ensemble]))
    arguments = {"members": 100, "seed": "bench"}
    _, by_template = timed(
        lambda: scenarios_from_template(quantiles, template, variables=names, site_ids=ids, **arguments)
    )
    drawn, by_copula = timed(lambda: scenarios_from_copula(quantiles, copula, site_ids=ids, **arguments))
    found = {
        "fit copula": fitting,
        "rank ensemble": ranking,
        "draw by template": by_template,
        "draw by copula": by_copula,
    }
    members, observed = drawn[0, ::10].reshape(1, 2000, 100)[:, :500], past[0, 0, ::10].reshape(1, 2000)[:, :500]
    for name, ours, theirs in (
        ("energy score", energy_score, scoringrules.es_ensemble),
        ("variogram score", variogram_score, scoringrules.vs_ensemble),
    ):
        more = {"p": 0.5} if name == "variogram score" else {}
        call = {"m_axis": -1, "v_axis": -2, "backend": "numba", **more}
        theirs(observed[:, :5].astype(float), members[:, :5].astype(float), **call)  # compiled before it is timed
        a, found[f"{name}, 500 dimensions"] = timed(lambda ours=ours: ours(members, observed))
        b, found[f"{name}, scoringrules"] = timed(
            lambda theirs=theirs, call=call: theirs(observed.astype(float), members.astype(float), **call)
        )
        np.testing.assert_allclose(a, b, rtol=1e-6)
    return found


def simulation(cases: int = 300, sites: int = 60, leads: int = 8) -> dict[str, dict[str, float]]:
    """Coverage of the 80 % interval of a portfolio's sum, and scores; the copula learned from 100 other issues."""
    ids, truth = tuple(f"s{k}" for k in range(sites)), field(cases, 1, sites, leads, 5)[:, 0]
    copula = fit_gaussian_copula(field(100, 1, sites, leads, 6))
    ensembles = field(cases * 20, 1, sites, leads, 7).reshape(cases, 20, sites, leads)
    quantiles = np.broadcast_to(ndtri(LEVEL_ARRAY), (1, sites, leads, 21))
    inside, energy, variogram = defaultdict(list), defaultdict(list), defaultdict(list)
    for case in range(cases):
        arguments = {"members": 100, "seed": f"case {case}", "site_ids": ids}
        template = ensemble_template([np.moveaxis(ensembles[case], 0, -1)[None]])
        drawn = {
            "copula": scenarios_from_copula(quantiles, copula, **arguments),
            "ensemble": scenarios_from_template(quantiles, template, variables=("v",), **arguments),
            "independent": independent_scenarios(quantiles, variables=("v",), **arguments),
        }
        total = truth[case].sum(axis=0)
        bounds = {name: scenario_quantiles(weighted_sum(each, np.ones(sites)))[0] for name, each in drawn.items()}
        bounds["added quantiles"] = quantiles[0].sum(axis=0)
        for name, each in bounds.items():
            inside[name].append(np.mean((each[:, INDEX_P10] <= total) & (total <= each[:, INDEX_P90])))
        for name, each in drawn.items():
            x, y = each[0, :, 3, :40], truth[case, :, 3]
            energy[name].append(energy_score(x, y))
            variogram[name].append(variogram_score(x, y))
    return {
        name: {
            "coverage": float(np.mean(inside[name])),
            **{
                label: skill_with_interval(np.array(score[name]), np.array(score["independent"])).value
                for label, score in (("energy", energy), ("variogram", variogram))
                if name in score
            },
        }
        for name in inside
    }


def observed_of(archive: Archive, run: Run, variables, site_ids, lead_hours, step_hours, now) -> np.ndarray:
    """What came of a run: (variable, site, lead)."""
    wanted = to_datetime64(run.init_time) + np.array(lead_hours) * np.timedelta64(3600, "s")
    times, values = archive.observations.grid(
        variables=variables, site_ids=site_ids, valid_from=run.init_time,
        valid_until=run.init_time + hours(max(lead_hours)), step_hours=step_hours, as_of=now,
    )  # fmt: skip
    return values[:, np.searchsorted(times, wanted)].swapaxes(1, 2)


def questions(members: np.ndarray, observed: np.ndarray, scale: np.ndarray):
    """What is asked of scenarios: (name, members (case, dimension, member), observed (case, dimension)), complete cases only."""
    x, y = members / scale[:, None, None, None], observed / scale[:, None, None]
    count = x.shape[-1]
    cuts = {
        "course of a site": (x.reshape(-1, *x.shape[2:]), y.reshape(-1, y.shape[2])),
        "all sites at a lead": (x.swapaxes(1, 2).reshape(-1, x.shape[1], count), y.swapaxes(1, 2).reshape(-1, y.shape[1])),
        "all variables of a site": (
            x.swapaxes(0, 1).reshape(x.shape[1], -1, count), y.swapaxes(0, 1).reshape(y.shape[1], -1)
        ),
    }  # fmt: skip
    for name, (some, truth) in cuts.items():
        if name == "all sites at a lead":  # a site whose station was silent is left out, for all templates alike
            seen = np.isfinite(truth).mean(axis=1) > 0.5
            parts = [
                (a[np.isfinite(b)][None], b[np.isfinite(b)][None]) for a, b in zip(some[seen], truth[seen], strict=True)
            ]
            yield name, parts
        else:
            whole = np.isfinite(truth).all(axis=1)
            yield name, [(some[whole], truth[whole])]


def demo(product: Product, members: int, every: int) -> dict[str, dict[str, object]]:
    """Every template on the runs of the newest release, beside independent draws."""
    archive, now = product.archive, product.clock.now()
    newest = archive.releases.newest(as_of=now)
    runs = archive.runs.between(issue_from=newest.created_at, issue_until=now, as_of=now, release_id=newest.release_id)
    grid = product.grid()
    scores: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    inside: dict[tuple[str, str], list[float]] = defaultdict(list)
    chosen = [run for run in runs if run.init_time + hours(max(grid.lead_hours)) <= now][::every]
    outcomes = [
        observed_of(archive, run, grid.variables, grid.site_ids, grid.lead_hours, grid.step_hours, now)
        for run in chosen
    ]
    scale = np.nanstd(np.stack(outcomes), axis=(0, 2, 3))
    for run, observed in zip(chosen, outcomes, strict=True):
        for template in TEMPLATES:
            try:
                drawn = draw_scenarios(archive, run, members=members, template=template).values
            except NotAvailableError:
                continue
            for question, parts in questions(drawn, observed, scale):
                if not any(len(x) for x, _ in parts):  # a day on which no station was heard of
                    continue
                for name, score in (("energy", energy_score), ("variogram", variogram_score)):
                    found = np.concatenate([score(x, y) for x, y in parts])
                    scores[question, name, template].append(float(found.mean()))
            # The mean over the stations that reported, so that one silent station does not lose the case.
            known = np.isfinite(observed)
            share = known / np.maximum(known.sum(axis=1, keepdims=True), 1)
            total = np.einsum("vslm,vsl->vlm", drawn, share)
            happened = np.einsum("vsl,vsl->vl", np.where(known, observed, 0), share)
            bounds = scenario_quantiles(total)
            for v, variable in enumerate(grid.variables):
                hit = (bounds[v, :, INDEX_P10] <= happened[v]) & (happened[v] <= bounds[v, :, INDEX_P90])
                inside[variable, template].append(float(hit.mean()))
    found: dict[str, dict[str, object]] = {"issue times": {"n": len(chosen)}}
    for (question, name, template), values in scores.items():
        if template != "independent":
            gain = skill_with_interval(np.array(values), np.array(scores[question, name, "independent"]))
            found[f"{question}, {name}, {template}"] = {"gain": gain.value, "low": gain.low, "high": gain.high}
    for (variable, template), hits in inside.items():
        found.setdefault(f"mean over sites, {variable}, covers", {})[template] = float(np.mean(hits))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path)
    parser.add_argument("--members", type=int, default=50)
    parser.add_argument("--every", type=int, default=1, help="take every n-th issue time")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, object] = {"seconds": speed(), "simulation": simulation()}
    if options.home:
        with open_product(options.home) as product:
            results["demo"] = demo(product, options.members, options.every)
    if options.json:
        print(json.dumps(results))
        return
    for part, rows in results.items():
        print(f"\n{part}")
        for name, value in rows.items():
            shown = value if isinstance(value, dict) else {"": value}
            print(f"  {name:50} " + "  ".join(f"{key} {number:.4g}" for key, number in shown.items()))


if __name__ == "__main__":
    main()
