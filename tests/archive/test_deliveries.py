"""Receipts: durable before they are confirmed, bodies kept once, refused when in doubt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

import pytest
from archive_samples import at, make_receipt

from skyproof.archive import database, deliveries
from skyproof.archive.archive import Archive
from skyproof.domain.errors import IntegrityError, StoreUnavailableError, UnknownNameError

SECONDS = 30


def test_a_confirmed_receipt_is_seen_by_another_process(archive: Archive, reopen: Callable[[], Archive]) -> None:
    with archive.deliveries.start_writer() as writer, reopen() as other:
        writer.record(make_receipt(1), b"body one").result(SECONDS)
        assert other.deliveries.body("fc_00000001", customer_id="acme") == (make_receipt(1), b"body one")


def test_many_receipts_of_one_forecast_keep_one_body(archive: Archive) -> None:
    receipts = [make_receipt(number, forecast_id="fc_same", hour=20 + number) for number in range(700)]
    with archive.deliveries.start_writer() as writer:
        for future in [writer.record(receipt, b"body" * 100) for receipt in receipts]:
            future.result(SECONDS)
    assert archive.deliveries.count() == 700
    assert archive.deliveries.receipts() == tuple(receipts)
    with archive.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM bodies").scalar_one() == 1
    assert archive.deliveries.body("fc_same", customer_id="acme") == (receipts[0], b"body" * 100)


def test_receipts_are_listed_by_customer_and_time(archive: Archive) -> None:
    mine, later, theirs = make_receipt(1), make_receipt(2, hour=30), make_receipt(3, customer_id="bolt", hour=25)
    with archive.deliveries.start_writer() as writer:
        for receipt in (later, theirs, mine):
            writer.record(receipt, b"")
    listed = archive.deliveries.receipts
    assert listed() == (mine, theirs, later)
    assert listed(customer_id="acme") == (mine, later)
    assert listed(since=at(25), until=at(29)) == (theirs,)
    assert listed(customer_id="acme", since=at(21)) == (later,)


def test_nobody_reads_what_he_was_not_sent(archive: Archive) -> None:
    with archive.deliveries.start_writer() as writer:
        writer.record(make_receipt(1), b"secret")
    with pytest.raises(UnknownNameError, match="was not delivered to you"):
        archive.deliveries.body("fc_00000001", customer_id="bolt")
    with pytest.raises(UnknownNameError):
        archive.deliveries.body("fc_none", customer_id="acme")


def test_other_bytes_under_a_known_forecast_id_are_refused_and_the_others_are_kept(
    archive: Archive, reopen: Callable[[], Archive]
) -> None:
    with archive.deliveries.start_writer() as writer:
        writer.record(make_receipt(1, forecast_id="fc_a"), b"first").result(SECONDS)
        wrong = writer.record(make_receipt(2, forecast_id="fc_a"), b"second")
        right = writer.record(make_receipt(3, forecast_id="fc_b"), b"third")
        assert right.result(SECONDS) is None
        with pytest.raises(IntegrityError, match="delivered before with other bytes"):
            wrong.result(SECONDS)
    with reopen() as fresh, fresh.deliveries.start_writer() as writer:  # remembers nothing, must ask the database
        with pytest.raises(IntegrityError):
            writer.record(make_receipt(4, forecast_id="fc_a"), b"fourth").result(SECONDS)
        writer.record(make_receipt(5, forecast_id="fc_a"), b"first").result(SECONDS)
        assert fresh.deliveries.count() == 3


def test_a_receipt_that_cannot_be_written_says_so_and_the_writer_goes_on(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    with archive.deliveries.start_writer() as writer:
        writer.record(make_receipt(1), b"x").result(SECONDS)
        with pytest.raises(StoreUnavailableError, match="refused"):  # the receipt id is taken
            writer.record(make_receipt(1), b"x").result(SECONDS)

        def no_database(*_: object) -> None:
            raise RuntimeError("lightning")

        with monkeypatch.context() as patch:
            patch.setattr(deliveries, "insert_bodies", no_database)
            with pytest.raises(StoreUnavailableError, match="lightning"):
                writer.record(make_receipt(2), b"y").result(SECONDS)
        writer.record(make_receipt(3), b"z").result(SECONDS)
    assert [receipt.receipt_id for receipt in archive.deliveries.receipts()] == ["rc_00000001", "rc_00000003"]


def test_one_bad_receipt_in_a_batch_spoils_no_other(archive: Archive) -> None:
    with archive.deliveries.start_writer() as writer:
        numbers = [1, 2, 3, 2, 4, 5]
        futures = [writer.record(replace(make_receipt(number), status=200), b"x") for number in numbers]
    outcomes = [future.exception(SECONDS) for future in futures]
    assert [outcome is None for outcome in outcomes] == [True, True, True, False, True, True]
    assert archive.deliveries.count() == 5


def test_closing_writes_what_waits_and_then_refuses(archive: Archive) -> None:
    writer = archive.deliveries.start_writer()
    futures: list[Future[None]] = [writer.record(make_receipt(number), b"x") for number in range(50)]
    writer.close()
    writer.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert archive.deliveries.count() == 50
    with pytest.raises(StoreUnavailableError, match="closed"):
        writer.record(make_receipt(99), b"x")


def test_a_full_queue_is_said_at_once(sqlite_archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "QUEUE_LENGTH", 2)
    with sqlite_archive.database.writing():  # holds the write lock, so the writer cannot go on
        writer = sqlite_archive.deliveries.start_writer()
        with pytest.raises(StoreUnavailableError, match="2 receipts wait"):  # noqa: PT012 which one is first to be refused is open
            for number in range(deliveries.BATCH_LENGTH + 10):
                writer.record(make_receipt(number), b"x")
    writer.close()
    assert sqlite_archive.deliveries.count() >= 2


def test_a_cancelled_receipt_is_not_written(sqlite_archive: Archive) -> None:
    with sqlite_archive.database.writing():
        writer = sqlite_archive.deliveries.start_writer()
        futures = [writer.record(make_receipt(number), b"x") for number in range(deliveries.BATCH_LENGTH + 5)]
        cancelled = futures[-1].cancel()
    writer.close()
    assert sqlite_archive.deliveries.count() == len(futures) - cancelled


def test_those_who_wait_on_a_loop_hear_of_success_failure_and_refusal(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def record(writer: deliveries.ReceiptWriter, numbers: list[int]) -> list[BaseException | None]:
        futures = [writer.record_on_loop(make_receipt(number), b"x") for number in numbers]
        futures[0].cancel()
        return await asyncio.gather(*futures, return_exceptions=True)

    writer = archive.deliveries.start_writer()
    outcomes = asyncio.run(record(writer, [0, 1, 2, 1, 3]))
    assert [type(outcome).__name__ for outcome in outcomes] == [
        "CancelledError", "NoneType", "NoneType", "StoreUnavailableError", "NoneType",
    ]  # fmt: skip
    assert [receipt.receipt_id[-1] for receipt in archive.deliveries.receipts()] == ["1", "2", "3"]
    monkeypatch.setattr(deliveries, "QUEUE_LENGTH", 0)
    with pytest.raises(StoreUnavailableError, match="0 receipts wait"):
        asyncio.run(record(writer, [4]))
    writer.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        asyncio.run(record(writer, [5]))
    assert archive.deliveries.count() == 3


def test_a_loop_that_waits_while_the_writer_closes_hears_of_it(sqlite_archive: Archive) -> None:
    async def close_before_the_turn_ends(writer: deliveries.ReceiptWriter) -> BaseException | None:
        future = writer.record_on_loop(make_receipt(1), b"x")
        writer.close()
        return (await asyncio.gather(future, return_exceptions=True))[0]

    outcome = asyncio.run(close_before_the_turn_ends(sqlite_archive.deliveries.start_writer()))
    assert isinstance(outcome, StoreUnavailableError)
    assert sqlite_archive.deliveries.count() == 0


def test_a_damaged_body_is_never_given_out(archive: Archive) -> None:
    with archive.deliveries.start_writer() as writer:
        writer.record(make_receipt(1), b"x").result(SECONDS)
        writer.record(make_receipt(2), b"y").result(SECONDS)
    with archive.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE bodies SET digest = 'wrong' WHERE forecast_id = 'fc_00000001'")
        connection.exec_driver_sql(
            "UPDATE bodies SET body = digest WHERE forecast_id = 'none'" if archive.database.is_sqlite else "SELECT 1"
        )
        connection.commit()
    with pytest.raises(IntegrityError, match="does not match"):
        archive.deliveries.body("fc_00000001", customer_id="acme")
    with pytest.raises(IntegrityError, match="damaged"):
        deliveries.unpack_body("fc_00000002", "", b"nothing compressed")


@pytest.mark.parametrize("looks", [1, 100], ids=["waits as others do", "looks often"])
def test_receipts_are_written_when_another_process_lets_go_of_the_database(
    sqlite_archive: Archive, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    monkeypatch.setattr(database, "_LOOKS", looks)
    with sqlite_archive.deliveries.start_writer() as writer:
        writer.record(make_receipt(1), b"body").result(SECONDS)
        with sqlite_archive.engine.connect().execution_options(writes=True) as other:
            with other.begin():
                waiting = writer.record(make_receipt(2, forecast_id="fc_00000001"), b"body")
                with pytest.raises(TimeoutError):
                    waiting.result(0.01)
            waiting.result(SECONDS)
            patience = other.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    with sqlite_archive.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one() == patience > 0
    assert sqlite_archive.deliveries.count() == 2
