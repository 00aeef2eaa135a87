"""Turns settings into objects; the only place that knows which implementation stands behind a protocol."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skyproof.archive.archive import Archive
from skyproof.archive.release_content import ReleaseContent
from skyproof.cycle.clock import SimulatedClock, SystemClock
from skyproof.cycle.experts import MakeExperts, source_experts, usual_models
from skyproof.cycle.settings import Settings, load_settings
from skyproof.domain.cycles import SourceSpec
from skyproof.domain.errors import NotAvailableError
from skyproof.domain.forecasts import ForecastGrid
from skyproof.domain.protocols import Blend, Clock, RecordModel
from skyproof.science.online_blend import BernsteinBlend
from skyproof.stages.forecast.experts import Panel, wake_experts

CLOCK_FILE = "clock.json"


@dataclass(frozen=True, slots=True)
class Product:
    """One home, opened: its settings, its archive and its clock."""

    home: Path
    settings: Settings
    archive: Archive
    clock: Clock

    def source_ids(self) -> tuple[str, ...]:
        """Registered sources that have at least one cycle, in the register's order."""
        now = self.clock.now()
        specs = self.archive.sources.all()
        return tuple(spec.source_id for spec in specs if self.archive.cycles.catalogue(spec.source_id, as_of=now))

    def usual_models(self) -> tuple[RecordModel, ...]:
        """Fresh models that need no source."""
        return usual_models()

    @property
    def make_experts(self) -> MakeExperts:
        """Makes fresh experts on what sources say, of the kinds that the settings name."""
        return source_experts(self.settings.experts)

    def blend(self) -> Blend:
        """The online blend."""
        return BernsteinBlend()

    def wake(self, content: ReleaseContent, hidden: Collection[str] = ()) -> Panel:
        """The experts of a release; the records of the sites ``hidden`` say nothing to their neighbours."""
        return wake_experts(content, self.usual_models(), self.make_experts, hidden=hidden)

    def register(self) -> dict[str, SourceSpec]:
        """What each registered source promises."""
        return {spec.source_id: spec for spec in self.archive.sources.all()}

    @property
    def is_sandbox(self) -> bool:
        """Whether this home holds the simulated planet."""
        return self.settings.clock == "simulated"

    def grid(self) -> ForecastGrid:
        """The cells a run of this home fills.

        Raises:
            NotAvailableError: no site is registered.
        """
        sites = self.archive.sites.all()
        if not sites:
            raise NotAvailableError(
                "no site is registered", hint="skyproof site add, or skyproof ingest, brings sites in"
            )
        settings = self.settings
        return ForecastGrid(sites, settings.variables, settings.lead_hours, settings.step_hours)


@contextmanager
def open_product(home: Path, *, patience_s: float | None = None, **overrides: Any) -> Iterator[Product]:
    """Open a home (made if it is not there) and close it afterwards. ``patience_s``: as for :meth:`Archive.open`."""
    settings = load_settings(home, **overrides)
    clock: Clock = SimulatedClock(home / CLOCK_FILE) if settings.clock == "simulated" else SystemClock()
    queue_bytes = settings.queued_receipts_mb << 20
    url = settings.database_url or None
    with Archive.open(home, database_url=url, patience_s=patience_s, queue_bytes=queue_bytes) as archive:
        yield Product(home, settings, archive, clock)
