"""What every source and every observation feed must do; run these on your own.

from skyproof.testing.source_contract import check_source

def test_my_source_keeps_the_contract():
    check_source(MySource(), sites, after, until)
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from skyproof.domain.cycles import CycleBatch, ObservationBatch, SourceSpec
from skyproof.domain.errors import SkyproofError
from skyproof.domain.protocols import ObservationFeed, Source
from skyproof.domain.sites import Site, check_identifier
from skyproof.domain.times import to_datetime64
from skyproof.domain.units import conversion
from skyproof.domain.variables import find_variable


def check_source(source: Source, sites: tuple[Site, ...], after: datetime, until: datetime) -> None:
    """Check a source on a period in which it should have cycles (one without any passes the checks of form).

    Raises:
        AssertionError: what the source does that it must not, in words.
    """
    assert isinstance(source, Source), f"{source!r} has no spec or no cycles(); see domain/protocols.py"
    _check_spec(source.spec)
    batches = list(source.cycles(sites, after, until))
    for batch in batches:
        _check_batch(batch, source.spec, sites, after, until)
    available = [instant for batch in batches for instant in batch.available_ats]
    assert available == sorted(available), "cycles must come oldest first by available_at"
    whole = _fingerprints(batches)
    assert len(set(whole)) == len(whole), "the same cycle came twice in one period"
    assert _fingerprints(list(source.cycles(sites, after, until))) == whole, (
        "asked twice, the source answered differently"
    )
    middle = after + (until - after) / 2
    middle -= timedelta(microseconds=middle.microsecond)
    halves = [*source.cycles(sites, after, middle), *source.cycles(sites, middle, until)]
    assert sorted(_fingerprints(halves)) == sorted(whole), "two halves of a period must give what the whole gives"
    assert not list(source.cycles(sites, until, until)), "the empty period (until, until] must give nothing"


def check_observation_feed(feed: ObservationFeed, sites: tuple[Site, ...], after: datetime, until: datetime) -> None:
    """Check an observation feed on a period in which it should have rows.

    Raises:
        AssertionError: what the feed does that it must not, in words.
    """
    assert isinstance(feed, ObservationFeed), f"{feed!r} has no source_id or no observations(); see domain/protocols.py"
    check_identifier(feed.source_id, "source")
    batches = list(feed.observations(sites, after, until))
    for batch in batches:
        _check_rows(batch, feed.source_id, after, until)
    starts = [batch.recorded_ats.min() for batch in batches if len(batch)]
    assert starts == sorted(starts), "batches must come oldest first by recorded_at"
    whole = _rows(batches)
    assert _rows(list(feed.observations(sites, after, until))) == whole, "asked twice, the feed answered differently"
    middle = after + (until - after) / 2
    middle -= timedelta(microseconds=middle.microsecond)
    halves = [*feed.observations(sites, after, middle), *feed.observations(sites, middle, until)]
    assert _rows(halves) == whole, "two halves of a period must give what the whole gives"
    assert not _rows(list(feed.observations(sites, until, until))), "the empty period (until, until] must give nothing"


def _check_spec(spec: SourceSpec) -> None:
    check_identifier(spec.source_id, "source")
    assert spec.upstream_group, "spec.upstream_group is empty: name who fails together with it"
    assert spec.licence, "spec.licence is empty"
    assert spec.cadence > timedelta(0), f"spec.cadence is {spec.cadence}"
    assert timedelta(0) <= spec.latency_p50 <= spec.latency_p95, "spec.latency_p50 must not exceed latency_p95"
    assert spec.members >= 0, f"spec.members is {spec.members}"
    assert list(spec.lead_hours) == sorted(set(spec.lead_hours)), "spec.lead_hours must increase"
    _check_units(spec.variables, spec.units, "spec.units")


def _check_batch(
    batch: CycleBatch, spec: SourceSpec, sites: tuple[Site, ...], after: datetime, until: datetime
) -> None:
    asked = {site.site_id for site in sites}
    assert batch.source_id == spec.source_id, f"a batch of {batch.source_id} came from {spec.source_id}"
    assert batch.init_times, "a batch holds no cycle: yield none instead"
    assert len(set(batch.site_ids)) == len(batch.site_ids), "a site is in a batch twice"
    assert set(batch.site_ids) <= asked, f"sites came that nobody asked for: {sorted(set(batch.site_ids) - asked)[:5]}"
    assert list(batch.lead_hours) == sorted(set(batch.lead_hours)), "lead_hours must increase"
    assert all(lead >= 0 for lead in batch.lead_hours), "a lead is negative"
    assert batch.values.dtype == np.float32, f"values are {batch.values.dtype}, wanted float32"
    assert not np.isinf(batch.values).any(), "values hold infinity: missing is NaN"
    _check_units(batch.variables, batch.units, "batch.units")
    for init_time, available_at in zip(batch.init_times, batch.available_ats, strict=True):
        assert init_time.tzinfo is not None, f"init_time {init_time} has no time zone"
        assert available_at.tzinfo is not None, f"available_at {available_at} has no time zone"
        assert init_time <= available_at, f"cycle {init_time} is available at {available_at}, before it started"
        assert after < available_at <= until, (
            f"cycle {init_time} became available at {available_at}, not in (after, until]"
        )


def _check_rows(batch: ObservationBatch, source_id: str, after: datetime, until: datetime) -> None:
    assert batch.source_id == source_id, f"a batch of {batch.source_id} came from {source_id}"
    columns = (batch.site_ids, batch.variables, batch.valid_times, batch.recorded_ats)
    lengths = {len(column) for column in columns}
    assert lengths == {len(batch)}, f"columns have lengths {sorted(lengths)}, values {len(batch)}"
    for name in ("valid_times", "recorded_ats"):
        assert getattr(batch, name).dtype == np.dtype("datetime64[s]"), f"{name} must be datetime64[s]"
    names = tuple(dict.fromkeys(batch.variables.tolist()))
    canonical = {name: find_variable(name).unit for name in names}
    _check_units(names, {**canonical, **batch.units}, "batch.units")
    if len(batch):
        late = (batch.recorded_ats <= to_datetime64(after)) | (batch.recorded_ats > to_datetime64(until))
        assert not late.any(), f"{int(late.sum())} rows were recorded outside (after, until]"


def _check_units(variables: Sequence[str], units: object, where: str) -> None:
    assert hasattr(units, "get"), f"{where} is no mapping"
    for name in variables:
        try:
            conversion(units.get(name, ""), find_variable(name).unit)
        except SkyproofError as error:
            raise AssertionError(f"{where}, {name}: {error}") from error


def _fingerprints(batches: Sequence[CycleBatch]) -> list[tuple[str, ...]]:
    return [
        (
            str(init),
            str(known),
            str(batch.variables),
            str(batch.lead_hours),
            str(batch.site_ids),
            str(hash(values.tobytes())),
        )
        for batch in batches
        for init, known, values in zip(batch.init_times, batch.available_ats, batch.values, strict=True)
    ]


def _rows(batches: Sequence[ObservationBatch]) -> list[tuple[str, ...]]:
    return sorted(
        (str(site), str(name), str(valid), str(recorded), repr(float(value)))
        for b in batches
        for site, name, valid, recorded, value in zip(
            b.site_ids, b.variables, b.valid_times, b.recorded_ats, b.values, strict=True
        )
    )
