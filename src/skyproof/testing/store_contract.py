"""What every object store must do; run it on your own, empty.

from skyproof.testing.store_contract import check_store

def test_my_store_keeps_the_contract():
    check_store(MyStore())
"""

from __future__ import annotations

from skyproof.domain.errors import IntegrityError, SkyproofError
from skyproof.domain.protocols import ObjectStore

_HOSTILE_KEYS = ("", "/etc/passwd", "a/../../b", "a//b", ".hidden", "a\x00b", "a b", "a\\b", "x" * 300)


def check_store(store: ObjectStore) -> None:
    """Check an empty store; it is empty again afterwards.

    Raises:
        AssertionError: what the store does that it must not, in words.
    """
    assert isinstance(store, ObjectStore), f"{store!r} lacks methods; see domain/protocols.py"
    assert not list(store.keys()), "give an empty store"
    store.put("runs/a.nc", b"one")
    store.put("runs/a.nc", b"one")
    assert store.exists("runs/a.nc"), "an object put is not there"
    assert store.get("runs/a.nc") == b"one", "an object put has other bytes"
    _refuses(lambda: store.put("runs/a.nc", b"two"), "a key was written twice with other bytes", IntegrityError)
    assert store.get("runs/a.nc") == b"one", "a refused write changed the object"
    store.put("experts/b.nc", b"")
    assert list(store.keys()) == ["experts/b.nc", "runs/a.nc"], "keys are not all there, or not sorted"
    assert list(store.keys("runs/")) == ["runs/a.nc"], "a prefix does not choose"
    with store.local_path("runs/a.nc") as path:
        assert path.read_bytes() == b"one", "the local file has other bytes"
    _refuses(lambda: store.get("runs/none.nc"), "a missing object was found", IntegrityError)
    for key in _HOSTILE_KEYS:
        _refuses(lambda key=key: store.put(key, b"x"), f"the key {key!r} was accepted", SkyproofError)
    for key in ("runs/a.nc", "runs/a.nc", "experts/b.nc"):
        store.delete(key)
    assert not list(store.keys()), "a deleted object is still there"


def _refuses(action: object, complaint: str, kind: type[SkyproofError]) -> None:
    assert callable(action)
    try:
        action()
    except kind:
        return
    raise AssertionError(complaint)
