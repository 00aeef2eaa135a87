"""A home with a cover takes gridded files in at its nodes, too: beside the sites and seen in no list."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from skyproof.archive.archive import Archive
from skyproof.archive.between import read_between
from skyproof.cycle.clock import FixedClock
from skyproof.cycle.ingest_cycle import ingest_cycle
from skyproof.cycle.settings import Settings, load_settings, parse_settings, save_settings
from skyproof.cycle.wiring import Product
from skyproof.domain.cover import Cover, cover_of
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.sites import Site
from skyproof.domain.times import parse_instant

NOW = parse_instant("2025-01-02T00:00Z")
SPEC = """
sites: [{id: harbour, latitude: 50, longitude: 10}]
inputs: [{kind: fields, source: alba, files: '*.nc', interpolation: bilinear, available_after: PT5H}]
"""


def write_fields(folder: Path) -> None:
    """Two leads of a temperature that is its latitude in degrees Celsius, every degree from 48 to 52 N."""
    latitude, longitude = np.arange(48.0, 53.0), np.arange(8.0, 13.0)
    values = np.broadcast_to(latitude[None, :, None] + 273.15, (2, 5, 5)).astype(np.float32)
    attributes = {"standard_name": "air_temperature", "units": "K", "long_name": "2 m"}
    xr.Dataset(
        {"t2m": (("step", "latitude", "longitude"), values, attributes)},
        coords={
            "time": np.datetime64("2025-01-01T00:00", "ns"),
            "step": ("step", np.array([6, 12], dtype="timedelta64[h]").astype("timedelta64[ns]")),
            "latitude": ("latitude", latitude, {"units": "degrees_north", "standard_name": "latitude"}),
            "longitude": ("longitude", longitude, {"units": "degrees_east", "standard_name": "longitude"}),
        },
    ).to_netcdf(folder / "f.nc", engine="h5netcdf")


@pytest.mark.parametrize("cover", [None, Cover(48.0, 8.0, 52.0, 12.0, 2.0)])
def test_fields_are_taken_in_at_the_nodes_where_there_is_a_cover(tmp_path: Path, cover: Cover | None) -> None:
    write_fields(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)
    with Archive.open(tmp_path / "home") as archive:
        product = Product(tmp_path / "home", Settings(cover=cover), archive, FixedClock(NOW))
        reports = ingest_cycle(product, tmp_path / "spec.yaml", data_folder=tmp_path)
        found = archive.cycles.catalogue(cover_of("alba"), as_of=NOW)
        assert [site.site_id for site in archive.sites.all()] == ["harbour"]
        assert [spec.source_id for spec in archive.sources.all()] == ["alba"]
        assert product.source_ids() == ("alba",)
        if cover is None:
            assert (len(reports), found) == (1, ())
            return
        assert [(report.source_id, report.stored, report.rejected) for report in reports] == [
            ("alba", 1, 0), (cover_of("alba"), 1, 0)
        ]  # fmt: skip
        # Values are for the source's own ground: the height of the place changes nothing.
        here = Site("here", "", 49.3, 11.1, 2000.0)
        data = read_between(archive.cycles, found[0], [here], variables=["temperature_2m"])
        assert data is not None
        assert data.values[0, :, 0, 0] == pytest.approx([49.3, 49.3], abs=0.02)
        assert all(each.stored == 0 for each in ingest_cycle(product, tmp_path / "spec.yaml", data_folder=tmp_path))


def test_a_cover_is_a_setting_that_is_written_and_read_again(tmp_path: Path) -> None:
    asked = {"south": 48, "west": 8, "north": 52, "east": 12, "spacing_deg": 0.5}
    settings = parse_settings({"cover": asked})
    save_settings(tmp_path, settings)
    assert load_settings(tmp_path, environment={}).cover == settings.cover == Cover(48.0, 8.0, 52.0, 12.0, 0.5)
    with pytest.raises(InvalidValueError, match="nodes"):
        parse_settings({"cover": asked | {"spacing_deg": 0.001}})
    with pytest.raises(InvalidValueError, match="settings are wrong"):
        parse_settings({"cover": {"south": 48}})
