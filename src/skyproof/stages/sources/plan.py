"""From an ingest spec and a folder of files to sources, feeds and places that a cycle can run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from skyproof.domain.errors import ContractError, InvalidValueError, SkyproofError, UnreadableFileError
from skyproof.domain.protocols import ObservationFeed, Source
from skyproof.domain.sites import Site
from skyproof.domain.units import conversion
from skyproof.domain.variables import find_variable
from skyproof.stages.sources.columns import to_identifier
from skyproof.stages.sources.fields import FieldValues, to_points
from skyproof.stages.sources.file_source import FileObservations, FileSource, PointReader
from skyproof.stages.sources.ingest_spec import (
    FieldFiles,
    ForecastTable,
    IngestSpec,
    Input,
    ObservationTable,
    default_row,
    load_ingest_spec,
)
from skyproof.stages.sources.points import ForecastPoints
from skyproof.stages.sources.problems import Problems
from skyproof.stages.sources.tables import ObservedRows, read_forecast_table, read_observation_table

_FORMATS = {
    ".csv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet", ".nc": "netcdf", ".nc4": "netcdf",
    ".grib": "grib", ".grib2": "grib", ".grb": "grib", ".grb2": "grib", ".grib1": "grib",
}  # fmt: skip
_FIELD_FORMATS = ("netcdf", "grib")
_PATTERN = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """What an ingest will take in: register ``sites``, then take in every source and feed.

    ``messages`` says what the files could not give; sources and feeds repeat it in their intake reports.
    """

    sites: tuple[Site, ...]
    sources: tuple[Source, ...]
    feeds: tuple[ObservationFeed, ...]
    messages: tuple[str, ...] = ()
    #: Those of the sources that are fields altogether, and can be read anywhere.
    fields: tuple[Source, ...] = ()


def plan_ingest(
    path: Path,
    *,
    ingested_at: datetime,
    data_folder: Path | None = None,
    strict: bool = False,
    sites: Sequence[Site] = (),
) -> IngestPlan:
    """Read what an ingest spec describes. Nothing is stored yet.

    Args:
        path: an ingest spec (YAML), or one GRIB or NetCDF file, whose source is then named after it.
        ingested_at: the present; nothing in the files became known later.
        data_folder: where the files lie; beside the spec by default.
        strict: refuse everything if one row or message is wrong.
        sites: places known already, for files that describe none.

    Raises:
        UnreadableFileError: a file that is not there, or not what it should be.
        InvalidValueError: the spec is wrong.
        ContractError: a file breaks its contract as a whole, or, if ``strict``, in one place.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        spec, folder = load_ingest_spec(path), data_folder or path.parent
    else:
        spec, folder = _spec_of_file(path), path.parent
    written_out = tuple(
        Site(to_identifier(row.id), row.name or row.id, row.latitude, row.longitude, row.elevation_m, row.timezone)
        for row in spec.sites
    )
    reading = _Reading(folder, ingested_at, {site.site_id: site for site in (*sites, *written_out)})
    _check_variables(spec)
    for part in spec.inputs:
        reading.tables(part)
    found = tuple(reading.sites[name] for name in sorted(reading.sites))
    sources = tuple(reading.source(spec, source_id, found) for source_id in reading.source_ids(spec))
    feeds = tuple(reading.feed(name) for name in reading.observed)
    held = [*(source.problems for source in sources), *(feed.problems for feed in feeds)]
    messages = tuple(dict.fromkeys(message for problems in held for message in problems.messages))
    rejected = sum(problems.rejected for problems in held)
    if strict and rejected:
        raise ContractError(
            f"{rejected} rows or messages are wrong and nothing was taken in: {'; '.join(messages[:5])}",
            hint="mend them, or ingest without --strict to take in the good ones",
        )
    fields = tuple(source for source in sources if source.spec.source_id not in reading.in_tables)
    return IngestPlan(found, sources, feeds, messages, fields)


