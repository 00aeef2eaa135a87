"""Merkle trees: by hand, beside the recursion of RFC 6962, and against every flipped bit."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.science.merkle import audit_path, leaf_hash, path_root, tree_root

ENTRIES = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def rfc_split(count: int) -> int:
    """The largest power of two below ``count``."""
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def rfc_root(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, as it is written."""
    if not entries:
        return sha256(b"").digest()
    if len(entries) == 1:
        return sha256(b"\0" + entries[0]).digest()
    half = rfc_split(len(entries))
    return sha256(b"\1" + rfc_root(entries[:half]) + rfc_root(entries[half:])).digest()


def rfc_path(at: int, entries: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, section 2.1.1, as it is written."""
    if len(entries) == 1:
        return []
    half = rfc_split(len(entries))
    if at < half:
        return [*rfc_path(at, entries[:half]), rfc_root(entries[half:])]
    return [*rfc_path(at - half, entries[half:]), rfc_root(entries[:half])]


def test_trees_of_none_one_two_and_three_by_hand() -> None:
    a, b, c = (sha256(b"\0" + entry).digest() for entry in (b"a", b"b", b"c"))
    ab = sha256(b"\1" + a + b).digest()
    abc = sha256(b"\1" + ab + c).digest()
    assert tree_root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert tree_root([a]) == a == leaf_hash(b"a")
    assert tree_root([a, b]) == ab
    assert tree_root([a, b, c]) == abc
    assert audit_path([a], 0) == ()
    assert audit_path([a, b], 1) == (a,)
    assert audit_path([a, b, c], 0) == (b, c)
    assert audit_path([a, b, c], 2) == (ab,)


@given(ENTRIES)
def test_roots_and_paths_are_those_of_the_rfc(entries: list[bytes]) -> None:
    leaves = [leaf_hash(entry) for entry in entries]
    root = rfc_root(entries)
    assert tree_root(leaves) == root
    for at, leaf in enumerate(leaves):
        path = audit_path(leaves, at)
        assert list(path) == rfc_path(at, entries)
        assert path_root(leaf, at, len(leaves), path) == root


@given(ENTRIES, st.data())
def test_a_flipped_bit_or_another_length_proves_nothing(entries: list[bytes], data: st.DataObject) -> None:
    leaves = [leaf_hash(entry) for entry in entries]
    at = data.draw(st.integers(0, len(leaves) - 1))
    path = audit_path(leaves, at)
    root = tree_root(leaves)
    parts = [leaves[at], *path]
    which, bit = data.draw(st.integers(0, len(parts) - 1)), data.draw(st.integers(0, 255))
    parts[which] = (int.from_bytes(parts[which], "big") ^ (1 << bit)).to_bytes(32, "big")
    assert path_root(parts[0], at, len(leaves), parts[1:]) != root
    assert path_root(leaves[at], at, len(leaves), [*path, root]) is None
    if path:
        assert path_root(leaves[at], at, len(leaves), path[:-1]) is None


def test_a_leaf_outside_the_tree_is_refused() -> None:
    leaves = [leaf_hash(b"a"), leaf_hash(b"b")]
    with pytest.raises(IndexError):
        audit_path(leaves, 2)
    assert path_root(leaves[0], 2, 2, [leaves[1]]) is None
    assert path_root(leaves[0], -1, 2, [leaves[1]]) is None
