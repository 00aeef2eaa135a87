"""Brings receipts that waited on disk into the tables, each once, however often it is tried.

What the tables will never take (a day that is closed, other bytes under the same forecast id) is kept apart for an operator.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import asdict
from pathlib import Path

import sqlalchemy as sa

from skyproof.archive.database import Database
from skyproof.archive.receipt_journal import Frame, ReceiptJournal, read_frames
from skyproof.archive.receipt_rows import check_open, digest_of, insert_bodies
from skyproof.archive.tables import ledger_days, receipts
from skyproof.domain.errors import DatabaseAwayError, DayClosedError, IntegrityError, SkyproofError

logger = logging.getLogger(__name__)

#: How often a process looks for files that nobody holds, in seconds.
LOOK_S = 1.0


class Replay:
    """Brings in what waits; :meth:`start` looks from time to time."""

    def __init__(self, database: Database, journal: ReceiptJournal, *, look_s: float = LOOK_S) -> None:
        self._database = database
        self._journal = journal
        self._look_s = look_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Look from now on, in a thread of its own."""
        self._thread = threading.Thread(target=self._work, name="replay", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look once more, then stop. What cannot be brought in now waits on disk."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._journal.let_go()
        if self._journal.files():
            self._database.try_now()
            self._bring_in_or_say()

    def bring_in(self) -> int:
        """Bring in what nobody holds, and what this process holds; returns how many receipts were read.

        Raises:
            DatabaseAwayError: the database is still away; nothing is lost.
        """
        own = self._journal.own()
        if own is not None:
            # Only when the tables have taken what is there is the file let go: else every try would leave one more.
            self._read(*own)
            self._journal.let_go()
        count = 0
        for path in self._journal.files():
            with self._journal.holding(path) as is_ours:
                if is_ours:
                    count += self._read(path)
                    path.unlink()
        return count

    def _read(self, path: Path, until: int | None = None) -> int:
        count = 0
        try:
            for frame in read_frames(path, until):
                self._write(path, frame)
                count += len(frame.receipts)
        except IntegrityError as error:
            logger.error("receipts that wait are damaged: %s", error)
            path.rename(path.with_suffix(".damaged.refused"))
            raise
        return count

    def _write(self, path: Path, frame: Frame) -> None:
        try:
            self._insert(frame)
        except SkyproofError as error:
            is_of_rows = isinstance(error, IntegrityError | DayClosedError) or self._database.is_refusal(error)
            if not is_of_rows:
                raise
            if len(frame.receipts) == 1:
                self._journal.refuse(path, frame.receipts, error.message)
                logger.error("receipt %s is refused: %s", frame.receipts[0].receipt_id, error)
                return
            for receipt in frame.receipts:
                own = {name: body for name, body in frame.bodies.items() if name == receipt.forecast_id}
                self._write(path, Frame((receipt,), own))

    def _insert(self, frame: Frame) -> None:
        digests = {name: digest_of(body) for name, body in frame.bodies.items()}
        ids = [receipt.receipt_id for receipt in frame.receipts]
        with self._database.writing() as connection:
            insert_bodies(self._database, connection, frame.bodies, digests)
            there = set(
                connection.execute(sa.select(receipts.c.receipt_id).where(receipts.c.receipt_id.in_(ids))).scalars()
            )
            missing = [asdict(receipt) for receipt in frame.receipts if receipt.receipt_id not in there]
            if not missing:
                return
            connection.execute(self._database.insert_new(receipts), missing)
            # Asked after the rows are in, as for every receipt: the ledger waits for this transaction.
            closed = connection.execute(sa.select(sa.func.max(ledger_days.c.day))).scalar_one()
            check_open(min(row["served_at"] for row in missing).date(), closed)

    def _work(self) -> None:
        while not self._stopping.wait(self._look_s):
            self._bring_in_or_say()

    def _bring_in_or_say(self) -> None:
        try:
            if count := self.bring_in():
                logger.error("%d receipts that waited for the database are in it", count)
        except DatabaseAwayError:
            return
        except Exception:
            # One unforeseen fault must not end this for good: it is logged whole, and tried again.
            logger.exception("receipts that wait could not be brought in")
