"""Judging the product on a table, from the spec to the report."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyproof.cycle.bench_cycle import bench_cycle
from skyproof.domain.errors import PairMismatchError
from skyproof.stages.forecast.case_baselines import CaseClimatology, CasePersistence
from skyproof.stages.forecast.emos_expert import EmosExpert
from skyproof.stages.learn.rolling import roll_forecasts
from tests.stages.case_samples import load, make_rows, make_spec, write
from tests.stages.rolled_samples import roll_past


def prepare(folder, rows=None, **changes):
    write(folder, make_rows() if rows is None else rows)
    path = folder / "spec.yaml"
    path.write_text(json.dumps(make_spec(**changes)))
    return path


def bench(spec, **changes):
    return bench_cycle(spec, **{"roll": roll_past, "experts": list, **changes})


def test_a_table_is_judged_and_everything_is_written(tmp_path):
    seen = []
    report = bench(
        prepare(tmp_path), out=tmp_path / "out", memory=tmp_path / "memory", progress=lambda *call: seen.append(call)
    )
    assert report.models[0].name == "skyproof"
    assert (
        report.models[0].overall.n == 70
    )  # 17 issue times 24 h and 18 issue times 48 h before the days asked for, two sites
    assert report.seconds > 0
    assert report.peak_memory_mb > 10
    assert (tmp_path / "out" / "report.json").exists()
    assert {what for what, _, _ in seen} == {"read the table", "learn and forecast"}
    assert not list((tmp_path / "memory").iterdir()), "a run that ended leaves nothing to resume from"


def test_an_interrupted_run_finds_what_it_left(tmp_path):
    spec, kept = prepare(tmp_path), []

    def roll(cases, experts, /, *, memory, **asked):
        kept.append((memory, (memory / "part").exists()))
        (memory / "part").write_text("done")
        if len(kept) == 1:
            raise KeyboardInterrupt
        return roll_past(cases, experts, memory=memory, **asked)

    with pytest.raises(KeyboardInterrupt):
        bench(spec, roll=roll, memory=tmp_path / "memory")
    (left,) = (tmp_path / "memory").iterdir()
    stale = left.with_name(left.name[:17] + "an-older-version")
    stale.mkdir()
    bench(spec, roll=roll, memory=tmp_path / "memory")
    assert kept[0][0] == kept[1][0]
    assert [found for _, found in kept] == [False, True]
    assert not stale.exists()


def test_pairs_that_do_not_match_are_refused_unless_accepted(tmp_path):
    rows = make_rows(days=90)
    rows["x"] = rows["obs"]
    spec = prepare(tmp_path, rows)
    with pytest.raises(PairMismatchError, match="source X equals the observation") as caught:
        bench(spec)
    assert "--accept-pairs" in caught.value.hint
    report = bench(spec, accept_pairs=True)
    assert any("source X equals" in warning for warning in report.warnings)


def test_sites_left_out_are_judged_without_their_own_observations(tmp_path):
    rows = make_rows(sites=tuple("abcdef"))
    seen = []

    def roll(cases, experts, /, **asked):
        seen.append(np.isfinite(cases.observed).any(axis=(0, 1)))
        return roll_past(cases, experts, **asked)

    spec = prepare(tmp_path, rows, evaluate={"from": "2024-01-25", "leave_out": "sites"})
    report = bench(spec, roll=roll, memory=tmp_path / "memory")
    assert len(seen) == 5
    assert (~np.array(seen)).sum(axis=0).tolist() == [1] * 6
    assert report.models[0].overall.n == 6 * 35
    assert report.to_dict()["evaluate"]["leave_out"] == "sites"


@pytest.fixture(scope="module")
def issued(tmp_path_factory):
    """The product's own forecasts of a small table with two leads, whose observations arrive three hours late."""
    target = {"column": "obs", "variable": "temperature_2m", "unit": "Cel", "observation_delay_hours": 3}
    table = load(tmp_path_factory.mktemp("issued"), evaluate={"from": "2024-01-26"}, target=target)
    return table, forecast(table, table.cases.observed)


def forecast(table, observed):
    asked = {"levels": table.levels, "evaluate_from": table.first_issue, "refit": "monthly"}
    return roll_forecasts(replace(table.cases, observed=observed), quick_experts, **asked)


def quick_experts(cases):
    """One expert of a kind; that none looks ahead is part of the contract each is tested by."""
    return [CaseClimatology(), CasePersistence(), *(EmosExpert(source) for source in list(cases.members)[:1])]


@settings(max_examples=4)
@given(hours=st.integers(23 * 24, 41 * 24), seed=st.integers(0, 1000))
def test_no_forecast_changes_when_what_came_later_does(issued, hours, seed):
    """Every observation that arrived after an instant is corrupted; all that was issued until then is the same to the byte."""
    table, before = issued
    cases = table.cases
    instant = cases.issue_times[0] + np.timedelta64(hours, "h")
    wild = np.random.default_rng(seed).normal(50, 30, cases.observed.shape).astype(np.float32)
    after = forecast(table, np.where(cases.known(instant), cases.observed, wild))
    until = before.cases.issue_times <= instant
    assert before.names == after.names
    assert before.quantiles[:, until].tobytes() == after.quantiles[:, until].tobytes()


def test_the_products_own_engine_answers_a_small_table(tmp_path):
    """Also where a block of one issue time is answered by trees that learned from many."""
    report = bench_cycle(prepare(tmp_path, evaluate={"from": "2024-01-25", "refit": "monthly"}), out=tmp_path / "out")
    assert report.models[0].overall.n == 70
    assert {model.kind for model in report.models} >= {"product", "expert", "raw", "climatology", "persistence"}
    assert all(model.overall.score > report.models[0].overall.score for model in report.models if model.kind == "raw")
