"""The object stores: whole, durable, once, and never outside their folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.archive.objects import LocalObjectStore, MemoryObjectStore, check_key, content_key, digest_in_key
from skyproof.domain.errors import IntegrityError, InvalidValueError, StoreUnavailableError
from skyproof.domain.protocols import ObjectStore


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    return LocalObjectStore(tmp_path / "objects") if request.param == "local" else MemoryObjectStore()


def test_a_store_keeps_the_protocol(store: ObjectStore) -> None:
    assert isinstance(store, ObjectStore)
    store.put("a/b.bin", b"one")
    store.put("a/c.bin", b"two")
    store.put("b.bin", b"")
    assert store.get("a/b.bin") == b"one"
    assert store.get("b.bin") == b""
    assert list(store.keys()) == ["a/b.bin", "a/c.bin", "b.bin"]
    assert list(store.keys("a/")) == ["a/b.bin", "a/c.bin"]
    with store.local_path("a/c.bin") as path:
        assert path.read_bytes() == b"two"
    store.delete("a/b.bin")
    store.delete("a/b.bin")
    assert not store.exists("a/b.bin")
    assert store.exists("a/c.bin")


def test_the_same_key_with_the_same_bytes_is_no_error_and_with_others_is(store: ObjectStore) -> None:
    store.put("k", b"one")
    store.put("k", b"one")
    with pytest.raises(IntegrityError, match="other bytes"):
        store.put("k", b"two")
    assert store.get("k") == b"one"


def test_a_missing_object_says_so(store: ObjectStore) -> None:
    with pytest.raises(IntegrityError, match="missing"):
        store.get("none")
    with pytest.raises(IntegrityError, match="missing"), store.local_path("none"):
        pass


@pytest.mark.parametrize(
    "key",
    ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.hidden", ".", "..", "a\\b", "a b", "a\n", "a\0", "x" * 241, "ä"],
)
def test_a_key_that_is_not_plain_is_refused_everywhere(store: ObjectStore, key: str) -> None:
    for call in (
        lambda: store.put(key, b""),
        lambda: store.get(key),
        lambda: store.exists(key),
        lambda: store.delete(key),
    ):
        with pytest.raises(InvalidValueError, match="not allowed"):
            call()


@given(st.text(max_size=30))
def test_no_accepted_key_leaves_the_folder(key: str) -> None:
    try:
        check_key(key)
    except InvalidValueError:
        return
    folder = Path("/some/folder")
    assert os.path.normpath(folder / key) == str(folder / key)
    assert (folder / key).is_relative_to(folder)


def test_content_keys_carry_their_digest() -> None:
    key, digest = content_key("runs", b"abc", ".nc")
    # FIPS 180-2, appendix B.1: the digest of "abc".
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert key == f"runs/{digest}.nc"
    assert digest_in_key(key) == digest
    assert digest_in_key("runs/other.nc") is None


def test_sweep_removes_what_dead_writers_left_and_spares_the_living(tmp_path: Path) -> None:
    store = LocalObjectStore(tmp_path)
    store.put("a/kept.nc", b"kept")
    dead = tmp_path / "a" / ".writing-1-1-x.nc"
    dead.write_bytes(b"half")
    living = tmp_path / "a" / ".writing-2-1-y.nc"
    with living.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert list(store.keys()) == ["a/kept.nc"]
        assert store.leftovers() == (dead,)
        assert store.sweep() == 1
        assert living.exists()
    assert store.sweep() == 1
    assert store.get("a/kept.nc") == b"kept"


def test_an_interrupted_write_leaves_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalObjectStore(tmp_path)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StoreUnavailableError, match="No space left on device"):
        store.put("k.nc", b"data")
    assert not store.exists("k.nc")
    assert store.leftovers() == ()


def test_a_faster_writer_of_the_same_bytes_wins_without_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalObjectStore(tmp_path)
    link = os.link

    def late_link(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"data")
        link(source, target)

    monkeypatch.setattr(os, "link", late_link)
    store.put("k.nc", b"data")
    assert store.get("k.nc") == b"data"
    assert store.leftovers() == ()


def test_a_file_system_without_links_is_served_by_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    store = LocalObjectStore(tmp_path)
    store.put("k.nc", b"data")
    assert store.get("k.nc") == b"data"
    assert list(tmp_path.iterdir()) == [tmp_path / "k.nc"]
