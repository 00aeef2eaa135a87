"""The operators' page: what it shows, to whom, and that nothing put into it can speak HTML."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from html.parser import HTMLParser

import httpx
import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.cycle.clock import FixedClock
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.sites import Site
from skyproof.surfaces.api.app import create_app
from skyproof.surfaces.console.fan_chart import draw_fan
from skyproof.surfaces.console.site_map import HEIGHT, STEPS, WIDTH, draw_map
from tests.stages import toy_world

LEARNED = toy_world.START + timedelta(days=30, hours=12)
NOW = LEARNED + timedelta(days=2, hours=1)
CLAIM = {
    "sites": 3, "day_from": "2025-01-31", "day_until": "2025-02-02", "reproduce": "skyproof scorecard",
    "rows": [{
        "variable": "temperature_2m", "unit": "Cel", "leads": "all", "coverage": 0.8, "crps": {"value": 1.25},
        "comparisons": [
            {"baseline": "climatology", "crps": 2.5, "skill": {"value": 0.5, "low": 0.4, "high": 0.6}, "verdict": "better"},
            {"baseline": "raw:ens", "crps": 1.2, "skill": {"value": -0.04, "low": -0.1, "high": 0.02},
             "verdict": "cannot decide"},
            {"baseline": "emos:ens", "crps": 1.3, "skill": {"value": 0.1, "low": 0.0, "high": 0.2}, "verdict": "better"},
        ],
    }],
}  # fmt: skip


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    with Archive.open(tmp_path_factory.mktemp("console")) as opened:
        toy_world.build_world(opened, days=34)
        opened.sites.add([Site("s0", "<script>alert('x')</script>", 40.0, 5.0, 0.0)])
        toy_world.learn(opened, as_of=LEARNED)
        for day in range(3):
            toy_world.forecast(opened, LEARNED + timedelta(days=day))
        yield opened


def ask(archive, path="/", *, caller="127.0.0.1", host="127.0.0.1:8080", headers=None, claim=CLAIM, console=True):
    app = create_app(archive, clock=FixedClock(NOW), claim=lambda: claim, console=console)

    async def get():
        transport = httpx.ASGITransport(app=app, client=(caller, 5555))
        async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(get())


class Tags(HTMLParser):
    """Counts tags, and remembers attributes that could run a script or break the page's policy."""

    def __init__(self):
        super().__init__()
        self.seen, self.unsafe = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.unsafe += [name for name, _ in attrs if name.startswith("on") or name == "style"]


def test_the_page_shows_claim_forecast_runs_and_sources(archive):
    page = ask(archive)
    assert page.status_code == 200
    for text in ("Is it any good?", "1.250", "2.500", "▲ +50.0 %", "◇ -4.0 %", "Runs", "run_", "Sources", "curl"):
        assert text in page.text
    tags = Tags()
    tags.feed(page.text)
    assert tags.seen.count("polygon") == 3
    assert tags.seen.count("option") == 3 + len(toy_world.VARIABLES)


def test_single_calibrated_sources_stay_out_of_the_claim(archive):
    page = ask(archive)
    assert "emos:ens" not in page.text
    assert "Better in 1 of 2 comparisons" in page.text


def test_names_cannot_speak_html_and_the_policy_forbids_scripts(archive):
    page = ask(archive)
    tags = Tags()
    tags.feed(page.text)
    assert "script" not in tags.seen
    assert not tags.unsafe
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "how",
    [
        {"caller": "203.0.113.9"},
        {"caller": "not an address"},
        {"host": "evil.example:8080"},
        {"headers": {"X-Forwarded-For": "203.0.113.9"}},
        {"headers": {"Forwarded": "for=203.0.113.9"}},
        {"console": False},
    ],
    ids=["from elsewhere", "from nowhere", "under a foreign name", "behind a proxy", "forwarded", "switched off"],
)
def test_the_page_is_only_for_callers_on_this_machine(archive, how):
    page = ask(archive, **how)
    assert page.status_code == 404
    assert "Is it any good?" not in page.text


@pytest.mark.parametrize("query", ["site=nowhere", "variable=ozone", "site=s1&variable=pressure_msl"])
def test_an_unknown_choice_is_explained(archive, query):
    page = ask(archive, f"/?{query}")
    assert page.status_code == 404
    assert "is not in the newest run" in page.text


def test_a_choice_is_kept(archive):
    page = ask(archive, "/?site=s2&variable=precipitation")
    assert '<option value="s2" selected>' in page.text
    assert '<option value="precipitation" selected>' in page.text


def test_without_scores_the_page_says_what_to_do(archive):
    assert "skyproof verify" in ask(archive, claim=None).text


def test_an_empty_home_says_what_to_do(sqlite_archive):
    page = ask(sqlite_archive, claim=None)
    assert page.status_code == 200
    assert "skyproof demo" in page.text


def test_the_documentation_lists_every_address_and_every_problem(archive):
    page, described = ask(archive, "/docs"), ask(archive, "/openapi.json").json()
    assert page.status_code == 200
    for path in described["paths"]:
        assert path in page.text
    for code in ("unknown_name", "no_run", "authentication"):
        assert f'id="problem-{code}"' in page.text


def test_bands_nest_and_the_median_lies_inside():
    times = [toy_world.START + timedelta(hours=6 * k) for k in range(1, 5)]
    quantiles = 10 + 4 * (LEVEL_ARRAY - 0.5)[None, :] * np.arange(1, 5)[:, None]
    chart = draw_fan(times, quantiles, times[:1], np.array([9.0]), init_time=toy_world.START)

    def heights(points):
        return [float(point.split(",")[1]) for point in points.split()]

    wide, middle, narrow = (heights(points) for _, points in chart.bands)
    median = heights(chart.median)
    for k in range(4):
        assert wide[k] < middle[k] < narrow[k] < median[k] < narrow[7 - k] < middle[7 - k] < wide[7 - k]
    assert len(chart.dots) == 1
    ticks = [float(mark.text) for mark in chart.rows]
    assert ticks == sorted(ticks)
    assert min(ticks) <= quantiles.min()
    assert max(ticks) >= quantiles.max()


def test_a_chart_without_values_is_none_and_a_flat_one_is_drawn():
    times = [toy_world.START]
    nothing = np.full((1, 21), np.nan)
    assert draw_fan(times, nothing, [], np.array([]), init_time=toy_world.START) is None
    assert draw_fan(times, np.zeros((1, 21)), [], np.array([]), init_time=toy_world.START) is not None


def test_places_stay_on_the_map_and_together_across_the_date_line():
    sites = (Site("a", "A", 10.0, 179.0, 0.0), Site("b", "B", 12.0, -179.0, 0.0), Site("c", "C", -5.0, 178.0, 0.0))
    places = draw_map(sites, np.array([1.0, np.nan, 5.0]))
    assert all(0 < place.x < WIDTH and 0 < place.y < HEIGHT for place in places)
    assert places[1].x > places[0].x > places[2].x
    assert places[1].y < places[0].y < places[2].y
    assert [place.step for place in places] == [0, -1, STEPS - 1]
