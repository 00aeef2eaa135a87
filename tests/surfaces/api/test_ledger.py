"""The ledger on the wire, on both databases: a proof is checked with nothing but hashlib, and is nobody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from skyproof.archive.archive import Archive
from tests.surfaces.api.served import NOW, Caller, MovableClock, calling, fill

TODAY = NOW.date().isoformat()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def ask(archive: Archive, clock: MovableClock) -> Iterator[Caller]:
    served = fill(archive)
    with calling(archive, served.tokens, clock=clock) as caller:
        yield caller


def load_check() -> Callable[[bytes, dict[str, Any]], str]:
    """The function that the documentation tells customers to check with."""
    page = (Path(__file__).parents[3] / "docs/how-to/check-a-receipt.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(page.partition("```python\n")[2].partition("```")[0], names)
    return names["check"]  # type: ignore[no-any-return]


def test_what_was_delivered_is_proved_the_day_after(ask: Caller, clock: MovableClock) -> None:
    answers = [ask.forecast({"quantiles": f"0.{n}"}, key="bolt" if n % 2 else "acme") for n in range(1, 8)]
    ids = [answer.json()["meta"]["forecast_id"] for answer in answers]
    early = ask(f"/v1/forecasts/{ids[1]}/proof")
    assert (early.status_code, early.json()["code"]) == (404, "not_available")
    assert "last that closed" in early.json()["hint"]
    clock.instant = NOW + timedelta(days=1)
    day = ask(f"/v1/ledger/{TODAY}", key="reader")
    assert day.status_code == 200
    assert day.json()["count"] == 7
    assert "immutable" in day.headers["cache-control"]
    assert ask(f"/v1/ledger/{TODAY}", key="bolt").json() == day.json()
    for number, (forecast_id, answer) in enumerate(zip(ids, answers, strict=True), 1):
        mine, theirs = ("bolt", "acme") if number % 2 else ("acme", "bolt")
        proof = ask(f"/v1/forecasts/{forecast_id}/proof", key=mine)
        assert proof.json()["ledger"] == day.json()
        assert load_check()(answer.content, proof.json()) == day.json()["root"]
        with pytest.raises(AssertionError):
            load_check()(answer.content + b" ", proof.json())
        other = ask(f"/v1/forecasts/{forecast_id}/proof", key=theirs)
        assert (other.status_code, other.json()["code"]) == (404, "not_found")
        assert set(proof.json()) == {"receipt", "leaf_index", "audit_path", "ledger"}


def test_the_ledger_is_for_holders_of_keys_and_of_days(ask: Caller) -> None:
    assert ask(f"/v1/ledger/{TODAY}", key=None).status_code == 401
    assert ask(f"/v1/ledger/{TODAY}", key="scopeless").status_code == 403
    for wrong in ("yesterday", "2025-3-30", "20250330", "2025-02-30", "2025-W13-1"):
        answer = ask(f"/v1/ledger/{wrong}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert ask("/v1/ledger/2999-01-01").json()["code"] == "not_available"
    assert ask("/v1/ledger/2025-01-01").json()["code"] == "not_found"
    assert ask("/v1/forecasts/fc_none/proof").json()["code"] == "not_found"
    assert ask("/v1/forecasts/..%20/proof").json()["code"] == "not_found"
