"""What the desk hands out, and what the forms of an answer are made of."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.forecasts import Run
from skyproof.stages.deliver.columns import Columns, Heads
from skyproof.stages.deliver.nearest import FoundSite
from skyproof.stages.deliver.questions import ForecastRequest
from skyproof.stages.deliver.run_view import RunView
from skyproof.stages.deliver.time_axis import TimeAxis


@dataclass(frozen=True, slots=True)
class Question:
    """A request that has found its run and its sites, and therefore its name."""

    forecast_id: str
    customer_id: str
    request: ForecastRequest
    view: RunView
    newest_run_id: str
    places: tuple[FoundSite, ...]

    @property
    def has_points(self) -> bool:
        """Whether some of the places are no sites."""
        return any(found.is_point for found in self.places)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent. ``value_digest`` covers the values, ``bytes_digest`` the body; both SHA-256 as hex."""

    forecast_id: str
    canonical_request: str
    run: Run
    newest_run_id: str
    media_type: str
    body: bytes
    value_digest: str
    bytes_digest: str


@dataclass(frozen=True, slots=True)
class Block:
    """Columns over one axis of times. ``kind`` is ``hourly`` or ``daily``.

    ``seconds`` are valid times, or the midnights that days begin with; ``ends`` those that days end with, None for hours.
    """

    kind: str
    heads: Heads
    labels: Sequence[str] | Sequence[int]
    seconds: NDArray[np.int64]
    ends: NDArray[np.int64] | None
    columns: Columns


@dataclass(frozen=True, slots=True)
class PlaceAnswer:
    """One place with its times and numbers."""

    found: FoundSite
    axis: TimeAxis
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """Everything a form writes."""

    forecast_id: str
    view: RunView
    request: ForecastRequest
    places: tuple[PlaceAnswer, ...]


def forecast_name(customer_id: str, request: ForecastRequest, view: RunView, places: Sequence[FoundSite]) -> str:
    """The id of an answer: of everything that shapes its bytes."""
    digest = hashlib.sha256(f"{customer_id}\n{request.canonical}\n{view.fingerprint}\n".encode())
    for found in places:
        site = found.site
        facts = (site.site_id, site.name, site.latitude, site.longitude, site.elevation_m, site.timezone)
        digest.update(f"{facts}{found.distance_km}{found.calibration}\n".encode())
    return "fc_" + base64.b32encode(digest.digest())[:26].decode().lower()
