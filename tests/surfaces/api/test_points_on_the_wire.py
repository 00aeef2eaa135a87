"""Coordinates that no site answers, on the wire: every face has them, with receipts, and no flood takes the server down."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from skyproof.archive.run_file import SiteSeries
from skyproof.domain.errors import BusyError, UnknownNameError
from skyproof.domain.forecasts import Run
from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.domain.sites import Site
from skyproof.stages.deliver import points as desk_of_points
from skyproof.stages.deliver.desk import Desk
from skyproof.stages.deliver.requests import parse_request
from tests.surfaces.api.served import LEADS, NOW, VARIABLES, Caller, Served, calling
from tests.surfaces.api.test_problems import check_problem

#: A hundred kilometres and more from every site.
FAR = {"latitude": "50.12341", "longitude": "20.5", "hourly": "temperature_2m"}


class Plain:
    """Forecasts every point north of the equator as its latitude; notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.held: threading.Event | None = None
        self.entered = threading.Event()

    def locate(self, run: Run, latitude: float, longitude: float) -> Site:
        del run
        if latitude < 0:
            raise UnknownNameError("it lies outside what the run's sources cover: 0 to 90 degrees north")
        return Site(f"at_{latitude:.3f}_{longitude:.3f}", "", latitude, longitude, 321.0)

    def forecast(self, run: Run, places: Sequence[Site], customer_id: str) -> list[SiteSeries]:
        self.entered.set()
        if self.held is not None:
            self.held.wait(30)
        self.asked += [(run.run_id, f"{place.site_id} {customer_id}") for place in places]
        made = []
        for place in places:
            mean = np.full((len(VARIABLES), len(LEADS)), round(place.latitude, 2))
            made.append(
                SiteSeries(mean, mean[..., None] + 4 * (LEVEL_ARRAY - 0.5), np.zeros(mean.shape, dtype=np.uint8))
            )
        return made


@pytest.fixture
def plain() -> Plain:
    return Plain()


@pytest.fixture
def ask(served: Served, plain: Plain) -> Iterator[Caller]:
    with calling(served.archive, served.tokens, points=plain, refresh_s=3600.0) as caller:
        yield caller


def test_a_point_is_answered_with_a_receipt_and_given_again_without_being_worked_out_again(served, ask, plain):
    answer = ask("/v1/forecast", FAR)
    assert answer.status_code == 200
    made = answer.json()
    assert made["elevation"] == 321.0
    assert made["hourly"]["temperature_2m"] == [50.1] * len(LEADS)
    assert made["grid"] == {
        "site": "at_50.123_20.500", "name": "", "latitude": 50.123, "longitude": 20.5, "elevation": 321.0,
        "method": "interpolated", "distance_km": 0.0,
    }  # fmt: skip
    forecast_id = made["meta"]["forecast_id"]
    again = [ask("/v1/forecast", FAR) for _ in range(3)]
    assert {each.content for each in again} == {answer.content}
    assert ask(f"/v1/forecasts/{forecast_id}").content == answer.content
    assert len(plain.asked) == 1
    # Another way to write the same point is another question with the same numbers, and nothing to work out.
    near = ask("/v1/forecast", FAR | {"latitude": "50.1234"})
    assert near.json()["hourly"] == made["hourly"]
    assert len(plain.asked) == 1
    assert ask("/v1/forecast", FAR, key="bolt").json()["meta"]["forecast_id"] != forecast_id


def test_a_site_within_reach_answers_before_any_point(ask, plain):
    made = ask("/v1/forecast", FAR | {"latitude": "47.4", "longitude": "8.5"}).json()
    assert made["grid"]["method"] == "nearest_site"
    assert plain.asked == []


def test_a_coordinate_outside_what_is_covered_is_told_how_far_that_reaches(ask):
    answer = ask("/v1/forecast", FAR | {"latitude": "-1.0"})
    check_problem(answer, 422, "unknown_name")
    assert "0 to 90 degrees north" in answer.json()["detail"]
    assert "the nearest is" in answer.json()["hint"]


def test_edr_answers_a_position_where_no_place_is(ask):
    coverage = ask("/edr/collections/skyproof/position", {"coords": "POINT(20.5 50.12341)"}).json()
    assert coverage["skyproof:site"] == "at_50.123_20.500"
    assert coverage["skyproof:calibration"]["scope"] == "interpolated"
    assert set(coverage["ranges"]["temperature_2m"]["values"]) == {50.1}


def test_who_comes_when_enough_others_wait_is_sent_away(served, plain, monkeypatch):
    monkeypatch.setattr(desk_of_points, "_MOST_WAITING", 0)
    desk, plain.held = Desk(served.archive, points=plain), threading.Event()

    def answer(longitude: str):
        request = parse_request([*(FAR | {"longitude": longitude}).items()])
        return desk.answer(desk.ask("acme", request, now=NOW))

    first = threading.Thread(target=answer, args=("21.5",))
    first.start()
    try:
        assert plain.entered.wait(30)
        with pytest.raises(BusyError):
            answer("21.6")
    finally:
        plain.held.set()
        first.join()
    assert answer("21.5").forecast_id != answer("21.6").forecast_id


def test_on_the_wire_that_is_429_with_the_time_to_come_back(ask, plain, monkeypatch):
    def busy(*_):
        raise BusyError("too many points are being worked out", hint="ask again in a moment", retry_after_s=1)

    monkeypatch.setattr(plain, "forecast", busy)
    answer = ask("/v1/forecast", FAR | {"longitude": "20.7"})
    check_problem(answer, 429, "busy")
    assert answer.headers["Retry-After"] == "1"
