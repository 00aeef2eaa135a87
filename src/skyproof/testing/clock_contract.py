"""What every clock must do; run it on your own.

from skyproof.testing.clock_contract import check_clock

def test_my_clock_keeps_the_contract():
    check_clock(MyClock())
"""

from __future__ import annotations

from datetime import timedelta

from skyproof.domain.protocols import Clock


def check_clock(clock: Clock) -> None:
    """Check a clock: aware UTC, and never backwards.

    Raises:
        AssertionError: what the clock does that it must not, in words.
    """
    assert isinstance(clock, Clock), f"{clock!r} has no now(); see domain/protocols.py"
    instants = [clock.now() for _ in range(100)]
    assert all(instant.utcoffset() == timedelta(0) for instant in instants), "now() must be aware UTC"
    assert instants == sorted(instants), "the clock ran backwards"
