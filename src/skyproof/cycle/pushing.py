"""Turns settings into what pushes: the timetable, the key of webhook secrets, and the networks that are called."""

from __future__ import annotations

import contextlib
import os
import secrets
from datetime import timedelta
from pathlib import Path

from skyproof.cycle.push_cycle import Pusher
from skyproof.cycle.settings import Settings
from skyproof.cycle.wiring import Product
from skyproof.domain.errors import StoreUnavailableError
from skyproof.stages.deliver.run_notices import Timetable
from skyproof.stages.deliver.signatures import KEY_BYTES, Signer
from skyproof.stages.deliver.targets import Courier

KEY_FILE = "webhook-key"


def make_pusher(product: Product) -> Pusher:
    """What pushes for a home."""
    settings = product.settings
    signer = Signer(read_webhook_key(product.home, settings))
    courier = Courier(networks=settings.webhook_networks)
    keep = timedelta(days=settings.keep_notices_days)
    return Pusher(product.archive, product.clock, make_timetable(settings), signer, courier, keep=keep)


def make_timetable(settings: Settings) -> Timetable:
    """When the runs of a home are issued."""
    late_after = timedelta(minutes=settings.late_after_minutes)
    return Timetable(settings.issue_every_hours, settings.issue_hour_utc, late_after)


def read_webhook_key(home: Path, settings: Settings) -> bytes:
    """The key that webhook secrets are derived from; made on first use, readable by its owner alone.

    Raises:
        StoreUnavailableError: it can neither be read nor made.
        InvalidValueError: it is too short.
    """
    path = Path(settings.webhook_key_file) if settings.webhook_key_file else home / KEY_FILE
    try:
        if not path.exists() and not settings.webhook_key_file:
            _make_key(path)
        return path.read_bytes()
    except OSError as error:
        raise StoreUnavailableError(
            f"the webhook key {path.name} cannot be read: {error.strerror}",
            hint="restore it, or give its place as setting webhook_key_file; without it no signature can be made",
        ) from error


def _make_key(path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    # Of several processes that begin at once the first one's key stays, whole.
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()
