"""What customers are told of a correction."""

from __future__ import annotations

from datetime import datetime

from skyproof.domain.corrigenda import Corrigendum
from skyproof.domain.times import format_instant


def corrigendum_facts(corrigendum: Corrigendum) -> dict[str, object]:
    """A correction in the words of the wire; empty lists mean all."""
    return {
        "corrigendum": corrigendum.corrigendum_id,
        "published_at": format_instant(corrigendum.published_at),
        "title": corrigendum.title,
        "text": corrigendum.text,
        "runs": list(corrigendum.run_ids),
        "variables": list(corrigendum.variables),
        "issued_from": _written(corrigendum.issued_from),
        "issued_until": _written(corrigendum.issued_until),
    }


def _written(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)
