"""Our own implementations keep the contracts others are held to, and each contract can be broken."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.archive.objects import LocalObjectStore, MemoryObjectStore
from skyproof.cycle.clock import FixedClock, SystemClock
from skyproof.domain.forecasts import ForecastValues
from skyproof.science.equal_blend import EqualBlend
from skyproof.science.online_blend import BernsteinBlend
from skyproof.stages.forecast.null_record_model import NullRecordModel
from skyproof.stages.sources.null_source import NullObservationFeed, NullSource
from skyproof.stages.sources.plan import plan_ingest
from skyproof.testing.blend_contract import check_blend
from skyproof.testing.clock_contract import check_clock
from skyproof.testing.record_contract import check_record_model
from skyproof.testing.source_contract import check_observation_feed, check_source
from skyproof.testing.store_contract import check_store
from tests.stages import toy_world

FILES = """
sites: [{id: harbour, latitude: 50, longitude: 10}]
inputs:
  - kind: forecasts
    files: f.csv
    time: {init_time: run, lead_hours: lead, zone: UTC}
    site: {id: station}
    available_after: PT6H
    values: [{variable: temperature_2m, unit: Cel, sources: {alba: t}}]
  - kind: observations
    files: o.csv
    time: {valid_time: time, zone: UTC}
    site: {id: station}
    available_after: PT10M
    values: [{variable: temperature_2m, unit: Cel, column: t}]
"""
ISSUED = toy_world.START + timedelta(days=30, hours=12)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Archive.open(tmp_path_factory.mktemp("contracts")) as archive:
        toy_world.build_world(archive, days=34)
        record = archive.inputs.record(toy_world.grid(), since=toy_world.START, as_of=ISSUED)
        yield record, archive.inputs.gather(toy_world.grid(), toy_world.SOURCES, issue_time=ISSUED)


@pytest.mark.parametrize("place", range(3))
def test_every_model_of_the_record_keeps_the_contract(world, place):
    check_record_model(lambda: (NullRecordModel(), *toy_world.usual_models())[place], *world)


@pytest.mark.parametrize("blend", [BernsteinBlend(), EqualBlend()], ids=["bernstein", "equal"])
def test_every_blend_keeps_the_contract(blend):
    check_blend(blend)


def test_every_store_keeps_the_contract(tmp_path):
    check_store(MemoryObjectStore())
    check_store(LocalObjectStore(tmp_path))


@pytest.mark.parametrize(
    "clock", [SystemClock(), FixedClock(datetime(2025, 1, 1, tzinfo=UTC))], ids=["system", "fixed"]
)
def test_every_clock_keeps_the_contract(clock):
    check_clock(clock)


def test_every_source_and_feed_keeps_the_contract(tmp_path):
    rows = [f"2025-01-0{day}T00:00,{lead},harbour,{5 + day + lead / 10}" for day in range(1, 6) for lead in (6, 12)]
    (tmp_path / "f.csv").write_text("run,lead,station,t\n" + "\n".join(rows) + "\n")
    (tmp_path / "o.csv").write_text("time,station,t\n2025-01-02T00:00,harbour,5\n2025-01-03T00:00,harbour,6\n")
    (tmp_path / "spec.yaml").write_text(FILES)
    until = toy_world.START + timedelta(days=9)
    plan = plan_ingest(tmp_path / "spec.yaml", ingested_at=until)
    for source in (*plan.sources, NullSource()):
        check_source(source, plan.sites, toy_world.START, until)
    for feed in (*plan.feeds, NullObservationFeed()):
        check_observation_feed(feed, plan.sites, toy_world.START, until)


class Twice(NullSource):
    """Says more each time it is asked."""

    asked = 0

    def cycles(self, sites, after, until):
        Twice.asked += 1
        yield from self.source.cycles(sites, after, until) if Twice.asked > 1 else ()


def test_a_bad_source_is_found_out(tmp_path):
    (tmp_path / "f.csv").write_text("run,lead,station,t\n2025-01-02T00:00,6,harbour,5\n2025-01-03T00:00,6,harbour,6\n")
    (tmp_path / "o.csv").write_text("time,station,t\n")
    (tmp_path / "spec.yaml").write_text(FILES)
    until = toy_world.START + timedelta(days=9)
    plan = plan_ingest(tmp_path / "spec.yaml", ingested_at=until)
    (Twice.source,) = plan.sources
    Twice.spec = Twice.source.spec
    with pytest.raises(AssertionError, match="answered differently"):
        check_source(Twice(), plan.sites, toy_world.START, until)


class Crossing(NullRecordModel):
    def predict(self, inputs):
        quantiles = super().predict(inputs).quantiles
        quantiles[:] = np.arange(21)[::-1]
        return ForecastValues(quantiles, quantiles[..., 0])


class Moody(NullRecordModel):
    calls = 0

    def predict(self, inputs):
        quantiles = super().predict(inputs).quantiles
        Moody.calls += 1
        quantiles[:] = Moody.calls
        return ForecastValues(quantiles, quantiles[..., 0])


@pytest.mark.parametrize(("model", "complaint"), [(Crossing, "quantiles cross"), (Moody, "answers differently")])
def test_a_bad_model_is_found_out(world, model, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_record_model(model, *world)


class Forgetful(MemoryObjectStore):
    def put(self, key, data):
        self._objects[key] = data


class FirstOnly(EqualBlend):
    def combine(self, state, experts):
        return experts[0]


class Local:
    def now(self):
        return datetime(2025, 1, 1)


def test_a_bad_store_blend_and_clock_are_found_out():
    with pytest.raises(AssertionError, match="written twice"):
        check_store(Forgetful())
    with pytest.raises(AssertionError, match="must speak where any expert does"):
        check_blend(FirstOnly())
    with pytest.raises(AssertionError, match="aware UTC"):
        check_clock(Local())
