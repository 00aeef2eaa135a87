"""The doctor's findings: each planted damage is found and named, a sound archive gives none."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa
from archive_samples import OK, at, make_cycles, make_draft, make_grid, make_receipt, make_scores, make_values

from skyproof.archive.archive import Archive
from skyproof.archive.health import Finding, check_archive, drop_damaged, named_objects, newest_record, remove_orphans
from skyproof.archive.objects import LocalObjectStore


@pytest.fixture
def full(archive: Archive) -> Archive:
    """An archive with one object of each kind and one receipt."""
    grid = make_grid()
    key = archive.experts.put("rel_1", at(12), ("climatology",), make_values(grid).quantiles[None], grid)
    archive.cycles.append(make_cycles(), [OK], recorded_at=at(0))
    key = archive.experts.put("rel_1", at(5), ("climatology",), make_values(grid).quantiles[None], grid)
    archive.releases.add(b"x", created_at=at(0), trained_from=at(0), trained_until=at(0), sources=(), card={})
    archive.runs.publish(make_draft(experts_key=key))
    archive.checkpoints.put("rel_1", at(12), {"a": np.zeros(1)})
    archive.scores.add(make_scores(), scored_at=at(40))
    with archive.deliveries.start_writer() as writer:
        writer.record(make_receipt(1), b"body").result(30)
    return archive


def look(archive: Archive) -> tuple[Finding, ...]:
    return check_archive(archive, minimum_free_bytes=0)


def folder_of(archive: Archive) -> LocalObjectStore:
    assert isinstance(archive.objects, LocalObjectStore)
    return archive.objects


def test_a_sound_archive_has_no_findings(full: Archive) -> None:
    assert len(named_objects(full)) == 6
    assert look(full) == ()


@pytest.mark.parametrize("table", ["cycles", "releases", "runs", "experts", "checkpoints", "scores"])
def test_a_missing_and_a_damaged_object_of_every_kind_are_named(full: Archive, table: str) -> None:
    key = next(key for key in full.objects.keys(f"{table}/"))
    path = folder_of(full).folder / key
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (finding,) = look(full)
    assert (finding.kind, finding.severity) == ("damaged_object", "error")
    assert key in finding.message
    assert finding.remedy
    path.unlink()
    assert [(finding.kind, key in finding.message) for finding in look(full)] == [("missing_object", True)]


def test_experts_of_a_published_run_are_named_even_if_asked_again_since(full: Archive) -> None:
    grid = make_grid()
    full.experts.put("rel_1", at(5), ("climatology",), make_values(grid, 9).quantiles[None], grid)
    assert look(full) == ()


def test_orphans_are_harmless_and_can_be_removed(full: Archive) -> None:
    full.objects.put("runs/orphan.nc", b"half a run")
    (finding,) = look(full)
    assert (finding.kind, finding.severity) == ("orphan_object", "info")
    assert remove_orphans(full) == 1
    assert look(full) == ()


@pytest.mark.parametrize("how", ["damaged", "missing"])
def test_only_what_is_made_again_is_dropped(full: Archive, how: str) -> None:
    grid = make_grid()
    full.experts.put("rel_1", at(12), ("climatology",), make_values(grid, 9).quantiles[None], grid)
    named = named_objects(full)
    for key in named:
        path = folder_of(full).folder / key
        path.write_bytes(b"damage") if how == "damaged" else path.unlink()
    assert drop_damaged(full) == 3
    kept = named_objects(full)
    assert sorted(kept.values()) == ["cycles", "releases", "runs", "runs"]
    assert len([finding for finding in look(full) if finding.kind == f"{how}_object"]) == 4
    assert {key for key in named if full.objects.exists(key)} == (set(kept) if how == "damaged" else set())
    assert full.experts.read("rel_1", at(12)) is None
    assert drop_damaged(full) == 0


def test_the_newest_record_is_the_latest_of_all_kinds(archive: Archive) -> None:
    assert newest_record(archive) is None
    archive.cycles.append(make_cycles(), [OK], recorded_at=at(7))
    assert newest_record(archive) == at(7)
    archive.scores.add(make_scores(), scored_at=at(40))
    assert newest_record(archive) == at(40)


def test_leftovers_are_found_and_swept(full: Archive) -> None:
    (folder_of(full).folder / "runs" / ".writing-1-1-x.nc").write_bytes(b"half")
    (finding,) = look(full)
    assert (finding.kind, finding.severity) == ("leftover_file", "warning")
    assert full.sweep() == 1
    assert look(full) == ()


def test_a_damaged_body_is_found(full: Archive) -> None:
    with full.engine.begin() as connection:
        connection.execute(sa.text("UPDATE bodies SET digest = 'other'"))
    assert [finding.kind for finding in look(full)] == ["damaged_body"]


def test_another_schema_revision_is_found_and_the_worst_comes_first(full: Archive) -> None:
    full.objects.put("runs/orphan.nc", b"half a run")
    with full.engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    assert [finding.kind for finding in look(full)] == ["old_schema", "orphan_object"]


def test_a_full_disk_is_foreseen(full: Archive) -> None:
    (finding,) = check_archive(full, minimum_free_bytes=1 << 62)
    assert (finding.kind, finding.severity) == ("low_disk", "warning")
    assert "MiB are free" in finding.message
