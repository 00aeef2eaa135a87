"""Checking that a receipt is in the ledger: pure, offline, and distrustful of every member of a proof.

Source:
    RFC 6962, section 2.1 (leaves, nodes); RFC 9162, section 2.1.3.2 (the walk of a proof).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from skyproof_sdk.errors import ProofError

_LARGEST_COUNT = 1 << 62


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt whose place in the ledger was checked; ``root`` is the same for every customer, for ever."""

    receipt_id: str
    forecast_id: str
    bytes_digest: str
    served_at: str
    date: str
    root: str
    previous_root: str


def check_proof(body: bytes, proof: Mapping[str, Any]) -> Receipt:
    """Check that the receipt of exactly these bytes is under the root of its day. Asks nobody.

    Args:
        body: an answer as it was sent.
        proof: what ``GET /v1/forecasts/{forecast_id}/proof`` said.

    Raises:
        ProofError: it is not, or the proof is malformed.
    """
    told, ledger = _part(proof, "receipt"), _part(proof, "ledger")
    lines = [_text(told, name) for name in ("receipt_id", "forecast_id", "bytes_digest", "served_at")]
    receipt_id, forecast_id, digest, served_at = lines
    if any("\n" in line for line in lines):
        raise ProofError("a line of the receipt holds a newline")
    if sha256(body).hexdigest() != digest:
        raise ProofError(f"the receipt {receipt_id} is of other bytes than these")
    date = _text(ledger, "date")
    if not served_at.startswith(f"{date}T"):
        raise ProofError(f"the receipt {receipt_id} is not of the day {date}")
    index, count = _number(proof, "leaf_index"), _number(ledger, "count")
    path = proof.get("audit_path")
    if not isinstance(path, list) or index >= count:
        raise ProofError("the proof has no path, or an index outside its tree")
    node = _climb(sha256(b"\x00" + "\n".join(lines).encode()).digest(), index, count, [_hash(each) for each in path])
    if node != _hash(ledger.get("tree_root")):
        raise ProofError(f"the receipt {receipt_id} is not in the tree of {date}")
    previous, root = _hash(ledger.get("previous_root")), _hash(ledger.get("root"))
    if sha256(b"\x02" + previous + node + count.to_bytes(8, "big") + date.encode()).digest() != root:
        raise ProofError(f"the root of {date} is not over its tree and the day before")
    return Receipt(receipt_id, forecast_id, digest, served_at, date, root.hex(), previous.hex())


def _climb(node: bytes, index: int, count: int, path: list[bytes]) -> bytes:
    last = count - 1
    for sibling in path:
        # The last of an odd number rises alone.
        while last and index % 2 == 0 and index == last:
            index, last = index // 2, last // 2
        if not last:
            raise ProofError("the path of the proof is too long")
        node = sha256(b"\x01" + (sibling + node if index % 2 else node + sibling)).digest()
        index, last = index // 2, last // 2
    if index or last:
        raise ProofError("the path of the proof is too short")
    return node


def _part(members: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = members.get(name)
    if not isinstance(part, Mapping):
        raise ProofError(f"the proof has no {name}")
    return part


def _text(members: Mapping[str, Any], name: str) -> str:
    text = members.get(name)
    if not isinstance(text, str):
        raise ProofError(f"the proof has no {name}")
    return text


def _number(members: Mapping[str, Any], name: str) -> int:
    number = members.get(name)
    if type(number) is not int or not 0 <= number < _LARGEST_COUNT:
        raise ProofError(f"the proof has no {name}")
    return number


def _hash(text: object) -> bytes:
    try:
        digest = bytes.fromhex(text) if isinstance(text, str) else b""
    except ValueError:
        digest = b""
    if len(digest) != sha256().digest_size:
        raise ProofError("a hash of the proof is not 32 bytes in hex")
    return digest
