"""The report of a bench: sums by hand, pairs both speak of, verdicts that hold, tables that fit, files that are whole."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pa_parquet
import pytest
import scoringrules
from rich.console import Console

from skyproof.domain.cases import RolledForecasts
from skyproof.domain.errors import InvalidValueError, NotAvailableError
from skyproof.stages.verify.bench_files import FILES, quantile_table, write_bench
from skyproof.stages.verify.bench_report import _ratio, build_bench_report
from skyproof.stages.verify.bench_sums import SUMS, lead_groups, sum_scores
from skyproof.stages.verify.bench_terminal import WIDEST, render_bench
from skyproof.stages.verify.site_folds import join_folds, site_folds
from tests.stages.case_samples import load, make_rows
from tests.stages.rolled_samples import roll_past


def roll(table, **changes):
    asked = {"levels": table.levels, "evaluate_from": table.first_issue, "refit": "auto"}
    return replace(roll_past(table.cases, list, **asked), **changes)


def report_of(table, rolled=None, warnings=()):
    return build_bench_report(table, rolled or roll(table), warnings=warnings, seconds=1.5, peak_memory_mb=99.0)


@pytest.fixture
def table(tmp_path):
    return load(tmp_path)


def test_sums_agree_with_a_plain_loop_over_all_pairs(table):
    rolled = roll(table)
    sums = sum_scores(table, rolled)
    cases = table.cases
    first = len(cases.issue_times) - len(rolled.cases.issue_times)
    wanted = np.zeros((len(rolled.names), len(SUMS)))
    for i, j, k in zip(*np.nonzero(table.scored), strict=True):
        if i < first:
            continue
        y = float(cases.observed[i, j, k])
        for model in range(len(rolled.names)):
            q = rolled.quantiles[model, i - first, j, k].astype(float)
            weights = np.array([0.0375, 0.0375, *[0.05] * 17, 0.0375, 0.0375])
            crps = 2 * scoringrules.quantile_score(y, q, table.levels) @ weights
            wanted[model, :3] += 1, crps, q[10] - y
            wanted[model, 4] += q[18] - q[2]
    found = sums.totals.sum(axis=(1, 2))
    np.testing.assert_allclose(found[:, [0, 1, 2, 4]], wanted[:, [0, 1, 2, 4]], rtol=1e-6)
    np.testing.assert_allclose(found[:, 5], found[0, 1])
    assert sums.pit.sum() == pytest.approx(found[0, 0])


def test_every_model_is_judged_on_the_pairs_it_shares_with_the_product(table):
    rolled = roll(table)
    quantiles = rolled.quantiles.copy()
    quantiles[1, ::2] = np.nan
    quantiles[0, 0] = np.nan
    report = report_of(table, replace(rolled, quantiles=quantiles))
    whole = report_of(table, rolled)
    assert report.models[0].overall.n == report.models[2].overall.n < whole.models[0].overall.n
    assert report.models[1].overall.n == 36  # nine issue times of two leads and two sites
    assert report.differences[0].overall.n == report.models[1].overall.n


def test_a_difference_is_that_of_the_scores_and_its_verdict_is_right(table):
    report = report_of(table)
    product, climatology = report.models[0], report.models[-1]
    apart = report.differences[-1].overall
    assert apart.difference == pytest.approx(product.overall.score - climatology.overall.score)
    assert apart.relative == pytest.approx(product.overall.score / climatology.overall.score - 1)
    assert apart.interval[0] < apart.difference < apart.interval[1] < 0
    assert apart.verdict == "better"
    turned = roll(table)
    order = [len(turned.names) - 1, *range(1, len(turned.names) - 1), 0]
    worse = report_of(table, replace(turned, quantiles=turned.quantiles[order]))
    assert worse.differences[-1].overall.verdict == "worse"
    same = report_of(table, replace(turned, quantiles=turned.quantiles[[0] * len(order)]))
    assert same.differences[-1].overall.difference == 0


def test_numbers_are_reported_in_the_unit_of_the_table(tmp_path):
    rows = make_rows()
    celsius = report_of(load(tmp_path, rows)).models[0].overall
    warm = {**rows, **{name: rows[name] * 1.8 + 32 for name in ("obs", "x", "y")}}
    table = load(tmp_path, warm, target={"column": "obs", "variable": "temperature_2m", "unit": "degF"})
    fahrenheit = report_of(table).models[0].overall
    for name in ("score", "bias", "width_80"):
        assert getattr(fahrenheit, name) == pytest.approx(1.8 * getattr(celsius, name), rel=1e-4, abs=1e-5)
    assert fahrenheit.coverage_80 == pytest.approx(celsius.coverage_80)
    forecasts = quantile_table(report_of(table), roll(table))
    assert 20 < np.mean(forecasts["q0.5"].to_numpy()) < 80


@pytest.mark.parametrize(
    ("leads", "labels"),
    [
        ((24, 48), ["to 24 h", "day 2"]),
        ((1, 3, 6, 7, 12, 13, 24, 25), ["to 6 h", "to 12 h", "to 24 h", "day 2"]),
        ((0,), ["to 6 h"]),
        ((30,), ["day 2"]),
        ((24, 72, 168, 360), ["to 24 h", "day 3", "day 7", "day 15"]),
    ],
)
def test_leads_are_grouped_by_hours_on_the_first_day_and_by_days_after(leads, labels):
    assert [group.label for group in lead_groups(leads)] == labels


def test_the_json_has_the_form_that_is_promised(table):
    told = json.loads(json.dumps(report_of(table, warnings=("look",)).to_dict()))
    assert told.keys() >= {
        "name", "score", "unit", "variable", "levels", "evaluate", "models", "differences", "warnings", "seconds",
        "peak_memory_mb",
    }  # fmt: skip
    assert [model["kind"] for model in told["models"]] == ["product", "raw", "raw", "climatology"]
    model = told["models"][0]
    assert model.keys() == {
        "name", "kind", "n", "n_effective", "score", "interval", "bias", "coverage_80", "width_80", "fit_seconds",
        "predict_seconds", "by_lead",
    }  # fmt: skip
    assert model["by_lead"][1] == {**model["by_lead"][1], "leads": "day 2", "from_hours": 24, "to_hours": 48}
    apart = told["differences"][0]
    assert apart.keys() == {"model", "n", "difference", "interval", "relative", "verdict", "by_lead"}
    assert told["warnings"] == ["look"]
    assert told["evaluate"]["from"] == "2024-01-25T00:00:00"


def test_the_terminal_table_fits_and_names_every_model(table):
    names = ("skyproof", "raw:a-source-with-a-very-long-name-indeed", "raw:[red]", "climatology")
    console = Console(width=WIDEST, record=True, file=None, force_terminal=False)
    with console.capture() as shown:
        console.print(render_bench(report_of(table, roll(table, names=names), warnings=("a [bold] word",))))
    lines = shown.get().splitlines()
    assert max(map(len, lines)) <= WIDEST
    text = "\n".join(lines)
    for wanted in ("raw:a-source-with-…", "raw:[red]", "climatology", "warning: a [bold] word", "day 2"):
        assert wanted in text


def test_a_narrow_terminal_shows_whole_names_and_fewer_columns(table):
    console = Console(width=80, force_terminal=False)
    with console.capture() as shown:
        console.print(render_bench(report_of(table), width=80))
    assert max(map(len, shown.get().splitlines())) <= 80
    assert "climatology" in shown.get()
    assert "bias" not in shown.get()


def test_files_are_written_whole_and_again(table, tmp_path):
    report, rolled, folder = report_of(table), roll(table), tmp_path / "deep" / "out"
    for _ in range(2):
        assert [path.name for path in write_bench(report, rolled, folder)] == list(FILES)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert json.loads((folder / "report.json").read_text())["name"] == "toy"
    assert (folder / "scores.png").read_bytes().startswith(b"\x89PNG")
    forecasts = pa_parquet.read_table(folder / "quantiles.parquet")
    assert forecasts.column_names[:6] == ["site", "issue_time", "valid_time", "lead_hours", "observed", "q0.025"]
    assert forecasts.num_rows == report.models[0].overall.n
    first = forecasts.slice(0, 1).to_pylist()[0]
    assert (first["valid_time"] - first["issue_time"]).total_seconds() == first["lead_hours"] * 3600
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidValueError, match="--out"):
        write_bench(report, rolled, tmp_path / "file")


def test_levels_that_do_not_say_the_interval_leave_it_open(tmp_path):
    table = load(tmp_path, evaluate={"from": "2024-01-25", "quantiles": [0.2, 0.5, 0.7], "score": "pinball"})
    report = report_of(table)
    assert np.isnan(report.models[0].overall.coverage_80)
    assert np.isfinite(report.models[0].overall.score)
    with Console(width=WIDEST).capture() as _:
        render_bench(report)
    write_bench(report, roll(table), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["models"][0]["coverage_80"] is None


def test_a_single_day_has_a_score_and_no_interval(tmp_path):
    table = load(tmp_path, evaluate={"from": "2024-01-30", "until": "2024-01-30"})
    report = report_of(table)
    assert report.models[0].overall.n == 4
    assert np.isnan(report.models[0].overall.interval[0])
    assert report.differences[0].overall.verdict == "cannot decide"


def test_a_silent_product_is_no_report(table):
    rolled = roll(table)
    with pytest.raises(NotAvailableError, match="spoke of no judged case"):
        report_of(table, replace(rolled, quantiles=np.full_like(rolled.quantiles, np.nan)))


def test_sites_left_out_are_forecast_from_the_others_alone(tmp_path):
    table = load(tmp_path, make_rows(sites=tuple("abcdefg")))
    folds = list(site_folds(table.cases))
    assert np.sum([out for out, _ in folds], axis=0).tolist() == [1] * 7
    parts = []
    for out, cases in folds:
        assert np.isnan(cases.observed[..., out]).all()
        np.testing.assert_array_equal(cases.observed[..., ~out], table.cases.observed[..., ~out])
        quantiles = np.full((1, 2, 1, 7, 3), 0, np.float32)
        quantiles[:, :, :, out] = 1 + len(parts)
        parts.append((out, RolledForecasts(cases, table.levels, ("skyproof",), quantiles, {"skyproof": 1.0}, {})))
    joined = join_folds(parts)
    assert (joined.quantiles > 0).all()
    assert joined.fit_seconds == {"skyproof": 5.0}
    one = load(tmp_path, {n: v[::2] for n, v in make_rows(leads=(24,)).items()}, site={"constant": "one"})
    with pytest.raises(InvalidValueError, match="at least two sites"):
        next(site_folds(one.cases))
    with pytest.raises(InvalidValueError, match="no fold"):
        join_folds([])


def test_an_interval_of_unequal_days_covers_as_often_as_it_says():
    """Ratio of sums by day: 60 days of 1 to 40 pairs that share their day's error, true mean 1; 300 draws."""
    chance, covered = np.random.default_rng(8), 0
    for _ in range(300):
        counts = chance.integers(1, 41, 60).astype(float)
        found = _ratio(counts * (1 + chance.normal(0, 0.5, 60)), counts)
        covered += found.low <= 1 <= found.high
    assert 0.90 <= covered / 300 <= 0.99
