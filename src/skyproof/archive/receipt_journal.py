"""Receipts on local disk while the database does not take them: durable before an answer leaves, brought in when it is back.

A file belongs to the process that holds a lock on it and adds to it. A file that nobody holds, because its process let it go or
died, is brought in by whoever looks next (:mod:`skyproof.archive.receipt_replay`), and removed when all of it is in the tables.

A file is a row of frames: ``SKYR``, the length of the content, its CRC-32, the content. What is cut short at the end was never
confirmed to anyone. Days that the ledger has closed are noted in the same folder under a lock, so that no receipt of such a day
is taken here either.
"""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import struct
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import zstandard

from skyproof.archive.receipt_rows import check_open, check_same, digest_of
from skyproof.domain.deliveries import Receipt
from skyproof.domain.errors import IntegrityError, NotAvailableError, StoreUnavailableError
from skyproof.domain.times import from_epoch_seconds, to_epoch_seconds

try:
    import fcntl
except ImportError:  # Windows: no journal, and no answer while the database is away
    fcntl = None  # type: ignore[assignment]

FOLDER = "queued-receipts"
#: What all files of a home may hold together, in bytes, unless said otherwise.
MOST_BYTES = 1 << 30
_SUFFIX = ".journal"
_REFUSED = ".refused"
_MAGIC = b"SKYR"
_HEAD = struct.Struct("<4sII")
_LONGEST_FRAME = 1 << 30
_LOCK_FILE = "lock"
_CLOSED_FILE = "closed-until"
_FIELDS = tuple(field.name for field in fields(Receipt))


@dataclass(frozen=True, slots=True)
class Frame:
    """What was made durable at once: receipts, and bodies by forecast id that are not known to be in the tables."""

    receipts: tuple[Receipt, ...]
    bodies: Mapping[str, bytes]


class ReceiptJournal:
    """The folder, and this process's file in it; safe to share between threads."""

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self._most_bytes = most_bytes
        self._lock = threading.RLock()
        self._file: io.FileIO | None = None
        self._path = folder
        self._bodies: dict[str, str] = {}
        self.is_possible = fcntl is not None

    def own(self) -> tuple[Path, int] | None:
        """This process's file, while it has one, and how many bytes of it are whole frames."""
        with self._lock:
            return None if self._file is None else (self._path, self._file.tell())

    def append(self, entries: Sequence[tuple[Receipt, bytes]], known: Mapping[str, str]) -> None:
        """Add receipts; durable on return.

        Args:
            entries: receipts and the bodies they are of.
            known: digests of bodies that are in the tables, by forecast id.

        Raises:
            DayClosedError: a receipt is of a day that the ledger has closed.
            IntegrityError: another body was kept under the same forecast id.
            StoreUnavailableError: the disk takes no more, or as much waits as may.
        """
        with self._lock, self._folder_lock(exclusive=False):
            closed = self._closed_until()
            check_open(min(receipt.served_at.date() for receipt, _ in entries), closed)
            new: dict[str, bytes] = {}
            digests: dict[str, str] = {}
            for receipt, body in entries:
                name, digest = receipt.forecast_id, digest_of(body)
                held = known.get(name) or self._bodies.get(name) or digests.setdefault(name, digest)
                check_same(name, held, digest)
                if name not in known and name not in self._bodies:
                    new[name] = body
            self._add(_pack(Frame(tuple(receipt for receipt, _ in entries), new)))
            self._bodies.update(digests)

    def let_go(self) -> None:
        """Add no more to this process's file: whoever looks next brings it in."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = None
            self._bodies = {}

    def files(self) -> tuple[Path, ...]:
        """Files with receipts that wait."""
        return tuple(sorted(self.folder.glob(f"*{_SUFFIX}")))

    def refused_files(self) -> tuple[Path, ...]:
        """Files with what the tables refused; an operator looks at them."""
        return tuple(sorted(self.folder.glob(f"*{_REFUSED}")))

    def count(self) -> int:
        """How many receipts wait."""
        if not self.files():
            return 0
        with self._folder_lock(exclusive=True):
            return sum(len(frame.receipts) for path in self.files() for frame in read_frames(path))

    @contextlib.contextmanager
    def holding(self, path: Path) -> Iterator[bool]:
        """Whether nobody adds to a file, and nobody will until the block ends."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            yield False
            return
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            # Whoever held it meanwhile has brought it in and removed it.
            yield path.exists()

    def refuse(self, path: Path, receipts: Sequence[Receipt], reason: str) -> None:
        """Keep apart, as lines of JSON, what the tables will never take."""
        lines = [{**_as_json(receipt), "reason": reason} for receipt in receipts]
        with path.with_suffix(_REFUSED).open("ab") as file:
            file.writelines(orjson.dumps(line) + b"\n" for line in lines)
            file.flush()
            os.fsync(file.fileno())

    @contextlib.contextmanager
    def closing_days(self, last: date) -> Iterator[None]:
        """While the ledger closes the days up to ``last``: none of their receipts waits here, and none is taken any more.

        Raises:
            NotAvailableError: some wait.
        """
        known = self._closed_until()
        # Closed here before, and nothing waits: nobody has to be kept out.
        if not self.is_possible or (known is not None and known >= last and not self.files()):
            yield
            return
        with self._lock, self._folder_lock(exclusive=True):
            for path in self.files():
                for frame in read_frames(path):
                    if any(receipt.served_at.date() <= last for receipt in frame.receipts):
                        raise NotAvailableError(
                            f"receipts served by {last} are still being written", hint="ask again in a minute"
                        )
            temporary = self.folder / f"{_CLOSED_FILE}.tmp"
            _write_durably(temporary, last.isoformat().encode())
            temporary.replace(self.folder / _CLOSED_FILE)
            _sync_folder(self.folder)
            yield

    def _add(self, frame: bytes) -> None:
        if sum(path.stat().st_size for path in self.files()) + len(frame) > self._most_bytes:
            raise StoreUnavailableError(
                f"{self._most_bytes >> 20} MiB of receipts wait for the database",
                hint="bring the database back; setting queued_receipts_mb says how much may wait",
            )
        file = self._file or self._begin()
        place = file.tell()
        try:
            left = memoryview(frame)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError as error:
            # What may be there of the frame is nobody's; the next one must not lie behind it.
            with contextlib.suppress(OSError):
                os.truncate(file.fileno(), place)
            self.let_go()
            raise StoreUnavailableError(
                f"a receipt could not be kept on disk: {error.strerror}", hint="see that the home's disk has space"
            ) from error

    def _begin(self) -> io.FileIO:
        name = secrets.token_hex(8)
        # Held before it has its name: whoever looks for files that nobody holds never finds it before that.
        temporary, path = self.folder / f"{name}.tmp", self.folder / f"{name}{_SUFFIX}"
        try:
            file = io.FileIO(temporary, "x")
            fcntl.flock(file, fcntl.LOCK_EX)
            temporary.rename(path)
            _sync_folder(self.folder)
        except OSError as error:
            raise StoreUnavailableError(
                f"receipts cannot be kept in {self.folder}: {error.strerror}", hint="see that the home's disk has space"
            ) from error
        self._file, self._path = file, path
        return file

    def _closed_until(self) -> date | None:
        try:
            return date.fromisoformat((self.folder / _CLOSED_FILE).read_text())
        except FileNotFoundError:
            return None

    @contextlib.contextmanager
    def _folder_lock(self, *, exclusive: bool) -> Iterator[None]:
        try:
            self.folder.mkdir(exist_ok=True)
            file = (self.folder / _LOCK_FILE).open("ab")
        except OSError as error:
            raise StoreUnavailableError(
                f"{self.folder} cannot be written: {error.strerror}", hint="see that the home's disk has space"
            ) from error
        with file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield


