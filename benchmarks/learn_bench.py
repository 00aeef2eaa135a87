"""How fast experts learn: the regression's solver beside scipy's, and the refit of a whole business.

python benchmarks/learn_bench.py [--part solver|refit] [--sites 500] [--leads 40] [--days 730]
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize, special

from skyproof.domain.cases import Cases, Place
from skyproof.domain.variables import find_variable
from skyproof.science import distributions
from skyproof.science.distributional_regression import Distribution, Rows, fit_regressions
from skyproof.stages.forecast.emos_expert import EmosExpert

Floats = np.ndarray[Any, np.dtype[np.float64]]
VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation", "pressure_msl")
MEMBERS = {"alba": 12, "brio": 8, "cirro": 1}
LEVELS = np.arange(0.05, 0.96, 0.05)


def normal_loss(y: Floats, x: Floats, z: Floats, at: Floats) -> tuple[float, Floats]:
    """Mean CRPS of the normal distribution and its gradient, in numpy."""
    p = x.shape[1]
    scale = np.exp(z @ at[p:])
    score = (y - x @ at[:p]) / scale
    slope, density = 2 * special.ndtr(score) - 1, distributions.normal_density(score)
    height = score * slope + 2 * density - 1 / np.sqrt(np.pi)
    gradient = np.concatenate([-slope @ x, (scale * (height - score * slope)) @ z]) / len(y)
    return float(np.mean(scale * height)), gradient


def gamma_loss(y: Floats, x: Floats, z: Floats, at: Floats) -> float:
    """Mean CRPS of the censored shifted gamma distribution, in numpy."""
    p = x.shape[1]
    mean, sd = np.logaddexp(0.0, x @ at[:p]) + 1e-9, np.exp(z @ at[p:-1])
    sd = np.clip(sd, mean * np.exp(-3), mean * np.exp(3))
    return float(distributions.shifted_gamma_crps(y, mean, sd, np.exp(at[-1])).mean())


def one_problem(distribution: Distribution, cases: int, seed: int) -> Rows:
    """A regression on four regressors of the location and two of the scale."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(cases), rng.normal(size=(cases, 3))])
    z = np.column_stack([np.ones(cases), rng.normal(size=cases)])
    location, scale = x @ [0.3, 0.9, 0.1, -0.1], np.exp(z @ [-0.5, 0.3])
    y = location + scale * rng.normal(size=cases)
    return Rows.one_problem(np.maximum(y, 0.0) if distribution == "shifted_gamma" else y, x, z)


def beside_scipy(title: str, distribution: Distribution, problems: int, cases: int) -> None:
    """One line for each way of scipy: processor seconds of both, their ratio, and how much the losses differ."""
    rows = [one_problem(distribution, cases, seed) for seed in range(problems)]
    names = ("observed", "location", "log_scale", "weight")
    table = Rows(
        *(np.concatenate([getattr(row, name) for row in rows]) for name in names), np.arange(problems + 1) * cases
    )
    gamma = distribution == "shifted_gamma"
    start, lower = np.zeros(7 if gamma else 6), 0.0 if gamma else -np.inf
    fit_regressions(distribution, rows[0], start, lower=lower)  # compiled and loaded
    seconds, ours = timed_alone(
        lambda: fit_regressions(distribution, table, start, lower=lower, tolerance=1e-7, threads=1)
    )
    ways: list[tuple[str, str, bool]] = [("BFGS", "numerical", False), ("L-BFGS-B", "numerical", False)]
    ways += [] if gamma else [("BFGS", "analytic", True), ("L-BFGS-B", "analytic", True)]
    for method, kind, analytic in ways:

        def solve_all(method: str = method, analytic: bool = analytic) -> list[float]:
            return [solve(row, method, analytic, gamma=gamma, start=start) for row in rows]

        theirs_seconds, theirs = timed_alone(solve_all)
        apart = float(np.max((ours.loss - np.array(theirs)) / np.array(theirs)))
        print(
            f"{title}, {method} with {kind} gradient: {theirs_seconds:.3f} s against {seconds:.4f} s, "
            f"{theirs_seconds / seconds:.0f} times; our loss is at most {apart:+.1e} of theirs away"
        )


