"""Every setting of the product, typed, with its default, unit and help. Unknown keys are refused.

Read from ``skyproof.yaml`` in the home, then from environment variables ``SKYPROOF_<NAME>``, which win.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from skyproof.archive.database import hide_password
from skyproof.domain.accounts import PLANS, Plan
from skyproof.domain.cover import Cover
from skyproof.domain.errors import InvalidValueError, UnreadableFileError

DEFAULT_HOME = Path("skyproof-home")
FILE_NAME = "skyproof.yaml"
_LARGEST_FILE_BYTES = 100_000
#: In hours; verification looks back for no longer one.
_LONGEST_LEAD = 384


class Settings(BaseModel):
    """Settings of one home."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: str = Field("", description="PostgreSQL URL of tables and ledger; empty: SQLite inside the home.")
    clock: Literal["system", "simulated"] = Field(
        "system", description="Whose present counts: the machine's or the sandbox's."
    )
    host: str = Field("127.0.0.1", description="Address the API listens on.")
    port: int = Field(8080, ge=0, le=65535, description="Port the API listens on; 0 takes any free one.")
    workers: int = Field(2, ge=1, le=64, description="Processes for heavy work such as building the sandbox planet.")
    step_hours: int = Field(6, ge=1, le=24, description="Hours between two leads of a run; also the interval of sums.")
    horizon_hours: int = Field(120, ge=1, le=_LONGEST_LEAD, description="Longest lead of a run, in hours.")
    leads_hours: tuple[int, ...] = Field(
        (), description="Leads of a run in hours, where they are not every step to the horizon."
    )
    variables: tuple[str, ...] = Field(
        ("temperature_2m", "wind_speed_10m", "precipitation", "pressure_msl"), description="Variables of a run."
    )
    issue_every_hours: int = Field(24, ge=1, le=24, description="Hours between two nominal issue times.")
    issue_hour_utc: int = Field(12, ge=0, le=23, description="Hour of the first nominal issue time of a day, UTC.")
    max_cycle_age_hours: int = Field(
        60, ge=1, le=240, description="A source cycle older than this is no longer used, in hours."
    )
    learn_days: int = Field(730, ge=20, description="Days of history a release learns from, at most.")
    tail_days: int = Field(60, ge=5, description="Last days of the history kept out of the first fit, to calibrate on.")
    serve_days: int = Field(
        60, ge=0, description="Days a release serves until the next is learned; it is at its best half-way."
    )
    experts: tuple[str, ...] = Field(
        (),
        description="Kinds of experts a release is made of: emos, isotonic, trees, or yours (skyproof.experts). Default: all, "
        "but emos alone where the history is so large that the others would take hours.",
    )
    sandbox_profile: str = Field("demo", description="Size of the sandbox planet: small, demo or full.")
    sandbox_seed: int = Field(1, ge=0, description="Seed of the sandbox planet.")
    nearest_site_km: float = Field(
        50.0,
        gt=0,
        description="Within so many km of a site that site answers; farther away the point itself, where there is a cover.",
    )
    cover: Cover | None = Field(
        None,
        description="Net of points at which fields are taken in beside the sites, so that any place between them can be asked: "
        "south, west, north, east and spacing_deg in degrees. A sandbox has one of its own.",
    )
    late_after_minutes: int = Field(
        60,
        ge=1,
        le=1440,
        description="Minutes after its nominal issue time from which a run that is not there is late.",
    )
    webhook_networks: tuple[str, ...] = Field(
        (), description="Private networks (CIDR) that webhooks may reach all the same, there also without TLS."
    )
    webhook_key_file: str = Field(
        "", description="File with the key that webhook secrets are derived from; empty: webhook-key inside the home."
    )
    keep_notices_days: int = Field(
        90, ge=15, description="Days for which customers can read what they were told, and how its pushes went."
    )
    keys_outlive_database_minutes: int = Field(
        60,
        ge=0,
        le=1440,
        description="Minutes for which a key that opened a moment ago goes on opening while the database is away.",
    )
    queued_receipts_mb: int = Field(
        1024,
        ge=1,
        description="Megabytes of receipts that may wait in the home while the database is away; beyond it, 503.",
    )
    plans: dict[str, Plan] = Field(
        default_factory=dict,
        description="Limits of plans beside or instead of trial, standard and enterprise, by name.",
    )

    @model_validator(mode="after")
    def _check_leads(self) -> Settings:
        leads = self.leads_hours
        # Forecasts meet observations on an axis of whole steps.
        if list(leads) != sorted({lead for lead in leads if 0 < lead <= _LONGEST_LEAD and lead % self.step_hours == 0}):
            raise ValueError(
                f"leads_hours {list(leads)} are not increasing multiples of step_hours {self.step_hours} "
                f"up to {_LONGEST_LEAD}"
            )
        return self

    @property
    def lead_hours(self) -> tuple[int, ...]:
        """Leads of a run, in hours."""
        return self.leads_hours or tuple(range(self.step_hours, self.horizon_hours + 1, self.step_hours))

    @property
    def all_plans(self) -> dict[str, Plan]:
        """The limits of every plan, by name."""
        return {**PLANS, **self.plans}

    def shown(self) -> dict[str, Any]:
        """All settings as plain data that may be shown: without the database's password."""
        shown = self.model_dump(mode="json")
        return shown | {"database_url": hide_password(self.database_url) if self.database_url else ""}


def load_settings(home: Path, *, environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Read the settings of a home; ``overrides`` (from the command line) win over environment and file.

    Raises:
        UnreadableFileError: ``skyproof.yaml`` is no mapping.
        InvalidValueError: an unknown key or an impossible value; every one is named.
    """
    values: dict[str, Any] = read_mapping(home / FILE_NAME) if (home / FILE_NAME).exists() else {}
    for name, text in (os.environ if environment is None else environment).items():
        key = name.removeprefix("SKYPROOF_").lower()
        if name.startswith("SKYPROOF_") and key in Settings.model_fields:
            values[key] = yaml.safe_load(text)
    values.update({key: value for key, value in overrides.items() if value is not None})
    return parse_settings(values)


def parse_settings(values: Mapping[str, Any]) -> Settings:
    """Check settings given as a mapping.

    Raises:
        InvalidValueError: an unknown key or an impossible value; every one is named.
    """
    try:
        return Settings(**values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors())
        raise InvalidValueError(
            f"settings are wrong: {problems}", hint=f"known settings: {', '.join(Settings.model_fields)}"
        ) from error


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a small YAML file that must hold a mapping.

    Raises:
        UnreadableFileError: too large, no YAML, or no mapping.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE_BYTES:
            raise UnreadableFileError(f"{path.name} is larger than {_LARGEST_FILE_BYTES} bytes")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnreadableFileError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise UnreadableFileError(f"{path.name} holds {type(content).__name__}, wanted a mapping of names to values")
    return content


def save_settings(home: Path, settings: Settings) -> None:
    """Write what differs from the defaults to ``skyproof.yaml``, whole or not at all."""
    changed = settings.model_dump(mode="json", exclude_defaults=True)
    text = "# Settings of this home; `skyproof doctor` lists all of them.\n" + yaml.safe_dump(changed, sort_keys=True)
    temporary = home / f".{FILE_NAME}.tmp"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(home / FILE_NAME)
