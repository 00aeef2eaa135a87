"""Clocks: the present never runs backwards, the sandbox's present is kept in the home."""

from datetime import UTC, datetime, timedelta

import pytest

from skyproof.cycle import clock as clocks
from skyproof.domain.errors import StoreUnavailableError
from skyproof.domain.protocols import Clock

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


class MachineClock:
    """A stand-in for the machine's clock that a test can turn."""

    def __init__(self, instant):
        self.instant = instant

    def now(self):
        return self.instant


def test_a_machine_clock_that_jumps_back_does_not_take_us_with_it(monkeypatch):
    told = iter([NOON, NOON - timedelta(hours=3), NOON + timedelta(seconds=1)])

    class Jumping(datetime):
        @classmethod
        def now(cls, tz=None):
            return next(told)

    monkeypatch.setattr(clocks, "datetime", Jumping)
    clock = clocks.SystemClock()
    assert [clock.now() for _ in range(3)] == [NOON, NOON, NOON + timedelta(seconds=1)]


def test_the_simulated_present_ticks_on_from_its_anchor(tmp_path):
    machine = MachineClock(NOON)
    clock = clocks.SimulatedClock(tmp_path / "clock.json", system=machine)
    planet_time = datetime(2025, 3, 1, tzinfo=UTC)
    clock.set(planet_time)
    machine.instant += timedelta(minutes=5)
    assert clock.now() == planet_time + timedelta(minutes=5)
    machine.instant -= timedelta(days=1)
    assert clock.now() == planet_time


def test_a_simulated_clock_says_how_long_it_stands_still_after_the_machine_jumped_back(tmp_path):
    machine = MachineClock(NOON)
    clock = clocks.SimulatedClock(tmp_path / "clock.json", system=machine)
    clock.set(NOON)
    assert clock.stands_still_for() == timedelta(0)
    machine.instant += timedelta(minutes=5)
    assert clock.stands_still_for() == timedelta(0)
    machine.instant -= timedelta(hours=2)
    assert clock.stands_still_for() == timedelta(hours=1, minutes=55)
    assert clock.now() == NOON
    clock.set(NOON + timedelta(days=1))
    assert clock.stands_still_for() == timedelta(0), "set again, it ticks from the machine's present"


def test_an_anchor_is_written_whole_and_read_by_the_next_process(tmp_path):
    machine = MachineClock(NOON)
    clocks.SimulatedClock(tmp_path / "clock.json", system=machine).set(NOON - timedelta(days=30))
    machine.instant += timedelta(hours=1)
    again = clocks.SimulatedClock(tmp_path / "clock.json", system=machine)
    assert again.now() == NOON - timedelta(days=30) + timedelta(hours=1)
    assert [path.name for path in tmp_path.iterdir()] == ["clock.json"]


@pytest.mark.parametrize(
    "content", [None, "", "{}", "[]", '{"simulated": 5, "system": 5}', '{"simulated": "x", "system": "y"}']
)
def test_a_missing_or_damaged_anchor_is_a_clear_error(tmp_path, content):
    path = tmp_path / "clock.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StoreUnavailableError, match="simulated clock"):
        clocks.SimulatedClock(path).now()


def test_every_clock_fits_the_protocol(tmp_path):
    for clock in (clocks.SystemClock(), clocks.FixedClock(NOON), clocks.SimulatedClock(tmp_path / "c.json")):
        assert isinstance(clock, Clock)
    assert clocks.FixedClock(NOON).now() == NOON
