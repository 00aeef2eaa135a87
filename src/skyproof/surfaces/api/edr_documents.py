"""What OGC API - EDR tells of itself: landing page, conformance, the collection and its instances."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Any

from skyproof.archive.runs import RunReader
from skyproof.domain.forecasts import Run
from skyproof.domain.sites import Site
from skyproof.domain.times import format_instant
from skyproof.domain.units import find_unit
from skyproof.domain.variables import find_variable
from skyproof.stages.deliver.columns import level_name
from skyproof.stages.deliver.edr_questions import LISTED_LEVELS
from skyproof.stages.deliver.run_view import MODEL

COLLECTION = MODEL
_SPECIFICATIONS = "http://www.opengis.net/spec"
CONFORMANCE = {
    "conformsTo": [
        f"{_SPECIFICATIONS}/ogcapi-common-1/1.0/conf/core",
        f"{_SPECIFICATIONS}/ogcapi-common-2/1.0/conf/collections",
        *(
            f"{_SPECIFICATIONS}/ogcapi-edr-1/1.1/conf/{name}"
            for name in ("core", "collections", "json", "geojson", "covjson", "queries")
        ),
    ]
}
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_CRS_WKT = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]]'
)
_GREGORIAN = 'TIMECRS["DateTime",TDATUM["Gregorian Calendar"],CS[TemporalDateTime,1],AXIS["Time (T)",future]]'
_UCUM = "http://www.opengis.net/def/uom/UCUM/"
_STANDARD_NAMES = "http://vocab.nerc.ac.uk/standard_name/"
#: What each query asks by ``coords``.
QUERIES = {
    "position": "The registered place nearest to a point",
    "area": "All registered places in a polygon",
    "trajectory": "The nearest places along a line, each at its time",
    "locations": "A registered place by its id",
}
_METHODS = {"instant": "point", "preceding mean": "mean", "preceding sum": "sum", "preceding maximum": "maximum"}


def landing(address: str) -> dict[str, Any]:
    """The landing page; ``address`` is that of the server."""
    return {
        "title": "Skyproof",
        "description": "Calibrated probabilistic point forecasts, as OGC API - Environmental Data Retrieval.",
        "keywords": ["weather", "forecast", "quantiles"],
        "links": [
            _link(f"{address}/edr", "self", "This page"),
            _link(
                f"{address}/openapi.json", "service-desc", "Description", "application/vnd.oai.openapi+json;version=3.1"
            ),
            _link(f"{address}/docs", "service-doc", "Documentation", "text/html"),
            _link(f"{address}/edr/conformance", "conformance", "What this conforms to"),
            _link(f"{address}/edr/collections", "data", "Collections"),
        ],
    }


def collections(address: str, run: Run, reader: RunReader, sites: Sequence[Site]) -> dict[str, Any]:
    """The list of collections: there is one."""
    return {
        "links": [_link(f"{address}/edr/collections", "self", "Collections")],
        "collections": [collection(address, run, reader, sites)],
    }


def instances(address: str, runs: Sequence[tuple[Run, RunReader]], sites: Sequence[Site]) -> dict[str, Any]:
    """The list of instances: runs, newest first."""
    return {
        "links": [_link(f"{address}/edr/collections/{COLLECTION}/instances", "self", "Instances")],
        "instances": [collection(address, run, reader, sites, is_instance=True) for run, reader in runs],
    }


def collection(
    address: str, run: Run, reader: RunReader, sites: Sequence[Site], *, is_instance: bool = False
) -> dict[str, Any]:
    """A collection as its newest run is, or an instance of it.

    Args:
        address: of the server.
        run: the run.
        reader: of its file.
        sites: places of the run that the caller may see.
        is_instance: name the run, and say nothing of other ones.
    """
    base = f"{address}/edr/collections/{COLLECTION}" + (f"/instances/{run.run_id}" if is_instance else "")
    begun = format_instant(run.init_time)
    title = f"Run of {begun}" if is_instance else "Skyproof blend, newest run"
    queries = {name: {"link": _query_link(base, name)} for name in QUERIES}
    if not is_instance:
        queries["instances"] = {"link": _query_link(base, "instances")}
    return {
        "id": run.run_id if is_instance else COLLECTION,
        "title": title,
        "description": f"Run {run.run_id} of {begun}, release {run.release_id}, regime {run.regime.regime_id}.",
        "keywords": ["forecast", run.release_id],
        "links": [_link(base, "self", title), _link(f"{address}/v1/sources", "license", "Sources and their licences")],
        "extent": _extent(run, reader, sites),
        "data_queries": queries,
        "crs": ["CRS84"],
        "output_formats": ["CoverageJSON"],
        "parameter_names": {
            parameter["id"]: parameter for name in reader.variables for parameter in _parameters(name, reader)
        },
    }


def locations(address: str, run: Run, sites: Sequence[Site]) -> dict[str, Any]:
    """The places, as GeoJSON."""
    base = f"{address}/edr/collections/{COLLECTION}/locations"
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": site.site_id,
                "geometry": {"type": "Point", "coordinates": [site.longitude, site.latitude, site.elevation_m]},
                "properties": {
                    "label": site.name,
                    "datetime": format_instant(run.init_time),
                    "timezone": site.timezone,
                    "edrqueryendpoint": f"{base}/{site.site_id}",
                },
            }
            for site in sites
        ],
        "links": [_link(base, "self", "Locations", "application/geo+json")],
    }


def _link(href: str, rel: str, title: str, kind: str = "application/json") -> dict[str, Any]:
    return {"href": href, "rel": rel, "type": kind, "title": title}


def _query_link(base: str, name: str) -> dict[str, Any]:
    variables = {
        "query_type": name,
        "output_formats": ["CoverageJSON"],
        "default_output_format": "CoverageJSON",
        "crs_details": [{"crs": "CRS84", "wkt": _CRS_WKT}],
    }
    title = QUERIES.get(name, "Runs")
    kind = "application/json" if name == "instances" else "application/vnd.cov+json"
    return {"href": f"{base}/{name}", "rel": "data", "type": kind, "title": title, "variables": variables}


def _extent(run: Run, reader: RunReader, sites: Sequence[Site]) -> dict[str, Any]:
    east, north = [site.longitude for site in sites], [site.latitude for site in sites]
    box = [min(east), min(north), max(east), max(north)] if sites else [-180.0, -90.0, 180.0, 90.0]
    times = [format_instant(run.init_time + timedelta(hours=lead)) for lead in reader.lead_hours]
    return {
        "spatial": {"bbox": [box], "crs": _CRS84},
        "temporal": {"interval": [[times[0], times[-1]]], "values": times, "trs": _GREGORIAN},
    }


def _parameters(name: str, reader: RunReader) -> list[dict[str, Any]]:
    variable = find_variable(name)
    unit = find_unit(variable.unit)
    leads = reader.lead_hours
    step = min((after - before for before, after in pairwise(leads)), default=leads[0])
    method = _METHODS[variable.cell_method]
    common = {
        "type": "Parameter",
        "data-type": "float",
        "unit": {"label": unit.symbol, "symbol": {"value": unit.code, "type": _UCUM}},
        "observedProperty": {"id": f"{_STANDARD_NAMES}{variable.standard_name}/", "label": variable.title},
        "measurementType": {"method": method, "duration": "PT0S" if method == "point" else f"-PT{step}H"},
    }
    statistics = [("", "mean"), *((f"_{level_name(level)}", f"quantile {level:g}") for level in LISTED_LEVELS)]
    return [
        {**common, "id": f"{name}{suffix}", "label": f"{variable.title}, {statistic}"}
        for suffix, statistic in statistics
    ]
