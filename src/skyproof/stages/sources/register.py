"""The register of sources as a file: what each promises, under which terms, and who stands behind it.

``sources.yaml`` holds one mapping ``sources`` from identifier to row; the same rows may stand under ``register`` of an
ingest spec, where members, leads and units may be left out because the files show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from skyproof.domain.cycles import SourceSpec
from skyproof.domain.errors import InvalidValueError, UnreadableFileError
from skyproof.domain.sites import check_identifier
from skyproof.domain.units import conversion
from skyproof.domain.variables import find_variable

_LARGEST_FILE_BYTES = 1_000_000
Model = TypeVar("Model", bound=BaseModel)
PositiveDuration = Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(days=60))]


class RegisterRow(BaseModel):
    """One source of the register."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = Field(description="What people call it.")
    upstream_group: str = Field(description="Sources of one group fail together, for example all of one centre.")
    licence: str = Field(description="Identifier of its licence.")
    attribution: str = Field(description="The sentence its licence asks for.")
    commercial_use: bool = Field(False, description="Whether its terms allow commercial use.")
    redistribution: bool = Field(False, description="Whether its values may be passed on.")
    cadence: timedelta = Field(timedelta(hours=24), gt=timedelta(0), description="From one cycle to the next.")
    latency_p50: PositiveDuration = Field(timedelta(0), description="From init time to availability, typically.")
    latency_p95: PositiveDuration | None = Field(None, description="The same on a bad day; by default the typical one.")
    members: int | None = Field(None, ge=1, le=10_000, description="Members of a cycle; by default those of the file.")
    lead_hours: tuple[int, ...] | None = Field(None, description="Leads promised, hours; by default those of the file.")
    units: dict[str, str] | None = Field(None, description="Unit of each variable; by default those of the file.")
    url: str = Field("", description="Where to read more.")

    def to_spec(
        self,
        source_id: str,
        *,
        members: int = 0,
        lead_hours: tuple[int, ...] = (),
        units: Mapping[str, str] | None = None,
    ) -> SourceSpec:
        """The domain's record; what the row leaves out is taken from the arguments."""
        return SourceSpec(
            source_id=source_id,
            title=self.title,
            upstream_group=self.upstream_group,
            licence=self.licence,
            attribution=self.attribution,
            commercial_use=self.commercial_use,
            redistribution=self.redistribution,
            cadence=self.cadence,
            latency_p50=self.latency_p50,
            latency_p95=self.latency_p50 if self.latency_p95 is None else self.latency_p95,
            members=members if self.members is None else self.members,
            lead_hours=lead_hours if self.lead_hours is None else self.lead_hours,
            units=dict(units or {}) if self.units is None else self.units,
            url=self.url,
        )


class _Register(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: dict[str, RegisterRow] = Field(min_length=1)


def load_register(path: Path) -> tuple[SourceSpec, ...]:
    """Read a register file.

    Raises:
        UnreadableFileError: no file, no YAML, or no mapping.
        InvalidValueError: an unknown key, a missing one, or an impossible value; every one is named.
        UnknownNameError: a variable or unit that does not exist.
    """
    rows = check_rows(read_model(_Register, read_yaml(path), path.name).sources)
    for source_id, row in rows.items():
        absent = [name for name in ("members", "lead_hours", "units") if getattr(row, name) is None]
        if absent:
            raise InvalidValueError(f"source {source_id} of {path.name} does not say {', '.join(absent)}")
    return tuple(row.to_spec(source_id) for source_id, row in rows.items())


def check_rows(rows: Mapping[str, RegisterRow]) -> Mapping[str, RegisterRow]:
    """Return ``rows`` if identifiers, variables, units and leads make sense.

    Raises:
        InvalidValueError: an identifier or a lead that cannot be.
        UnknownNameError: a variable or unit that does not exist, or that do not belong together.
    """
    for source_id, row in rows.items():
        check_identifier(source_id, "source")
        for variable, unit in (row.units or {}).items():
            conversion(unit, find_variable(variable).unit)
        leads = row.lead_hours
        if leads is not None and (not leads or list(leads) != sorted(set(leads)) or leads[0] < 0):
            raise InvalidValueError(
                f"lead_hours of source {source_id} are {list(leads)}", hint="give increasing hours from 0 upwards"
            )
    return rows


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that must hold a mapping.

    Raises:
        UnreadableFileError: not there, too large, no YAML, or no mapping.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise UnreadableFileError(f"{path.name} is larger than {_LARGEST_FILE_BYTES} bytes, too long for settings")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UnreadableFileError(f"{path.name} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableFileError(f"{path.name} holds {type(content).__name__}, wanted a mapping of names to values")
    return content


def read_model(model: type[Model], content: Mapping[str, Any], name: str) -> Model:
    """Check a mapping against a pydantic model.

    Raises:
        InvalidValueError: an unknown key, a missing one, or an impossible value; every one is named.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()[:20])
        raise InvalidValueError(f"{name} is wrong: {problems}") from error
