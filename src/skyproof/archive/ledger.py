"""The ledger: every day's receipts under one hash, chained to the day before, so that none can be added, changed or lost unseen.

A day is closed in two steps. First it is sealed: a row names it while no transaction that writes receipts is open, and from then
on :class:`~skyproof.archive.deliveries.ReceiptWriter` refuses receipts of that day or an earlier one; whoever was to get
such an answer gets none. Receipts that wait on disk (:mod:`~skyproof.archive.receipt_journal`) are written before their day is
sealed. Only then are its hashes worked out, from receipts that can no longer change, without a
lock. What is kept of them is a memo: :meth:`Ledger.rebuild` gives the same from the receipts alone.

Leaves lie in the order of their hashes, which says nothing about who was served when, nor does it depend on the
database's collation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from threading import Lock

import sqlalchemy as sa

from skyproof.archive.database import Database, rows_as_dicts
from skyproof.archive.receipt_journal import ReceiptJournal
from skyproof.archive.tables import ledger_days, receipts
from skyproof.domain.deliveries import InclusionProof, LedgerDay, Receipt
from skyproof.domain.errors import IntegrityError, NotAvailableError, NotFoundError
from skyproof.domain.times import format_instant
from skyproof.science.merkle import audit_path, leaf_hash, tree_root

#: After the end of a day; answers that were asked for before midnight are long written by then.
SETTLING = timedelta(minutes=10)
#: What the first day is chained to.
GENESIS = bytes(32)
_DAY = timedelta(days=1)
_ROWS_AT_ONCE = 10_000


def receipt_leaf(receipt_id: str, forecast_id: str, bytes_digest: str, served_at: datetime) -> bytes:
    """The leaf of a receipt: the hash of its four lines, joined by newlines."""
    return leaf_hash("\n".join((receipt_id, forecast_id, bytes_digest, format_instant(served_at))).encode())


def chain_root(day: date, count: int, tree: bytes, previous: bytes) -> bytes:
    """The root of a day: over the root before, that of its tree, the count as 8 bytes, and the date as text."""
    return hashlib.sha256(b"\x02" + previous + tree + count.to_bytes(8, "big") + day.isoformat().encode()).digest()


class Ledger:
    """The closed days."""

    def __init__(self, database: Database, journal: ReceiptJournal) -> None:
        self._database = database
        self._journal = journal
        # A day's leaves take memory: one day is worked on at a time.
        self._working = Lock()

    def day(self, day: date, *, now: datetime) -> LedgerDay:
        """A closed day; closes all that are over.

        Raises:
            NotAvailableError: the day is not over, receipts of it wait on disk, or no receipt was written yet.
            NotFoundError: it lies before the first receipt.
        """
        last = (now - SETTLING).date() - _DAY
        if day > last:
            raise NotAvailableError(
                f"the ledger of {day} is not closed yet",
                hint=f"days close {SETTLING.seconds // 60} minutes after they end in UTC; the last that closed is {last}",
            )
        found = self._find(day)
        if found is None:
            with self._working:
                self._seal(last)
                self._complete(day)
            found = self._find(day)
        if found is None:
            raise NotFoundError(
                f"there is no ledger of {day}", hint="it begins on the day of the first receipt; ask for a later day"
            )
        return found

    def rebuild(self, day: date, *, previous_root: str) -> LedgerDay:
        """A day's hashes from the receipts alone; ``previous_root`` is that of the day before."""
        leaves = sorted(self._leaves(day))
        tree = tree_root(leaves)
        root = chain_root(day, len(leaves), tree, bytes.fromhex(previous_root))
        return LedgerDay(day, len(leaves), tree.hex(), previous_root, root.hex())

    def changed_days(self) -> Iterator[date]:
        """Days whose receipts, or place in the chain, are not those that they were closed with."""
        query = sa.select(ledger_days).where(ledger_days.c.root.is_not(None)).order_by(ledger_days.c.day)
        with self._database.reading() as connection:
            kept = [LedgerDay(**row) for row in rows_as_dicts(connection.execute(query).all())]
        previous = GENESIS.hex()
        for closed in kept:
            if self.rebuild(closed.day, previous_root=previous) != closed:
                yield closed.day
            previous = closed.root

    def proof(self, forecast_id: str, *, customer_id: str, now: datetime) -> InclusionProof:
        """That the first receipt of a forecast to a customer is in the ledger.

        Raises:
            NotFoundError: this customer never got it.
            NotAvailableError: the day of the receipt is not closed yet.
            IntegrityError: the receipts are not those that the day was closed with.
        """
        query = (
            sa.select(receipts)
            .where(receipts.c.forecast_id == forecast_id, receipts.c.customer_id == customer_id)
            .order_by(receipts.c.receipt_id)
            .limit(1)
        )
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(query).all())
        if not rows:
            raise NotFoundError(
                f"forecast {forecast_id[:64]!r} was not delivered to you",
                hint="use the forecast_id of one of your answers",
            )
        receipt = Receipt(**rows[0])
        day = self.day(receipt.served_at.date(), now=now)
        with self._working:
            leaves = sorted(self._leaves(day.day))
            if (len(leaves), tree_root(leaves).hex()) != (day.count, day.tree_root):
                raise IntegrityError(f"the receipts of {day.day} are not those of its ledger", hint="restore a backup")
            index = leaves.index(
                receipt_leaf(receipt.receipt_id, receipt.forecast_id, receipt.bytes_digest, receipt.served_at)
            )
            path = audit_path(leaves, index)
        return InclusionProof(receipt, day, index, tuple(each.hex() for each in path))

    def _find(self, day: date) -> LedgerDay | None:
        query = sa.select(ledger_days).where(ledger_days.c.day == day, ledger_days.c.root.is_not(None))
        with self._database.reading() as connection:
            rows = rows_as_dicts(connection.execute(query).all())
        return LedgerDay(**rows[0]) if rows else None

    def _seal(self, last: date) -> None:
        """Take no more receipts of the days up to ``last``."""
        with self._journal.closing_days(last), self._database.writing() as connection:
            if not self._database.is_sqlite:  # there the transaction itself holds all other writers off
                connection.execute(sa.text("LOCK TABLE receipts IN SHARE MODE"))
            sealed = connection.execute(sa.select(sa.func.max(ledger_days.c.day))).scalar_one()
            if sealed is None:
                first = connection.execute(sa.select(sa.func.min(receipts.c.served_at))).scalar_one()
                begin = None if first is None else first.date()
            else:
                begin = sealed + _DAY
            if begin is None or begin > last:
                return
            days = [{"day": begin + number * _DAY} for number in range((last - begin).days + 1)]
            connection.execute(self._database.insert_new(ledger_days), days)

    def _complete(self, until: date) -> None:
        """Work out the hashes of sealed days that have none yet."""
        query = sa.select(ledger_days.c.day, ledger_days.c.root).where(ledger_days.c.day <= until)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(ledger_days.c.day)).all()
        previous = GENESIS.hex()
        for day, root in rows:
            if root is not None:
                previous = root
                continue
            closed = self.rebuild(day, previous_root=previous)
            with self._database.writing() as connection:
                connection.execute(
                    sa.update(ledger_days)
                    .where(ledger_days.c.day == day)
                    .values(count=closed.count, tree_root=closed.tree_root, previous_root=previous, root=closed.root)
                )
            previous = closed.root

    def _leaves(self, day: date) -> Iterator[bytes]:
        start = datetime.combine(day, time(), UTC)
        query = sa.select(
            receipts.c.receipt_id, receipts.c.forecast_id, receipts.c.bytes_digest, receipts.c.served_at
        ).where(receipts.c.served_at >= start, receipts.c.served_at < start + _DAY)
        with self._database.reading() as connection:
            for row in connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(query):
                yield receipt_leaf(*row)