class _Reading:
    """What was read so far."""

    def __init__(self, folder: Path, ingested_at: datetime, sites: dict[str, Site]) -> None:
        self.sites = sites
        self.observed: dict[str, list[ObservedRows]] = {}
        self._folder = folder
        self._ingested_at = ingested_at
        self._points: dict[str, list[ForecastPoints]] = {}
        self._said: dict[str, Problems] = {}

    def tables(self, part: Input) -> None:
        """Read an input that is a table; fields wait until all places are known."""
        if isinstance(part, FieldFiles):
            return
        members: dict[str, int] = {}
        parts: dict[str, list[ForecastPoints]] = {}
        problems = self._collector(part)
        for path, file_format in self._files(part):
            if file_format in _FIELD_FORMATS:
                raise InvalidValueError(f"{path.name} is {file_format}, not a table", hint="use kind: fields")
            if isinstance(part, ObservationTable):
                rows, sites = read_observation_table(
                    part, path, file_format, ingested_at=self._ingested_at, problems=problems
                )
                self.observed.setdefault(part.source, []).append(rows)
            else:
                read, sites = read_forecast_table(
                    part, path, file_format, ingested_at=self._ingested_at, problems=problems, member_numbers=members
                )
                for source_id, own in read.items():
                    parts.setdefault(source_id, []).extend(own)
            for site in sites:
                self.sites.setdefault(site.site_id, site)
        for source_id, own in parts.items():
            self._points.setdefault(source_id, []).extend(own)

    def source_ids(self, spec: IngestSpec) -> tuple[str, ...]:
        """Every source of the spec, in its order."""
        fields = [part.source for part in spec.inputs if isinstance(part, FieldFiles)]
        return tuple(dict.fromkeys([*self._points, *fields]))

    @property
    def in_tables(self) -> frozenset[str]:
        """Sources of which some rows stand in tables."""
        return frozenset(self._points)

    def source(self, spec: IngestSpec, source_id: str, sites: tuple[Site, ...]) -> FileSource:
        """One source: its tables as read, its fields read at ``sites``."""
        own = [part for part in spec.inputs if isinstance(part, FieldFiles) and part.source == source_id]
        if own and not sites:
            raise InvalidValueError(
                f"fields of {source_id} are to be read at places, and none is known",
                hint="list them under sites: in the ingest spec, or register them first",
            )
        tables = self._points.get(source_id, [])
        described = [
            p for p in spec.inputs if isinstance(p, ForecastTable) and any(source_id in v.sources for v in p.values)
        ]
        accumulated = frozenset(name for part in described for name in part.accumulated)
        after = next((p.available_after for p in (*described, *own) if p.available_after is not None), timedelta(0))
        row = spec.register_rows.get(source_id) or default_row(source_id, _cadence(tables), after)
        return FileSource(
            source_id,
            self._reader(tables, own),
            row,
            sites=sites,
            accumulated=accumulated,
            said=self._said.pop(source_id, None),
        )

    def feed(self, source_id: str) -> FileObservations:
        """One station network."""
        batches = [rows.batch for rows in self.observed[source_id]]
        return FileObservations(source_id, batches, said=self._said.pop(source_id, None))

    def _collector(self, part: ForecastTable | ObservationTable) -> Problems:
        """Where to say what is wrong with a table: with its first source, since rows are shared by all."""
        if isinstance(part, ObservationTable):
            return self._said.setdefault(part.source, Problems())
        return self._said.setdefault(next(iter(part.values[0].sources)), Problems())

    def _reader(self, tables: list[ForecastPoints], own: Sequence[FieldFiles]) -> PointReader:
        listed = [(part, self._files(part)) for part in own]
        ingested_at = self._ingested_at

        def read(sites: tuple[Site, ...], problems: Problems) -> Sequence[ForecastPoints]:
            points = list(tables)
            for part, files in listed:
                points += _read_fields(part, files, sites, ingested_at, problems)
            return points

        return read

    def _files(self, part: Input) -> list[tuple[Path, str]]:
        files: list[tuple[Path, str]] = []
        for name in part.files:
            if Path(name).is_absolute() or ".." in Path(name).parts:
                raise InvalidValueError(f"file {name!r} leaves the data folder", hint="name files inside it")
            found = sorted(self._folder.glob(name)) if _PATTERN & set(name) else [self._folder / name]
            found = [path for path in found if path.is_file()]
            if not found:
                raise UnreadableFileError(
                    f"there is no file {name} in {self._folder}", hint="name the folder of the data with --data"
                )
            files += [(path, part.format or _format_of(path)) for path in found]
        return files


