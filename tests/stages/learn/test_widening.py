"""What was learned about each loss holds on days that nothing was learned from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.forecasts import ForecastInputs, Regime
from skyproof.domain.quantiles import INDEX_P10, INDEX_P90
from skyproof.domain.regimes import known_losses, regime_id
from skyproof.science.coverage import coverage_80
from skyproof.science.online_blend import BernsteinBlend
from skyproof.stages.forecast.assemble import assemble_forecast
from skyproof.stages.forecast.axes import valid_times
from skyproof.stages.forecast.blending import advance_blend
from skyproof.stages.forecast.experts import ask_experts
from tests.stages import toy_world

SITES = 24
LEARN_DAYS, TAIL_DAYS, BACKTEST_DAYS = 105, 35, 50
LEARNED = toy_world.START + timedelta(days=LEARN_DAYS, hours=12)
#: Of rain the sources of this world never say that none falls (they add 4 mm), so its dry days cannot be told from tiny
#: amounts; temperature and wind are judged here.
JUDGED = slice(0, 2)
LOSSES = known_losses(toy_world.SOURCES)
NAMES = [regime_id(toy_world.SOURCES, gone, observations=seen) for gone, seen in LOSSES]


def without(inputs: ForecastInputs, gone: frozenset[str], *, observations: bool) -> ForecastInputs:
    """The inputs as if some sources, or the observations, had not come."""
    cycles = {source_id: None if source_id in gone else cycle for source_id, cycle in inputs.cycles.items()}
    cases = tuple(
        replace(each, members={name: values for name, values in each.members.items() if name not in gone})
        for each in inputs.cases
    )
    values = inputs.recent.values if observations else np.full_like(inputs.recent.values, np.nan)
    return replace(inputs, cycles=cycles, cases=cases, recent=replace(inputs.recent, values=values))


def asleep(names: tuple[str, ...], gone: frozenset[str], *, observations: bool) -> np.ndarray:
    """Which experts would then have nothing to say."""
    gone_with = {"persistence": not observations, "emos:all": bool(gone)}
    return np.array([name.partition(":")[2] in gone or gone_with.get(name, False) for name in names])


class Backtest:
    """Every day after the release was learned, forecast in every regime."""

    def __init__(self, archive: Archive) -> None:
        release = toy_world.learn(archive, as_of=LEARNED, site_count=SITES, tail_days=TAIL_DAYS)
        self.content = archive.releases.read(release)
        self.regimes: dict[str, Regime] = {}
        panel, blend, grid = toy_world.wake(self.content), BernsteinBlend(), self.content.grid
        quantiles: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
        observed = []
        for day in range(BACKTEST_DAYS):
            issue_time = LEARNED + timedelta(days=day)
            inputs = archive.inputs.gather(grid, self.content.source_ids, issue_time=issue_time)
            state = advance_blend(archive, release, panel, blend, issue_time)
            times, values = archive.observations.grid(
                variables=grid.variables,
                site_ids=grid.site_ids,
                valid_from=inputs.init_time,
                valid_until=inputs.init_time + timedelta(hours=max(grid.lead_hours)),
                step_hours=grid.step_hours,
                as_of=LEARNED + timedelta(days=365),
            )
            place = np.searchsorted(times, valid_times(inputs.init_time, grid.lead_hours))
            observed.append(values[:, place].swapaxes(1, 2))
            expert_names, answers = ask_experts(panel, inputs)
            for (gone, seen), name in zip(LOSSES, NAMES, strict=True):
                some, experts = without(inputs, gone, observations=seen), answers.copy()
                experts[asleep(expert_names, gone, observations=seen)] = np.nan
                made = assemble_forecast(self.content, blend, state, experts, some, toy_world.REGISTER)
                self.regimes[name] = made.regime
                quantiles[name].append(made.values.quantiles)
        self.observed = np.stack(observed, axis=1)[JUDGED]
        self.quantiles = {name: np.stack(made, axis=1)[JUDGED] for name, made in quantiles.items()}

    def width(self, name: str) -> float:
        some = self.quantiles[name]
        full = self.quantiles["full"]
        relative = [
            (q[..., INDEX_P90] - q[..., INDEX_P10]).mean() / (f[..., INDEX_P90] - f[..., INDEX_P10]).mean()
            for q, f in zip(some, full, strict=True)
        ]
        return float(np.mean(relative))


@pytest.fixture(scope="module")
def backtest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backtest]:
    with Archive.open(tmp_path_factory.mktemp("widening")) as archive:
        toy_world.build_world(archive, days=LEARN_DAYS + BACKTEST_DAYS + 3, site_count=SITES, seed=3, bias=4.0)
        yield Backtest(archive)


@pytest.mark.parametrize("name", NAMES)
def test_the_80_percent_interval_keeps_its_promise_in_every_regime(backtest: Backtest, name: str) -> None:
    # Sampling error: weather of 24 independent sites with a memory of 0.66 from day to day. Whether an observation is
    # inside an interval is remembered for about two days, so 50 days are worth about 25 per site: 600 independent cases,
    # an error of sqrt(0.8 * 0.2 / 600) = 0.016, and as much again from the 30 days the factors were learned on.
    assert backtest.regimes[name].regime_id == name
    held, cases = coverage_80(backtest.quantiles[name], backtest.observed)
    assert cases > 8_000
    assert 0.75 <= held <= 0.85


def test_intervals_widen_with_every_loss(backtest: Backtest) -> None:
    known = {name: calibration.widening for name, calibration in backtest.content.regimes.items()}
    for gone, seen in LOSSES:
        for fewer, more_seen in LOSSES:
            if fewer <= gone and more_seen >= seen:
                smaller = regime_id(toy_world.SOURCES, fewer, observations=more_seen)
                name = regime_id(toy_world.SOURCES, gone, observations=seen)
                assert known[name] >= known[smaller] - 1e-4
    # Measured on other days, the loss of the poorer source may go either way by what they leave unsure.
    assert backtest.width("without-det") > 0.9
    assert (
        backtest.width("climatology-only") > backtest.width("observations-only") > backtest.width("without-ens") > 1.3
    )


@pytest.mark.parametrize("name", NAMES)
def test_quantiles_never_cross_and_stay_within_limits_in_every_regime(backtest: Backtest, name: str) -> None:
    quantiles = backtest.quantiles[name]
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=-1) >= 0).all()
    assert quantiles[1].min() >= 0


def test_the_factors_of_the_full_regime_would_not_do_for_a_loss(backtest: Backtest) -> None:
    known = backtest.content.regimes
    assert np.abs(known["full"].factors / known["without-ens"].factors - 1).max() > 0.05
