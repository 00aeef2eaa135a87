"""What the SDK does without a server: patience, problems, parameters, and proofs that lie."""

from __future__ import annotations

import copy
import sys
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof_sdk import ApiError, Client, Forecast, ProofError, SdkError, WaitTimeoutError, check_proof
from skyproof_sdk.flows import Get, Patience, Pause, read_retry_after, wait_for_run
from skyproof_sdk.questions import write_parameters

GOOD = {"meta": {"forecast_id": "fc_1"}}
BUSY = {"status": 429, "code": "quota", "detail": "too many", "hint": "wait", "request_id": "req_1", "errors": []}


def client_of(outcomes: list[httpx.Response | Exception], slept: list[float]) -> Client:
    """A client whose server gives these outcomes, one after the other."""
    waiting = iter(outcomes)

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer sp_live_x"
        assert "sp_live" not in str(request.url)
        outcome = next(waiting)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return Client("http://sky.test", key="sp_live_x", transport=httpx.MockTransport(answer), sleep=slept.append)


def test_retry_after_is_honoured() -> None:
    slept: list[float] = []
    busy = [
        httpx.Response(429, json=BUSY, headers={"Retry-After": "17"}),
        httpx.Response(503, headers={"Retry-After": "5"}),
    ]
    with client_of([*busy, httpx.Response(200, json=GOOD)], slept) as client:
        assert client.forecast(site="zurich").forecast_id == "fc_1"
    assert slept == [17.0, 5.0]


def test_other_failures_are_tried_again_later_and_later_and_then_raised() -> None:
    slept: list[float] = []
    outcomes: list[Any] = [
        httpx.ConnectError("no route"),
        httpx.Response(502),
        httpx.Response(504),
        httpx.ReadTimeout("slow"),
    ]
    client = client_of([*outcomes, httpx.ConnectError("still no route")], slept)
    with pytest.raises(httpx.ConnectError, match="still"), client:
        client.forecast(site="zurich")
    assert len(slept) == Patience().retries
    for attempt, seconds in enumerate(slept):
        assert 0.25 * 2**attempt <= seconds <= 0.5 * 2**attempt


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(429, json=BUSY),  # the plan never allows it
        httpx.Response(429, json=BUSY, headers={"Retry-After": "86400"}),
        httpx.Response(422, json=BUSY, headers={"Retry-After": "1"}),
        httpx.Response(500, json=BUSY),
    ],
    ids=["no time named", "too long", "wrong question", "broken"],
)
def test_what_waiting_does_not_mend_is_raised_at_once(response: httpx.Response) -> None:
    slept: list[float] = []
    with client_of([response], slept) as client, pytest.raises(ApiError) as raised:
        client.get("/v1/status")
    assert slept == []
    error = raised.value
    assert (error.code, error.hint, error.request_id, error.status) == ("quota", "wait", "req_1", response.status_code)
    assert str(error) == f"{response.status_code} quota: too many; wait"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"3", b"\xff"])
def test_answers_of_others_are_errors_of_ours(body: bytes) -> None:
    with client_of(
        [httpx.Response(404, content=body), httpx.Response(200, content=body), httpx.Response(200, content=body)], []
    ) as client:
        with pytest.raises(ApiError, match="404 http_error: Not Found"):
            client.get("/v1/status")
        with pytest.raises(SdkError, match="JSON object"):
            client.get("/v1/status")
        with pytest.raises(SdkError, match="no forecast"):
            client.forecast(site="zurich")


def test_retry_after_may_be_a_date() -> None:
    def read(text: str) -> float | None:
        return read_retry_after(httpx.Response(503, headers={"Retry-After": text}))

    soon = read(format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True))
    assert soon is not None
    assert 0 < soon <= 3600
    assert read("Sun, 06 Nov 1994 08:49:37 GMT") == 0.0
    assert read("0") == 0.0
    for wrong in ("", "soon", "-1", "1.5", "1e9"):
        assert read(wrong) is None


def test_questions_are_written_as_the_api_reads_them() -> None:
    asked = write_parameters(
        {"site": ["a", "b"], "latitude": 47.38, "quantiles": (0.1, 0.9), "members": 3, "start_date": date(2026, 1, 31),
         "as_of": datetime(2026, 1, 31, 6, tzinfo=UTC)}
    )  # fmt: skip
    assert asked == {
        "site": "a,b", "latitude": "47.38", "quantiles": "0.1,0.9", "members": "3", "start_date": "2026-01-31",
        "as_of": "2026-01-31T06:00:00+00:00",
    }  # fmt: skip
    with pytest.raises(ValueError, match="no time zone"):
        write_parameters({"as_of": datetime(2026, 1, 31)})


def test_waiting_for_a_run_ends() -> None:
    ticks = iter([0.0, 1.0, 50.0, 61.0])
    flow = wait_for_run("7", 60, 30, lambda: next(ticks), Patience())
    nothing = httpx.Response(200, json={"events": [], "next_cursor": "7"})
    assert flow.send(None) == Get("/v1/events", {"type": "run.available", "limit": "1", "cursor": "7"})
    assert flow.send(nothing) == Pause(30)
    flow.send(None)
    assert flow.send(nothing) == Pause(10)
    flow.send(None)
    with pytest.raises(WaitTimeoutError, match="within 60 seconds"):
        flow.send(nothing)


