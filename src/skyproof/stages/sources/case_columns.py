"""Which columns of which files a spec wants, and for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from skyproof.domain.errors import ContractError, InvalidValueError
from skyproof.stages.sources.case_spec import CaseSpec
from skyproof.stages.sources.case_table import Reading, column_names, expand_columns, find_files, near_names
from skyproof.stages.sources.case_times import time_columns


@dataclass(frozen=True, slots=True)
class Plan:
    """What is read: files, columns with the key that names each, and what stands for what.

    ``members``: columns of each source, of a wide table. ``site_is_column`` is false where the spec gives a constant.
    """

    paths: tuple[Path, ...]
    columns: Mapping[str, str]
    members: Mapping[str, tuple[str, ...]]
    features: tuple[str, ...]
    target: str | None
    site_is_column: bool
    observation_paths: tuple[Path, ...]
    observation_columns: Mapping[str, str]
    reading: Reading
    warnings: tuple[str, ...]


def plan_columns(spec: CaseSpec, folders: Sequence[Path]) -> Plan:
    """Find files and columns.

    Raises:
        InvalidValueError: a file that is not there; the target named as a source or feature.
        ContractError: a pattern that fits no column.
    """
    reading = Reading(spec.missing, spec.delimiter, spec.decimal)
    paths = find_files(spec.files, folders)
    names, _ = column_names(paths[0], reading)
    target = None if spec.observations else spec.target.column
    others = [name for name in names if name != target]
    members = {} if spec.pivot else {name: expand_columns(s.columns, others) for name, s in spec.sources.items()}
    features = expand_columns(spec.features, others)
    _refuse_target(members, features, target)
    site_is_column, warnings = _site_is_column(spec, names)
    columns = time_columns(spec.time, "time")
    if site_is_column:
        columns[str(spec.site.id)] = "site.id"
    for key in ("latitude", "longitude", "elevation"):
        if isinstance(column := getattr(spec.site, key), str):
            columns[column] = f"site.{key}"
    columns |= dict.fromkeys(spec.where, "where")
    if target is not None:
        columns.setdefault(target, "target.column")
    for source, held in members.items():
        columns |= {column: columns.get(column, f"sources.{source}") for column in held}
    columns |= {column: columns.get(column, "features") for column in features}
    if spec.pivot is not None:
        for key in ("value", "source", "member"):
            if (column := getattr(spec.pivot, key)) is not None:
                columns.setdefault(column, f"pivot.{key}")
    observed_in = find_files(spec.observations.files, folders) if spec.observations else ()
    return Plan(
        paths,
        columns,
        members,
        features,
        target,
        site_is_column,
        observed_in,
        _observation_columns(spec, site_is_column),
        reading,
        warnings,
    )


def _refuse_target(members: Mapping[str, tuple[str, ...]], features: tuple[str, ...], target: str | None) -> None:
    for source, held in members.items():
        if target in held:
            raise InvalidValueError(
                f"sources.{source} names {target!r}, the observation itself", hint="name columns of forecasts"
            )
    if target in features:
        raise InvalidValueError(f"features names {target!r}, the observation itself", hint="take it out")
    if (repeated := [name for name in features if any(name in held for held in members.values())]) and members:
        raise InvalidValueError(
            f"features names {repeated[0]!r}, which is a source already", hint="take it out of features"
        )


def _site_is_column(spec: CaseSpec, names: Sequence[str]) -> tuple[bool, tuple[str, ...]]:
    """Whether ``site.id`` names a column; a word that no column resembles is the one place of all rows."""
    named = spec.site.id
    if named is None:
        return False, ()
    if named in names:
        return True, ()
    if near := near_names(named, names):
        raise ContractError(
            f"there is no column {named!r}, which site.id names",
            hint=f"did you mean {' or '.join(map(repr, near))}? For one place of all rows write site: {{constant: {named}}}",
        )
    return False, (f"no column is named {named!r}: it is taken as the one site of all rows",)


def _observation_columns(spec: CaseSpec, site_is_column: bool) -> dict[str, str]:
    observed = spec.observations
    if observed is None:
        return {}
    columns = time_columns(observed, "observations")
    columns[str(observed.column or spec.target.column)] = "observations.column"
    if site_is_column or observed.site is not None:
        columns[str(observed.site or spec.site.id)] = "observations.site"
    return columns | dict.fromkeys(observed.where, "observations.where")