def read_frames(path: Path, until: int | None = None) -> Iterator[Frame]:
    """The frames of a file, up to where it is cut short; none if it is gone. ``until``: no byte from there on is looked at.

    Raises:
        IntegrityError: whole frames lie behind a damaged one.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        while True:
            place = file.tell()
            if until is not None and place >= until:
                return
            frame = _read_frame(file)
            if frame is None:
                break
            yield frame
        file.seek(place)
        rest = file.read()
    if _holds_whole_frame(rest[1:]):
        raise IntegrityError(f"{path.name} is damaged at byte {place}", hint="restore it from a backup")


def _read_frame(file: BinaryIO) -> Frame | None:
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    magic, length, checksum = _HEAD.unpack(head)
    if magic != _MAGIC or length > _LONGEST_FRAME:
        return None
    content = file.read(length)
    return _unpack(content) if len(content) == length and zlib.crc32(content) == checksum else None


def _holds_whole_frame(data: bytes) -> bool:
    place = data.find(_MAGIC)
    while place >= 0:
        if len(data) >= place + _HEAD.size:
            _, length, checksum = _HEAD.unpack_from(data, place)
            begin = place + _HEAD.size
            if begin + length <= len(data) and zlib.crc32(data[begin : begin + length]) == checksum:
                return True
        place = data.find(_MAGIC, place + 1)
    return False


def _pack(frame: Frame) -> bytes:
    names = list(frame.bodies)
    head = {
        "receipts": [(*astuple(receipt)[:-1], to_epoch_seconds(receipt.served_at)) for receipt in frame.receipts],
        "bodies": [(name, len(frame.bodies[name])) for name in names],
    }
    plain = b"".join((orjson.dumps(head), b"\n", *(frame.bodies[name] for name in names)))
    content = zstandard.ZstdCompressor(level=1).compress(plain)
    return _HEAD.pack(_MAGIC, len(content), zlib.crc32(content)) + content


def _unpack(content: bytes) -> Frame:
    head, _, rest = zstandard.ZstdDecompressor().decompress(content).partition(b"\n")
    said: dict[str, list[Any]] = orjson.loads(head)
    bodies, place = {}, 0
    for name, length in said["bodies"]:
        bodies[name] = rest[place : place + length]
        place += length
    return Frame(tuple(map(_from_row, said["receipts"])), bodies)


def _from_row(row: Sequence[Any]) -> Receipt:
    values = dict(zip(_FIELDS, row, strict=True))
    return Receipt(**{**values, "served_at": from_epoch_seconds(values["served_at"])})


def _as_json(receipt: Receipt) -> dict[str, object]:
    return dict(zip(_FIELDS, astuple(receipt), strict=True))


def _write_durably(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
