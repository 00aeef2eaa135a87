"""The ledger of receipts: each day's root, and the proof that one's own receipt is under it.

Annotations are evaluated at once here: FastAPI has to see the dependencies, which are local names.
"""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi import Path as FromPath
from pydantic import BaseModel, Field
from starlette.responses import Response

from skyproof.archive.archive import Archive
from skyproof.domain.deliveries import ApiKey, LedgerDay
from skyproof.domain.errors import InputError, NotFoundError
from skyproof.domain.protocols import Clock
from skyproof.domain.sites import check_identifier
from skyproof.domain.times import format_instant
from skyproof.surfaces.api.authentication import Authenticator

_FORECAST_ID = "The forecast_id of an answer you were given."
_DATE = "A day in UTC that is over, like 2026-01-31."
_CLOSED = "private, max-age=31536000, immutable"


class LedgerDayOut(BaseModel):
    """A closed day of the ledger. Hashes are SHA-256 as hex."""

    date: str
    count: Annotated[int, Field(description="How many receipts.")]
    tree_root: Annotated[str, Field(description="Root of the Merkle tree (RFC 6962) over the day's receipts.")]
    previous_root: Annotated[str, Field(description="The root of the day before; zeros on the first day.")]
    root: Annotated[
        str,
        Field(description="Hash of byte 2, previous_root, tree_root, the count as 8 bytes and the date as text."),
    ]


class ReceiptOut(BaseModel):
    """The receipt of an answer: the entry of its leaf is these four, joined by newlines."""

    receipt_id: str
    forecast_id: str
    bytes_digest: Annotated[str, Field(description="SHA-256 of the body as it was sent.")]
    served_at: str


class ProofOut(BaseModel):
    """That a receipt is in the ledger."""

    receipt: ReceiptOut
    leaf_index: int
    audit_path: Annotated[list[str], Field(description="Sibling hashes from the leaf up to tree_root (RFC 6962).")]
    ledger: LedgerDayOut


def ledger_router(archive: Archive, clock: Clock, authenticator: Authenticator) -> APIRouter:
    """The routes of the ledger, each behind a key."""
    router = APIRouter(prefix="/v1")

    @router.get(
        "/ledger/{date}", summary="A closed day's root over all receipts", dependencies=[Depends(authenticator)]
    )
    def ledger(response: Response, day: Annotated[str, FromPath(alias="date", description=_DATE)]) -> LedgerDayOut:
        found = archive.ledger.day(_read_day(day), now=clock.now())
        response.headers["Cache-Control"] = _CLOSED
        return _day_out(found)

    @router.get("/forecasts/{forecast_id}/proof", summary="Proof that the receipt of your answer is in the ledger")
    def proof(
        response: Response,
        forecast_id: Annotated[str, FromPath(description=_FORECAST_ID)],
        key: Annotated[ApiKey, Depends(authenticator)],
    ) -> ProofOut:
        try:
            check_identifier(forecast_id, "forecast")
        except InputError as error:
            raise NotFoundError(error.message, hint=error.hint) from error
        found = archive.ledger.proof(forecast_id, customer_id=key.customer_id, now=clock.now())
        receipt = found.receipt
        response.headers["Cache-Control"] = _CLOSED
        return ProofOut(
            receipt=ReceiptOut(
                receipt_id=receipt.receipt_id,
                forecast_id=receipt.forecast_id,
                bytes_digest=receipt.bytes_digest,
                served_at=format_instant(receipt.served_at),
            ),
            leaf_index=found.leaf_index,
            audit_path=list(found.audit_path),
            ledger=_day_out(found.day),
        )

    return router


def _read_day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        raise NotFoundError(f"{text[:40]!r} is no day", hint="write it like 2026-01-31")
    return day


def _day_out(found: LedgerDay) -> LedgerDayOut:
    return LedgerDayOut(
        date=found.day.isoformat(),
        count=found.count,
        tree_root=found.tree_root,
        previous_root=found.previous_root,
        root=found.root,
    )
