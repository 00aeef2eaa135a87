"""Receipts: proof of what went to whom, durable before the first byte leaves.

One thread commits whatever waits in one transaction (group commit): the cost of making a receipt durable is shared by
all that arrived meanwhile. A body is kept once per forecast id, compressed.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import fields
from datetime import datetime
from operator import attrgetter

import orjson
import sqlalchemy as sa
import zstandard
from sqlalchemy.engine import Connection

from skyproof.archive.database import Database, raw_cursor, rows_as_dicts
from skyproof.archive.tables import bodies, receipts
from skyproof.domain.deliveries import Receipt
from skyproof.domain.errors import IntegrityError, SkyproofError, StoreUnavailableError, UnknownNameError
from skyproof.domain.times import to_epoch_seconds

#: Receipts that may wait; beyond this the store is too slow and the caller must say so instead of piling up.
QUEUE_LENGTH = 10_000
#: Most receipts in one transaction.
BATCH_LENGTH = 512
_KNOWN_BODIES = 65_536
_COMPRESSION_LEVEL = 1
_FIELDS = tuple(field.name for field in fields(Receipt))
_VALUES = attrgetter(*_FIELDS)

_Item = tuple[Receipt, bytes, "Future[None]"]


class ReceiptWriter:
    """Writes receipts with group commit; one per process. Close it to write what still waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue: queue.Queue[_Item | None] = queue.Queue(QUEUE_LENGTH)
        self._known: OrderedDict[str, str] = OrderedDict()
        self._closed = False
        self._lock = threading.Lock()
        self._compressor = zstandard.ZstdCompressor(level=_COMPRESSION_LEVEL)
        self._thread = threading.Thread(target=self._work, name="receipts", daemon=True)
        self._thread.start()

    def record(self, receipt: Receipt, body: bytes) -> Future[None]:
        """Hand a receipt in; never blocks. The future resolves when it is durable, or carries why it is not.

        Raises:
            StoreUnavailableError: too many are waiting, or the writer is closed.
        """
        future: Future[None] = Future()
        with self._lock:
            if self._closed:
                raise StoreUnavailableError(
                    "the receipt writer is closed", hint="the server is shutting down; ask again"
                )
            try:
                self._queue.put_nowait((receipt, body, future))
            except queue.Full as error:
                raise StoreUnavailableError(
                    f"{QUEUE_LENGTH} receipts wait to be written",
                    hint="the database is too slow; try again in a moment",
                ) from error
        return future

    def close(self) -> None:
        """Write everything that waits, then stop."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._queue.put(None)
        self._thread.join()

    def __enter__(self) -> ReceiptWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _work(self) -> None:
        going = True
        while going:
            batch: list[_Item] = []
            item = self._queue.get()
            while True:
                if item is None:
                    going = False
                    break
                # A future cancelled while it waited is not written: nobody will send its answer.
                if item[2].set_running_or_notify_cancel():
                    batch.append(item)
                if len(batch) >= BATCH_LENGTH:
                    break
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            if batch:
                self._commit(batch)

    def _commit(self, batch: list[_Item]) -> None:
        """Write one batch. If a receipt is refused, the others are tried one by one."""
        try:
            written = self._write(batch)
        except Exception as error:  # noqa: BLE001 whatever it was, every caller of the batch must hear of it
            self._fail(batch, error)
            return
        for forecast_id, digest in written.items():
            self._known[forecast_id] = digest
            if len(self._known) > _KNOWN_BODIES:
                self._known.popitem(last=False)
        for _, _, future in batch:
            future.set_result(None)

    def _fail(self, batch: list[_Item], error: Exception) -> None:
        if len(batch) > 1 and (not isinstance(error, StoreUnavailableError) or self._database.is_refusal(error)):
            for item in batch:
                self._commit([item])
            return
        if not isinstance(error, SkyproofError):
            cause = error
            error = StoreUnavailableError(f"a receipt could not be written: {cause}", hint="skyproof doctor tells more")
            error.__cause__ = cause
        for _, _, future in batch:
            future.set_exception(error)

    def _write(self, batch: list[_Item]) -> dict[str, str]:
        """Write bodies and receipts in one transaction; returns the digests of the bodies."""
        digests: dict[str, str] = {}
        new: dict[str, bytes] = {}
        for receipt, body, _ in batch:
            name = receipt.forecast_id
            held = digests.get(name) or self._known.get(name)
            # A body we hold under the digest it comes with need not be hashed again.
            digest = held if held == receipt.bytes_digest else hashlib.sha256(body).hexdigest()
            _check_same(name, held or digest, digest)
            digests[name] = digest
            if name not in self._known:
                new[name] = body
        with self._database.writing() as connection:
            self._write_bodies(connection, new, digests)
            self._write_receipts(connection, [receipt for receipt, _, _ in batch])
        return digests

    def _write_bodies(self, connection: Connection, new: dict[str, bytes], digests: dict[str, str]) -> None:
        if not new:
            return
        query = sa.select(bodies.c.forecast_id, bodies.c.digest).where(bodies.c.forecast_id.in_(new))
        for forecast_id, held in connection.execute(query).all():
            _check_same(forecast_id, held, digests[forecast_id])
            del new[forecast_id]
        rows = [
            {"forecast_id": name, "digest": digests[name], "body": self._compressor.compress(body)}
            for name, body in new.items()
        ]
        if rows:
            connection.execute(self._database.insert_new(bodies), rows)

    def _write_receipts(self, connection: Connection, batch: list[Receipt]) -> None:
        rows = [(*_VALUES(receipt)[:-1], to_epoch_seconds(receipt.served_at)) for receipt in batch]
        cursor, names = raw_cursor(connection), ", ".join(_FIELDS)
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

    def __init__(self, database: Database) -> None:
        self._database = database

    def start_writer(self) -> ReceiptWriter:
        """Start the thread that writes receipts."""
        return ReceiptWriter(self._database)

    def body(self, forecast_id: str, *, customer_id: str) -> tuple[Receipt, bytes]:
        """The first receipt of a forecast to a customer, and the bytes as they were sent.

        Raises:
            UnknownNameError: this customer never got it.
            IntegrityError: the bytes are not those that were sent.
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
    if hashlib.sha256(body).hexdigest() != digest:
        raise IntegrityError(f"the body of forecast {forecast_id} does not match its digest", hint="skyproof doctor")
    return body


def _check_same(forecast_id: str, held: str, digest: str) -> None:
    if held != digest:
        raise IntegrityError(
            f"forecast {forecast_id} was delivered before with other bytes",
            hint="the same forecast id must always be the same bytes; do not send this answer",
        )