def solve(row: Rows, method: str, analytic: bool, *, gamma: bool, start: Floats) -> float:
    """The loss scipy reaches."""
    arguments = (row.observed, row.location, row.log_scale)

    def objective(at: Floats) -> Any:
        if gamma:
            return gamma_loss(*arguments, at)
        loss, gradient = normal_loss(*arguments, at)
        return (loss, gradient) if analytic else loss

    return float(optimize.minimize(objective, start, jac=analytic or None, method=method).fun)


def business(name: str, sites: int, leads: int, days: int) -> Cases:
    """Synthetic cases of one variable: three sources with biases of their own at every site."""
    rng = np.random.default_rng(len(name))
    shape = (days, leads, sites)
    signal = 2 * rng.standard_normal(shape, dtype=np.float32)
    signal += 3 + 5 * np.cos(2 * np.pi * np.arange(days, dtype=np.float32) / 365)[:, None, None]
    variable = find_variable(name)
    signal += np.float32(1000 if name == "pressure_msl" else 0)
    members = {}
    for source, count in MEMBERS.items():
        array = np.empty((*shape, count), dtype=np.float32)
        bias = rng.standard_normal((1, leads, sites), dtype=np.float32)
        for member in range(count):
            array[..., member] = signal + bias + rng.standard_normal(shape, dtype=np.float32)
        members[source] = np.clip(array, variable.lower, variable.upper, out=array)
    observed = np.clip(signal + rng.standard_normal(shape, dtype=np.float32), variable.lower, variable.upper)
    return Cases(
        variable=variable,
        issue_times=np.datetime64("2024-01-01T00", "s") + np.arange(days) * np.timedelta64(1, "D"),
        lead_hours=tuple(range(3, 3 * leads + 1, 3)),
        sites=tuple(Place(f"s{i}", 40 + i % 25 / 3, i // 25 / 3, 100.0 * (i % 7)) for i in range(sites)),
        members=members,
        predictors={},
        observed=observed,
    )


def refit(sites: int, leads: int, days: int) -> None:
    """Every source of every variable: a first fit, the refit a day later, and the next day's forecast."""
    cells = sites * leads * days
    print(f"{sites} sites, {leads} leads, {days} days: {cells:,} cells of each variable and source")
    totals, processor = np.zeros(3), 0.0
    for name in VARIABLES:
        seconds = np.zeros(3)
        cases = business(name, sites, leads, days + 1)
        begin = time.process_time()
        for source in MEMBERS:
            seconds += learn(EmosExpert(source), cases)
        alone = time.process_time() - begin
        processor += alone
        figures = f"fit {seconds[0]:.1f} s, refit {seconds[1]:.1f} s, forecast {seconds[2]:.2f} s"
        print(f"{name}: {figures}; {alone:.1f} s of processor time for the three", flush=True)
        totals += seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"all: fit {totals[0]:.0f} s, refit {totals[1]:.0f} s, forecast {totals[2]:.1f} s; peak memory {peak:.2f} GiB"
    )


def learn(expert: EmosExpert, cases: Cases) -> Floats:
    """Seconds of the first fit, of the refit a day later, and of the forecast for that day."""
    days = len(cases.issue_times) - 1
    first = timed(lambda: expert.fit(cases.take(slice(0, days - 1)), cases.issue_times[days - 1]))[0]
    again = timed(lambda: expert.fit(cases.take(slice(0, days)), cases.issue_times[days]))[0]
    return np.array([first, again, timed(lambda: expert.predict(cases.take(slice(days, days + 1)), LEVELS))[0]])


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds and what came out."""
    begin = time.perf_counter()
    result = work()
    return time.perf_counter() - begin, result


def timed_alone(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of processor time, which other programs do not lengthen, and what came out."""
    begin = time.process_time()
    result = work()
    return time.process_time() - begin, result


def main() -> None:
    """Print both parts, or one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=["solver", "refit", "all"], default="all")
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--leads", type=int, default=40)
    parser.add_argument("--days", type=int, default=730)
    options = parser.parse_args()
    if options.part != "refit":
        beside_scipy("normal, one problem of 30,000 cases", "normal", 1, 30_000)
        beside_scipy("normal, 500 problems of 365 cases", "normal", 500, 365)
        beside_scipy("censored shifted gamma, one problem of 3,000 cases", "shifted_gamma", 1, 3_000)
    if options.part != "solver":
        refit(options.sites, options.leads, options.days)


if __name__ == "__main__":
    main()
