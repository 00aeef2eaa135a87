"""Receipts: proof of what went to whom, durable before the first byte leaves.

One thread commits whatever waits in one transaction (group commit): the cost of making a receipt durable is shared by
all that arrived meanwhile. A body is kept once per forecast id, compressed.

Whoever waits on an event loop is told once a batch, not once a receipt: waking a loop from another thread costs more than
writing a row.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any

import orjson
import sqlalchemy as sa
import zstandard

from skyproof.archive.database import Database, raw_cursor, rows_as_dicts
from skyproof.archive.receipt_journal import ReceiptJournal
from skyproof.archive.receipt_replay import Replay
from skyproof.archive.receipt_rows import check_open, check_same, digest_of, insert_bodies
from skyproof.archive.tables import bodies, from_epoch_days, receipts
from skyproof.domain.deliveries import Receipt
from skyproof.domain.errors import (
    DatabaseAwayError,
    DayClosedError,
    IntegrityError,
    SkyproofError,
    StoreUnavailableError,
    UnknownNameError,
)
from skyproof.domain.times import from_epoch_seconds, to_epoch_seconds

#: Receipts that may wait; beyond this the store is too slow and the caller must say so instead of piling up.
QUEUE_LENGTH = 10_000
#: Most receipts in one transaction.
BATCH_LENGTH = 512
_KNOWN_BODIES = 16_384
_FIELDS = tuple(field.name for field in fields(Receipt))
_VALUES = attrgetter(*_FIELDS)

_Item = tuple[Receipt, bytes, "Future[None] | asyncio.Future[None]"]


class ReceiptWriter:
    """Writes receipts with group commit; one per process. Close it to write what still waits."""

    def __init__(self, database: Database, journal: ReceiptJournal | None = None) -> None:
        """Start writing. ``journal`` takes what the database does not while it is away."""
        self._database = database
        self._journal = journal
        self._replay = None if journal is None else Replay(database, journal)
        self._waiting: list[_Item] = []
        self._gathered: defaultdict[asyncio.AbstractEventLoop, list[_Item]] = defaultdict(list)
        self._known: OrderedDict[str, str] = OrderedDict()
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="receipts", daemon=True)
        self._thread.start()
        if self._replay is not None:
            self._replay.start()

    def record(self, receipt: Receipt, body: bytes) -> Future[None]:
        """Hand a receipt in; never blocks. The future resolves when it is durable, or carries why it is not.

        Raises:
            StoreUnavailableError: too many are waiting, or the writer is closed.
        """
        future: Future[None] = Future()
        self._hand_in([(receipt, body, future)])
        return future

    def record_on_loop(self, receipt: Receipt, body: bytes) -> asyncio.Future[None]:
        """The same for a caller on an event loop, who awaits the future.

        Raises:
            StoreUnavailableError: too many are waiting, or the writer is closed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._check_open()
        gathered = self._gathered[loop]
        gathered.append((receipt, body, future))
        if len(gathered) == 1:
            # Those that other tasks record in this turn of the loop go along: one batch, and the writer wakes once.
            loop.call_soon(self._hand_in_gathered, loop)
        return future

    def close(self) -> None:
        """Write everything that waits, then stop."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()
        if self._replay is not None:
            self._replay.close()

    def __enter__(self) -> ReceiptWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError("the receipt writer is closed", hint="the server is shutting down; ask again")
        if len(self._waiting) >= QUEUE_LENGTH:
            raise StoreUnavailableError(
                f"{QUEUE_LENGTH} receipts wait to be written",
                hint="the database is too slow; try again in a moment",
            )

    def _hand_in(self, items: Sequence[_Item]) -> None:
        with self._changed:
            self._check_open()
            self._waiting.extend(items)
            self._changed.notify()

    def _hand_in_gathered(self, loop: asyncio.AbstractEventLoop) -> None:
        items = self._gathered.pop(loop)
        try:
            self._hand_in(items)
        except StoreUnavailableError as error:
            _settle_on_loop([future for _, _, future in items if isinstance(future, asyncio.Future)], error)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                batch = self._waiting[:BATCH_LENGTH]
                del self._waiting[:BATCH_LENGTH]
            if not batch:
                return
            # What nobody waits for any more is not written: nobody will send its answer.
            batch = [item for item in batch if _is_awaited(item[2])]
            if batch:
                self._commit(batch)

    def _commit(self, batch: list[_Item]) -> None:
        """Write one batch. If a receipt is refused, the others are tried one by one."""
        if self._journal is not None and self._database.takes_nothing:
            self._queue(self._journal, batch)
            return
        try:
            written = self._write(batch)
        except Exception as error:  # noqa: BLE001 whatever it was, every caller of the batch must hear of it
            self._fail(batch, error)
            return
        for forecast_id, digest in written.items():
            self._known[forecast_id] = digest
            if len(self._known) > _KNOWN_BODIES:
                self._known.popitem(last=False)
        _settle(batch, None)

    def _queue(self, journal: ReceiptJournal, batch: list[_Item]) -> None:
        """Keep a batch on disk until the database is back."""
        try:
            journal.append([(receipt, body) for receipt, body, _ in batch], self._known)
        except Exception as error:  # noqa: BLE001 as above
            self._fail(batch, error)
        else:
            _settle(batch, None)

    def _fail(self, batch: list[_Item], error: Exception) -> None:
        if self._journal is not None and isinstance(error, DatabaseAwayError):
            self._queue(self._journal, batch)
            return
        of_one = not isinstance(error, StoreUnavailableError) or isinstance(error, DayClosedError)
        if len(batch) > 1 and (of_one or self._database.is_refusal(error)):
            for item in batch:
                self._commit([item])
            return
        if not isinstance(error, SkyproofError):
            cause = error
            error = StoreUnavailableError(f"a receipt could not be written: {cause}", hint="skyproof doctor tells more")
            error.__cause__ = cause
        _settle(batch, error)

    def _write(self, batch: list[_Item]) -> dict[str, str]:
        """Write bodies and receipts in one transaction; returns the digests of the bodies."""
        digests: dict[str, str] = {}
        new: dict[str, bytes] = {}
        for receipt, body, _ in batch:
            name = receipt.forecast_id
            held = digests.get(name) or self._known.get(name)
            # A body we hold under the digest it comes with need not be hashed again.
            digest = held if held == receipt.bytes_digest else digest_of(body)
            check_same(name, held or digest, digest)
            digests[name] = digest
            if name not in self._known:
                new[name] = body
        rows = [(*_VALUES(receipt)[:-1], to_epoch_seconds(receipt.served_at)) for receipt, _, _ in batch]
        if not new:
            with self._database.writing_rows() as cursor:
                self._write_receipts(cursor, rows)
            return digests
        with self._database.writing() as connection:
            insert_bodies(self._database, connection, new, digests)
            self._write_receipts(raw_cursor(connection), rows)
        return digests

    def _write_receipts(self, cursor: Any, rows: list[tuple[Any, ...]]) -> None:
        self._insert_receipts(cursor, rows)
        # Asked after the rows are in: from then on the ledger waits for this transaction before it closes a day.
        (closed,) = cursor.execute("SELECT max(day) FROM ledger_days").fetchone()
        first = from_epoch_seconds(min(row[-1] for row in rows)).date()
        check_open(first, None if closed is None else from_epoch_days(closed))

    def _insert_receipts(self, cursor: Any, rows: list[tuple[Any, ...]]) -> None:
        names = ", ".join(_FIELDS)
        if self._database.is_sqlite:
            # All rows in one statement: between statements the driver lets the event loop's thread in, and waits for it.
            parts = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(_FIELDS)))
            statement = f"INSERT INTO receipts ({names}) SELECT {parts} FROM json_each(?)"  # noqa: S608 names of our own
            cursor.execute(statement, (orjson.dumps(rows).decode(),))
            return
        marks = ", ".join(["%s"] * len(_FIELDS))
        cursor.executemany(f"INSERT INTO receipts ({names}) VALUES ({marks})", rows)  # noqa: S608 names of our own


class Deliveries:
    """What was delivered."""

    def __init__(self, database: Database, journal: ReceiptJournal) -> None:
        self._database = database
        self._journal = journal

    def start_writer(self) -> ReceiptWriter:
        """Start the thread that writes receipts; where callers wait for answers, receipts wait on disk for an absent database."""
        is_queueing = self._database.is_impatient and self._journal.is_possible
        return ReceiptWriter(self._database, self._journal if is_queueing else None)

    def bring_in(self) -> int:
        """Write receipts that a server which is gone left on disk; returns how many there were."""
        return Replay(self._database, self._journal).bring_in()

    def body(self, forecast_id: str, *, customer_id: str) -> tuple[Receipt, bytes]:
        """The first receipt of a forecast to a customer, and the bytes as they were sent.

        Raises:
            UnknownNameError: this customer never got it.
            IntegrityError: the bytes are not those that were sent.
            DatabaseAwayError: it may be among the receipts that still wait on disk.
        """
        query = (
            sa.select(receipts, bodies.c.digest, bodies.c.body)
            .join(bodies, bodies.c.forecast_id == receipts.c.forecast_id)
            .where(receipts.c.forecast_id == forecast_id, receipts.c.customer_id == customer_id)
            .order_by(receipts.c.receipt_id)
            .limit(1)
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            if self._journal.files():
                raise DatabaseAwayError("receipts wait on disk for the database", hint="ask again in a moment")
            raise UnknownNameError(
                f"forecast {forecast_id[:64]!r} was not delivered to you",
                hint="use the forecast_id of one of your answers",
            )
        values = rows_as_dicts([row])[0]
        return Receipt(**{name: values[name] for name in _FIELDS}), unpack_body(
            forecast_id, values["digest"], values["body"]
        )

    def receipts(
        self, *, customer_id: str | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Receipt, ...]:
        """Receipts served in [since, until], oldest first; ``customer_id`` keeps one customer's."""
        query = sa.select(receipts)
        if customer_id is not None:
            query = query.where(receipts.c.customer_id == customer_id)
        if since is not None:
            query = query.where(receipts.c.served_at >= since)
        if until is not None:
            query = query.where(receipts.c.served_at <= until)
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(query.order_by(receipts.c.served_at, receipts.c.receipt_id)).all())
        return tuple(Receipt(**row) for row in rows)

    def count(self) -> int:
        """How many receipts there are."""
        with self._database.reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(receipts)).scalar_one())


def unpack_body(forecast_id: str, digest: str, packed: bytes) -> bytes:
    """The body as it was sent.

    Raises:
        IntegrityError: it does not match its digest.
    """
    try:
        body = zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError as error:
        raise IntegrityError(f"the body of forecast {forecast_id} is damaged", hint="skyproof doctor") from error
    if digest_of(body) != digest:
        raise IntegrityError(f"the body of forecast {forecast_id} does not match its digest", hint="skyproof doctor")
    return body


def _is_awaited(future: Future[None] | asyncio.Future[None]) -> bool:
    return future.set_running_or_notify_cancel() if isinstance(future, Future) else not future.cancelled()


def _settle(batch: Sequence[_Item], error: Exception | None) -> None:
    """Tell everyone of a batch how it went; an event loop is woken once for all of its own."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = defaultdict(list)
    for _, _, future in batch:
        if isinstance(future, asyncio.Future):
            by_loop[future.get_loop()].append(future)
        elif error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
    for loop, futures in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(_settle_on_loop, futures, error)


def _settle_on_loop(futures: Sequence[asyncio.Future[None]], error: Exception | None) -> None:
    for future in futures:
        if future.done():  # cancelled meanwhile
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