def _read_fields(
    part: FieldFiles,
    files: Sequence[tuple[Path, str]],
    sites: tuple[Site, ...],
    ingested_at: datetime,
    problems: Problems,
) -> Sequence[ForecastPoints]:
    # Here, not above: the decoders take a second and 100 MB to load, and most commands read no fields.
    from skyproof.stages.sources.grib import GribReader  # noqa: PLC0415
    from skyproof.stages.sources.netcdf import read_netcdf  # noqa: PLC0415

    grib = GribReader(sites, interpolation=part.interpolation, wanted=part.variables)
    fields: list[FieldValues] = []
    for path, file_format in files:
        if file_format == "grib":
            fields += grib.read(path, problems)
        elif file_format == "netcdf":
            fields += read_netcdf(
                path, sites, interpolation=part.interpolation, wanted=part.variables, problems=problems
            )
        else:
            raise InvalidValueError(f"{path.name} is {file_format}, no field", hint="use kind: forecasts")
    after = part.available_after
    known_at = {
        field.init_time: ingested_at if after is None else min(field.init_time + after, ingested_at) for field in fields
    }
    if not fields:
        problems.note(f"{', '.join(path.name for path, _ in files[:5])}: no variable that we know")
    names = tuple(site.site_id for site in sites)
    return to_points(fields, names, wanted=part.variables, known_at=known_at, problems=problems)


def _check_variables(spec: IngestSpec) -> None:
    """Refuse unknown variables and units before anything is read."""

    def check(where: str, action: Callable[[], object]) -> None:
        try:
            action()
        except SkyproofError as error:
            raise type(error)(f"{where}: {error.message}", hint=error.hint) from error

    for index, part in enumerate(spec.inputs):
        if isinstance(part, FieldFiles):
            for variable in part.variables:
                check(f"inputs.{index}", lambda v=variable: find_variable(v))  # type: ignore[misc]
            continue
        for value in part.values:
            check(f"inputs.{index}", lambda v=value: conversion(v.unit, find_variable(v.variable).unit))  # type: ignore[misc]


def _cadence(parts: Sequence[ForecastPoints]) -> timedelta:
    """The usual distance of two cycles: the shortest seen, a day where there is but one."""
    inits = sorted({int(second) for part in parts for second in set(part.init_times.astype("int64").tolist())})
    gaps = [later - earlier for earlier, later in pairwise(inits)]
    return timedelta(seconds=min(gaps, default=86_400))


def _format_of(path: Path) -> str:
    file_format = _FORMATS.get(path.suffix.lower())
    if file_format is None:
        raise InvalidValueError(
            f"the format of {path.name} does not follow from its suffix",
            hint="say format: csv, parquet, netcdf or grib",
        )
    return file_format


def _spec_of_file(path: Path) -> IngestSpec:
    """The spec of one file of fields, given without one."""
    if _FORMATS.get(path.suffix.lower()) not in _FIELD_FORMATS:
        raise InvalidValueError(
            f"{path.name} does not say what its columns mean", hint="describe it in an ingest spec (YAML) and give that"
        )
    part = {"kind": "fields", "source": to_identifier(path.name.split(".")[0]), "files": [path.name]}
    return IngestSpec.model_validate({"inputs": [part]})
