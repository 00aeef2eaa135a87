"""Too much at once: the newest is told to come back, and no customer's load keeps another out."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter

import httpx
import pytest

from skyproof.domain.errors import QuotaError
from skyproof.surfaces.api.gate import Gate
from tests.surfaces.api.served import Caller, calling
from tests.surfaces.api.test_problems import check_problem


def test_a_customer_s_requests_take_turns_and_a_full_line_is_refused():
    gate = Gate(turns=2, longest_line=3)

    async def go() -> tuple[list[str], list[list[str]]]:
        running: list[str] = []
        holds: list[list[str]] = [[] for _ in range(7)]

        async def one(number: int, customer_id: str) -> None:
            assert gate.enter()
            await gate.take_turn(holds[number], customer_id)
            running.append(f"{customer_id}{number}")

        tasks = [asyncio.create_task(one(number, "a")) for number in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(QuotaError, match="5 of your requests are under way") as caught:
            await gate.take_turn([], "a")
        assert caught.value.retry_after_s == 1
        await one(6, "b")  # another customer does not wait
        assert running == ["a0", "a1", "b6"]
        tasks[2].cancel()  # gone while it waited: its turn goes to the next
        await asyncio.sleep(0)
        gate.leave(holds[0])
        await asyncio.sleep(0)
        assert running == ["a0", "a1", "b6", "a3"]
        for number in (1, 3):
            gate.leave(holds[number])
            await asyncio.sleep(0)
        gate.leave(holds[4])
        gate.leave(holds[6])
        return running, holds

    running, _ = asyncio.run(go())
    assert running == ["a0", "a1", "b6", "a3", "a4"]
    assert gate.under_way == 1  # of the cancelled one, which never left here
    assert gate._lines == {}


def test_one_that_is_given_a_turn_and_cancelled_at_once_passes_it_on():
    gate = Gate(turns=1, longest_line=5)

    async def go() -> None:
        first: list[str] = []
        await gate.take_turn(first, "a")
        second = asyncio.create_task(gate.take_turn([], "a"))
        third = asyncio.create_task(gate.take_turn([], "a"))
        await asyncio.sleep(0)
        gate.leave(first)
        second.cancel()
        await asyncio.wait_for(third, 10)

    asyncio.run(go())


def ask_many(ask: Caller, paths: list[tuple[str, str]]) -> list[asyncio.Task[httpx.Response]]:
    return [
        asyncio.ensure_future(
            ask._client.get(path, headers={"Authorization": f"Bearer {ask.tokens[name]}"}, timeout=60)
        )
        for name, path in paths
    ]


def test_an_overloaded_slow_endpoint_sheds_and_others_stay_served(served, monkeypatch):
    going, page = threading.Event(), served.archive.runs.page

    def slow(**asked):
        assert going.wait(60)
        return page(**asked)

    monkeypatch.setattr(served.archive.runs, "page", slow)
    gate = Gate(turns=4, longest_line=6)
    forecast = "/v1/forecast?site=zurich&hourly=temperature_2m"

    async def go(ask: Caller) -> tuple[list[httpx.Response], list[httpx.Response]]:
        flood = ask_many(ask, [("acme", "/v1/runs")] * 50)
        while sum(task.done() for task in flood) < 40:
            await asyncio.sleep(0.01)
        others = await asyncio.gather(
            *ask_many(ask, [("bolt", "/v1/sites"), ("bolt", forecast), ("acme", forecast)] * 5)
        )
        assert sum(task.done() for task in flood) == 40  # those with a turn, and their line, still wait
        going.set()
        return list(await asyncio.gather(*flood)), list(others)

    with calling(served.archive, served.tokens, gate=gate, refresh_s=1e9, remember_keys_s=1e9) as ask:
        assert ask.forecast().status_code == 200
        flooded, others = ask._runner.run(go(ask))
    assert {answer.status_code for answer in others} == {200}
    assert Counter(answer.status_code for answer in flooded) == {200: 10, 429: 40}
    for answer in flooded:
        if answer.status_code == 429:
            check_problem(answer, 429, "quota")
            assert answer.headers["retry-after"] == "1"
    assert gate.under_way == 0
    assert gate._lines == {}


def test_beyond_what_may_be_under_way_everyone_is_told_to_come_back_but_those_who_watch(served, monkeypatch):
    going, page = threading.Event(), served.archive.runs.page
    monkeypatch.setattr(served.archive.runs, "page", lambda **asked: (going.wait(60), page(**asked))[1])
    gate = Gate(most=3)

    async def go(ask: Caller) -> list[httpx.Response]:
        flood = ask_many(ask, [("acme", "/v1/runs")] * 3)
        while gate.under_way < 3:
            await asyncio.sleep(0.01)
        more = await asyncio.gather(*ask_many(ask, [("bolt", "/v1/sites"), ("bolt", "/healthz"), ("bolt", "/readyz")]))
        going.set()
        assert {answer.status_code for answer in await asyncio.gather(*flood)} == {200}
        return list(more)

    with calling(served.archive, served.tokens, gate=gate) as ask:
        shed, health, ready = ask._runner.run(go(ask))
        assert ask("/v1/sites").status_code == 200
    check_problem(shed, 503, "overloaded")
    assert shed.headers["retry-after"] == "1"
    assert (health.status_code, ready.status_code) == (200, 200)
    assert gate.shed == 1


def test_head_gives_its_turn_back(served):
    gate = Gate(turns=1, longest_line=0)
    with calling(served.archive, served.tokens, gate=gate) as ask:
        assert [ask("/v1/sites", method=method).status_code for method in ("HEAD", "GET", "HEAD")] == [200] * 3
