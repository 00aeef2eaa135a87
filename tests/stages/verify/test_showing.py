"""The scorecard as people see it: terminal, page and picture say the numbers, and run nothing that a name holds."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.console import Console, RenderableType

from skyproof.archive.archive import Archive
from skyproof.cycle import verify_cycle as verify_cycle_module
from skyproof.cycle.clock import FixedClock
from skyproof.cycle.settings import Settings
from skyproof.cycle.verify_cycle import release_scorecard, scorecard_cycle, verify_cycle
from skyproof.cycle.wiring import Product
from skyproof.domain.errors import InvalidValueError, NoReleaseError, NotAvailableError, UnknownNameError
from skyproof.science.significance import Estimate
from skyproof.stages.verify import html
from skyproof.stages.verify.collect import CollectedScores
from skyproof.stages.verify.figures import scorecard_figure
from skyproof.stages.verify.html import render_html
from skyproof.stages.verify.scorecard import Comparison, Scorecard, build_scorecard
from skyproof.stages.verify.terminal import explain, format_skill, render_claim, render_terminal
from skyproof.stages.verify.verify_new import verify_new
from tests.stages.verify import issued_world as world
from tests.stages.verify.issued_world import RELEASE, at

END = at(24 * 8)
HOSTILE = 'raw:<script>alert("1")</script>[/bold]$\\frac$'


def shown(*parts: RenderableType, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    for part in parts:
        console.print(part)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Scorecard:
    with Archive.open(tmp_path_factory.mktemp("card")) as archive:
        for number in range(6):
            world.publish(archive, number)
            world.observe(archive, world.truth(number))
        verify_new(archive, RELEASE, as_of=END)
        return build_scorecard(archive, RELEASE, as_of=END)


def with_hostile_names(card: Scorecard) -> Scorecard:
    """The same scorecard, its raw source called something nasty, and the winner of every row."""

    def renamed(name: str) -> str:
        return HOSTILE if name == "raw:ens" else name

    rows = tuple(
        replace(
            row,
            comparisons=tuple(
                replace(c, baseline=renamed(c.baseline), skill=replace(c.skill, value=-9.0))
                if c.baseline == "raw:ens"
                else c
                for c in row.comparisons
            ),
        )
        for row in card.rows
    )
    collected = replace(card.collected, models=tuple(renamed(name) for name in card.collected.models))
    return replace(card, rows=rows, collected=collected)


# Terminal


def test_the_claim_says_the_score_of_everyone_and_our_skill_with_its_interval(card: Scorecard) -> None:
    text = shown(render_claim(card))
    assert "2025-03-01 to 2025-03-06, 2 sites" in text
    for row in card.overall():
        assert row.variable in text
        assert f"{row.crps.value:.3f}" in text
        assert f"{100 * row.coverage:.1f} %" in text
        for c in row.comparisons:
            if not c.baseline.startswith("emos:"):
                assert c.baseline in text
                assert f"{c.crps:.3f} {100 * c.skill.value:+.1f} %" in text
                assert f"({100 * c.skill.low:.1f}, {100 * c.skill.high:.1f})" in text
    assert "emos:ens" not in text


def test_every_group_of_leads_has_its_line(card: Scorecard) -> None:
    text = shown(*render_terminal(card))
    for row in card.rows:
        (line,) = [
            line
            for line in text.splitlines()
            if line.strip().startswith(row.leads) and f" {row.mae:.3f} " in line and f"{row.crps.value:.3f}" in line
        ]
        for number in (f"{row.n:,}", f"{row.bias:+.3f}", f"{100 * row.coverage:.1f}"):
            assert number in line
        known = [c for c in row.comparisons if c.skill.value == c.skill.value]
        best = min(known, key=lambda c: c.skill.value)
        assert f"{best.baseline} " in line
        assert f"{100 * best.skill.value:+.1f}" in line


def test_the_words_count_the_verdicts(card: Scorecard) -> None:
    estimate = Estimate(0.2, 0.1, 0.3, 30, 20.0)

    def comparison(baseline: str, verdict: str) -> Comparison:
        return Comparison(baseline, 1.0, 0.8, estimate, verdict)  # type: ignore[arg-type]

    comparisons = (
        comparison("climatology", "better"),
        comparison("raw:ens", "worse"),
        comparison("emos:ens", "worse"),
        comparison("equal_weight", "cannot decide"),
    )
    row = replace(card.overall()[0], comparisons=comparisons)
    words = explain(replace(card, rows=(row,)))
    assert "Better in 1 of 3 comparisons, worse in 1, undecided in 1." in words
    assert "Not shown: extremes, single sites." in words


def test_a_comparison_without_pairs_says_so(card: Scorecard) -> None:
    nothing = Estimate(float("nan"), float("nan"), float("nan"), 0, 0.0)
    assert format_skill(nothing) == "no pairs"
    assert format_skill(Estimate(0.123, -0.01, 0.25, 30, 20.0)) == "+12.3 % [-1.0, +25.0]"
    rows = tuple(
        replace(row, comparisons=tuple(replace(c, skill=nothing) for c in row.comparisons)) for row in card.rows
    )
    text = shown(*render_terminal(replace(card, rows=rows)))
    assert "nan" not in text
    assert "no pairs" in text


def test_names_are_never_markup_in_the_terminal(card: Scorecard) -> None:
    assert HOSTILE in shown(*render_terminal(with_hostile_names(card)), width=400)


# Page and picture


def test_the_page_says_the_numbers_and_needs_no_network(card: Scorecard) -> None:
    page = render_html(card)
    for row in card.rows:
        assert f"<td>{row.crps.value:.3f}</td>" in page
        assert f"<td>{row.n:,}</td>" in page
    for c in card.overall()[0].comparisons:
        assert (format_skill(c.skill) in page) == (not c.baseline.startswith("emos:"))
    assert "http://" not in page
    assert "https://" not in page
    assert 'src="data:image/png;base64,' in page


def test_the_page_escapes_what_names_hold(card: Scorecard) -> None:
    page = render_html(with_hostile_names(card))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_the_picture_has_four_panels_per_variable_that_each_say_what_they_show(card: Scorecard) -> None:
    figure = scorecard_figure(card)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert len(titles) == 4 * len(world.VARIABLES)
    assert titles[:2] == ["temperature_2m: CRPS (Cel)", "skill over raw:ens (%)"]
    ours = figure.axes[0].get_lines()[0].get_ydata()
    totals = card.collected.totals[0, 0]
    assert ours.tolist() == pytest.approx((totals[:, 1] / totals[:, 0]).tolist())


def test_a_scorecard_without_raw_sources_is_drawn_too(card: Scorecard) -> None:
    def kept(collected: CollectedScores) -> CollectedScores:
        chosen = [0, 1]
        return replace(
            collected, models=("skyproof", "climatology"), totals=collected.totals[chosen], pit=collected.pit[chosen],
            own=collected.own[:, chosen], shared=collected.shared[:, chosen], pairs=collected.pairs[:, chosen],
        )  # fmt: skip

    figure = scorecard_figure(replace(card, collected=kept(card.collected)))
    assert figure.axes[1].get_title(loc="left").startswith("skill over climatology")


# Through the cycle


@pytest.fixture
def product(sqlite_archive: Archive) -> Product:
    return Product(sqlite_archive.home, Settings(), sqlite_archive, FixedClock(END))


def add_release(archive: Archive) -> str:
    release = archive.releases.add(
        b"learned", created_at=at(0), trained_from=at(-900), trained_until=at(0), sources=("ens",), card={}
    )
    return release.release_id


def test_verify_and_scorecard_go_through_the_cycle(product: Product, tmp_path: Path) -> None:
    release_id = add_release(product.archive)
    for number in range(4):
        world.publish(product.archive, number, release_id=release_id)
        world.observe(product.archive, world.truth(number))
    report = verify_cycle(product)
    assert (report.release_id, report.days_scored) == (release_id, 4)
    assert verify_cycle(product, release_id=release_id).days_scored == 0

    answer = scorecard_cycle(product)
    assert answer.data["release_id"] == release_id
    assert answer.data["reproduce"] == f"skyproof scorecard --release {release_id} --json"
    assert json.loads(json.dumps(answer.data, default=str))["rows"][0]["variable"] == "temperature_2m"
    assert answer.data["rows"][0] == asdict(release_scorecard(product).rows[0])
    assert "climatology" in shown(*answer.tables)

    for name, beginning in (("card.png", b"\x89PNG\r\n\x1a\n"), ("card.html", b"<!doctype html>")):
        scorecard_cycle(product, release_id=release_id, out=tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(beginning)


def test_nothing_to_show_is_a_clear_error(product: Product, tmp_path: Path) -> None:
    with pytest.raises(NoReleaseError, match="no release"):
        verify_cycle(product)
    release_id = add_release(product.archive)
    assert verify_cycle(product).days_scored == 0
    with pytest.raises(NotAvailableError, match=f"nothing of release {release_id} was scored yet"):
        scorecard_cycle(product, out=tmp_path / "card.png")
    assert not (tmp_path / "card.png").exists()
    with pytest.raises(UnknownNameError, match="rel_nobody"):
        scorecard_cycle(product, release_id="rel_nobody")


@pytest.mark.parametrize("name", ["card.pdf", "card"])
def test_a_form_we_cannot_write_is_refused_before_any_work(product: Product, tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidValueError, match="cannot write a scorecard as") as caught:
        scorecard_cycle(product, out=tmp_path / name)
    assert ".png" in caught.value.hint


def test_a_file_that_cannot_be_written_is_a_clear_error(
    product: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (verify_cycle_module, html):
        monkeypatch.setattr(module, "scorecard_figure", lambda _: Figure(figsize=(1, 1)))
    release_id = add_release(product.archive)
    for number in range(3):
        world.publish(product.archive, number, release_id=release_id)
        world.observe(product.archive, world.truth(number))
    verify_cycle(product)
    for name in ("absent/card.png", "absent/card.html"):
        with pytest.raises(InvalidValueError, match="cannot be written"):
            scorecard_cycle(product, out=tmp_path / name)
