"""Where arrays lie: immutable objects by key.

Every key the archive makes ends in the SHA-256 of its bytes, so that damage can be found without the database.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from skyproof.domain.errors import IntegrityError, InvalidValueError, StoreUnavailableError

try:
    import fcntl
except ImportError:  # Windows, where an open file cannot be removed anyway
    fcntl = None  # type: ignore[assignment]

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*(/[A-Za-z0-9][A-Za-z0-9._=-]*)*")
_KEY_LENGTH = 240
_TEMPORARY = ".writing-"
_counter = itertools.count()


def check_key(key: str) -> str:
    """Return ``key`` if it is safe: plain segments between slashes, none beginning with a dot.

    Raises:
        InvalidValueError: anything else, above all what could leave the store's folder.
    """
    if len(key) > _KEY_LENGTH or not _KEY.fullmatch(key):
        raise InvalidValueError(
            f"object key {key[:80]!r} is not allowed", hint="use letters, digits, '.', '_', '=', '-' between slashes"
        )
    return key


def content_key(folder: str, data: bytes, suffix: str) -> tuple[str, str]:
    """Key and SHA-256 of content-addressed ``data``: ``folder/<sha256><suffix>``."""
    digest = hashlib.sha256(data).hexdigest()
    return check_key(f"{folder}/{digest}{suffix}"), digest


def digest_in_key(key: str) -> str | None:
    """The SHA-256 that a content-addressed key promises, None for any other key."""
    match = re.fullmatch(r"([0-9a-f]{64})(\..+)?", key.rsplit("/", 1)[-1])
    return match.group(1) if match else None


class LocalObjectStore:
    """Objects as files in a folder.

    An object is written to a hidden file beside its place, made durable, and only then given its name: whoever sees
    the name sees the whole object. A process that dies in between leaves a hidden file, which :meth:`sweep` removes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with _translating(f"the folder {folder}"):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        """Where the objects lie."""
        return self._folder

    def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``; durable on return.

        Raises:
            InvalidValueError: a key that is not allowed.
            IntegrityError: the key is held with other bytes.
            StoreUnavailableError: the disk is full or does not answer.
        """
        path = self._path(key)
        with _translating(key):
            _make_folders(path.parent, self._folder)
            if path.exists():
                self._confirm(key, path, data)
                return
            temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{next(_counter)}-{path.name}")
            try:
                _write_durably(temporary, path, data)
            except FileExistsError:
                self._confirm(key, path, data)
            finally:
                temporary.unlink(missing_ok=True)
            _sync_folder(path.parent)

    def get(self, key: str) -> bytes:
        """The bytes of ``key``.

        Raises:
            IntegrityError: there is no such object.
            StoreUnavailableError: the disk does not answer.
        """
        with _translating(key):
            try:
                return self._path(key).read_bytes()
            except FileNotFoundError as error:
                raise _missing(key) from error

    @contextmanager
    def local_path(self, key: str) -> Iterator[Path]:
        """The file that holds the object.

        Raises:
            IntegrityError: there is no such object.
        """
        path = self._path(key)
        if not path.is_file():
            raise _missing(key)
        yield path

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        """Remove an object; no error if it is gone."""
        with _translating(key):
            self._path(key).unlink(missing_ok=True)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with ``prefix``, sorted."""
        found = (path.relative_to(self._folder).as_posix() for path in self._files() if not path.name.startswith("."))
        yield from sorted(key for key in found if key.startswith(prefix))

    def leftovers(self) -> tuple[Path, ...]:
        """Hidden files of writers that died; those of living writers are locked and not among them."""
        hidden = (path for path in self._files() if path.name.startswith(_TEMPORARY))
        return tuple(sorted(path for path in hidden if not _is_locked(path)))

    def sweep(self) -> int:
        """Remove :meth:`leftovers`; returns how many."""
        found = self.leftovers()
        for path in found:
            with _translating(path.name):
                path.unlink(missing_ok=True)
        return len(found)

    def _path(self, key: str) -> Path:
        return self._folder / check_key(key)

    def _files(self) -> Iterator[Path]:
        for folder, _, file_names in os.walk(self._folder):
            yield from (Path(folder, name) for name in file_names)

    @staticmethod
    def _confirm(key: str, path: Path, data: bytes) -> None:
        if path.read_bytes() != data:
            raise IntegrityError(
                f"object {key} is already held with other bytes", hint="an object is written once; skyproof doctor"
            )
        with path.open("rb") as file:  # its first writer may have died before it was durable
            os.fsync(file.fileno())
        _sync_folder(path.parent)


class MemoryObjectStore:
    """Objects in memory: the null implementation, for tests and to copy from."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        """Keep ``data`` under ``key``.

        Raises:
            InvalidValueError: a key that is not allowed.
            IntegrityError: the key is held with other bytes.
        """
        if self._objects.setdefault(check_key(key), bytes(data)) != data:
            raise IntegrityError(f"object {key} is already held with other bytes", hint="an object is written once")

    def get(self, key: str) -> bytes:
        """The bytes of ``key``.

        Raises:
            IntegrityError: there is no such object.
        """
        try:
            return self._objects[check_key(key)]
        except KeyError as error:
            raise _missing(key) from error

    @contextmanager
    def local_path(self, key: str) -> Iterator[Path]:
        """A temporary file holding the object; it is gone when the block ends, a mapping of it lives on.

        Raises:
            IntegrityError: there is no such object.
        """
        data = self.get(key)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "object")
            path.write_bytes(data)
            yield path

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return check_key(key) in self._objects

    def delete(self, key: str) -> None:
        """Remove an object; no error if it is gone."""
        self._objects.pop(check_key(key), None)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with ``prefix``, sorted."""
        yield from sorted(key for key in self._objects if key.startswith(prefix))


def _missing(key: str) -> IntegrityError:
    return IntegrityError(f"object {key} is missing", hint="restore it from a backup, or run skyproof doctor")


@contextmanager
def _translating(what: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        raise StoreUnavailableError(
            f"the object store cannot reach {what}: {error.strerror or error}",
            hint="see that the disk is there, writable and not full",
        ) from error


def _make_folders(folder: Path, root: Path) -> None:
    """Make ``folder`` and make the entries of all new folders durable."""
    if folder.is_dir():
        return
    _make_folders(folder.parent, root) if folder != root else None
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _write_durably(temporary: Path, path: Path, data: bytes) -> None:
    """Write, fsync, and give the name without replacing a file that has it.

    Raises:
        FileExistsError: another writer was faster.
    """
    with temporary.open("xb") as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)  # tells sweep() that we live
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:  # a file system without links; equal keys have equal bytes, so replacing is harmless
            os.replace(temporary, path)


def _sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` durable; Windows cannot open a folder and needs no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_locked(path: Path) -> bool:
    if fcntl is None:
        return False
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
    return True  # gone meanwhile: its writer finished