@pytest.mark.parametrize(
    "page", [{}, {"events": 3, "next_cursor": "1"}, {"events": []}, {"events": [{"data": 3}], "next_cursor": "1"}]
)
def test_a_feed_that_is_none_is_an_error_of_ours(page: dict[str, Any]) -> None:
    with client_of([httpx.Response(200, json=page)], []) as client, pytest.raises(SdkError):
        client.wait_for_run(cursor="0", timeout_s=0)


def make_proof(body: bytes, index: int, count: int) -> dict[str, Any]:
    """A proof in a tree whose other leaves are arbitrary, by the recursion of RFC 6962 and not by the SDK's walk."""
    receipt = {
        "receipt_id": "rc_1",
        "forecast_id": "fc_1",
        "bytes_digest": sha256(body).hexdigest(),
        "served_at": "2026-01-31T06:00:00Z",
    }
    leaves = [sha256(bytes([number])).digest() for number in range(count)]
    leaves[index] = sha256(b"\0" + "\n".join(receipt.values()).encode()).digest()

    def root(part: list[bytes]) -> bytes:
        if len(part) == 1:
            return part[0]
        half = 1 << (len(part) - 1).bit_length() - 1
        return sha256(b"\1" + root(part[:half]) + root(part[half:])).digest()

    def path(at: int, part: list[bytes]) -> list[bytes]:
        if len(part) == 1:
            return []
        half = 1 << (len(part) - 1).bit_length() - 1
        return (
            [*path(at, part[:half]), root(part[half:])]
            if at < half
            else [*path(at - half, part[half:]), root(part[:half])]
        )

    tree, previous = root(leaves), bytes(32)
    chained = sha256(b"\2" + previous + tree + count.to_bytes(8, "big") + b"2026-01-31")
    ledger = {
        "date": "2026-01-31",
        "count": count,
        "tree_root": tree.hex(),
        "previous_root": previous.hex(),
        "root": chained.hexdigest(),
    }
    return {
        "receipt": receipt,
        "leaf_index": index,
        "audit_path": [each.hex() for each in path(index, leaves)],
        "ledger": ledger,
    }


PLACES = st.integers(1, 40).flatmap(lambda count: st.tuples(st.integers(0, count - 1), st.just(count)))


@given(PLACES, st.data())
def test_good_proofs_pass_and_any_flipped_bit_fails(place: tuple[int, int], data: st.DataObject) -> None:
    proof = make_proof(b"body", *place)
    assert check_proof(b"body", proof).root == proof["ledger"]["root"]
    hashes = [(proof["audit_path"], at) for at in range(len(proof["audit_path"]))]
    hashes += [(proof["ledger"], name) for name in ("tree_root", "previous_root", "root")]
    holder, name = data.draw(st.sampled_from(hashes))
    holder[name] = f"{int(holder[name], 16) ^ (1 << data.draw(st.integers(0, 255))):064x}"
    with pytest.raises(ProofError):
        check_proof(b"body", proof)


@given(PLACES, st.integers(0, 60), st.integers(0, 60))
def test_no_other_place_is_proved(place: tuple[int, int], index: int, count: int) -> None:
    proof = make_proof(b"body", *place)
    proof["leaf_index"], proof["ledger"]["count"] = index, count
    if (index, count) != place:
        with pytest.raises(ProofError):
            check_proof(b"body", proof)


WRONG = (None, 3, -1, True, "", "zz" * 32, "00" * 31, [], {}, [None], "2026-02-01", 1 << 80, "a\nb")
MEMBERS = (
    "receipt", "ledger", "leaf_index", "audit_path", "receipt.served_at", "receipt.bytes_digest", "receipt.receipt_id",
    "ledger.count", "ledger.date", "ledger.root", "ledger.tree_root",
)  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("where", MEMBERS)
def test_whatever_else_stands_in_a_proof_is_refused(where: str, wrong: Any) -> None:
    proof = make_proof(b"body", 2, 5)
    check_proof(b"body", copy.deepcopy(proof))
    part, _, name = where.rpartition(".")
    (proof[part] if part else proof)[name] = wrong
    with pytest.raises(ProofError):
        check_proof(b"body", proof)


def test_a_proof_is_of_these_bytes() -> None:
    with pytest.raises(ProofError, match="other bytes"):
        check_proof(b"bodY", make_proof(b"body", 0, 1))


def test_a_forecast_hides_its_bytes_when_it_is_shown() -> None:
    assert repr(Forecast.read(b'{"meta": {"forecast_id": "fc_1"}}')) == "Forecast(forecast_id='fc_1')"


@pytest.mark.parametrize("extra", ["pandas", "xarray"])
def test_a_missing_extra_says_how_to_get_it(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, extra, None)
    forecast = Forecast.read(b'{"meta": {"forecast_id": "fc_1"}, "hourly": {"time": []}}')
    with pytest.raises(SdkError, match=f"pip install 'skyproof-sdk\\[{extra}\\]'"):
        forecast.to_pandas() if extra == "pandas" else forecast.to_xarray()
