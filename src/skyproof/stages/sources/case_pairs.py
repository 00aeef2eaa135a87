"""Refuses a table whose forecasts and observations do not belong together, unless told to go on."""

from __future__ import annotations

from skyproof.domain.bench import BenchTable
from skyproof.domain.errors import PairMismatchError
from skyproof.science.pair_checks import check_pairs

_MOST_NAMED = 3


def check_table_pairs(table: BenchTable, *, accept: bool = False) -> tuple[str, ...]:
    """Warnings about the pairs of a table.

    Args:
        table: to look at.
        accept: turn a refusal into a warning.

    Raises:
        PairMismatchError: the evidence is strong; the likely shift, sites or unit are named.
    """
    found = check_pairs(table.cases, said=table.unit)
    strong = [finding for finding in found if finding.strength == "strong"]
    if strong and not accept:
        more = f"; and {len(strong) - _MOST_NAMED} more" if len(strong) > _MOST_NAMED else ""
        raise PairMismatchError(
            "; ".join(finding.message for finding in strong[:_MOST_NAMED]) + more,
            hint=f"{strong[0].hint}; --accept-pairs goes on all the same",
        )
    return tuple(f"{finding.message}; {finding.hint}" for finding in found)
