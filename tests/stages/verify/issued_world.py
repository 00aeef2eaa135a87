"""A few issued runs and what happened: no learning, so that every pair can be counted by hand.

Two sites, three variables, six leads of 6 to 36 h; one run a day at 00 UTC from 1 March 2025. Hours count from then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np

from skyproof.archive.archive import Archive
from skyproof.archive.runs import RunDraft
from skyproof.domain.cycles import ObservationBatch
from skyproof.domain.forecasts import ForecastGrid, ForecastValues, Regime, Run
from skyproof.domain.quantiles import LEVELS
from skyproof.domain.scores import DayScores
from skyproof.domain.sites import Site
from skyproof.domain.times import to_datetime64

START = datetime(2025, 3, 1, tzinfo=UTC)
RELEASE = "rel_0123456789abcdef"
VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation")
UNITS = {"temperature_2m": "Cel", "wind_speed_10m": "m/s", "precipitation": "mm"}
LEADS = (6, 12, 18, 24, 30, 36)
EXPERTS = ("climatology", "raw:ens", "emos:ens", "equal_weight")
GRID = ForecastGrid((Site("a", "A", 46.0, 7.0, 400.0), Site("b", "B", 47.0, 8.0, 500.0)), VARIABLES, LEADS, 6)
#: One observation: site, variable, valid hour, hour at which it was recorded, value.
Row = tuple[str, str, float, float, float]


def at(hour: float) -> datetime:
    return START + timedelta(hours=hour)


def day(number: int) -> date:
    return (START + timedelta(days=number)).date()


def quantiles(seed: int, *shape: int) -> np.ndarray:
    """Sorted forecasts of temperature, wind and rain; rain is often dry at its lower end."""
    chance = np.random.default_rng(seed)
    centre = chance.normal(0, 2, (len(VARIABLES), *shape, 1))
    drawn = centre + np.sort(chance.normal(0, 2, (len(VARIABLES), *shape, len(LEVELS))), axis=-1)
    return np.stack([10 + drawn[0], np.maximum(8 + drawn[1], 0), np.maximum(drawn[2], 0)]).astype(np.float32)


def publish(
    archive: Archive,
    number: int,
    *,
    release_id: str = RELEASE,
    silent: Iterable[tuple[int, int, int]] = (),
    grid: ForecastGrid = GRID,
) -> Run:
    """The run of one day. ``silent``: expert, site and lead (positions) at which an expert had nothing to say."""
    cells = (len(grid.sites), len(grid.lead_hours))
    issued = at(24 * number)
    experts = np.stack([quantiles(100 * number + k + 1, *cells) for k in range(len(EXPERTS))])
    for expert, site, lead in silent:
        experts[expert, :, site, lead] = np.nan
    product = quantiles(100 * number, *cells)
    key = archive.experts.put(release_id, issued, EXPERTS, experts, grid)
    draft = RunDraft(
        release_id, issued, issued, issued, Regime("full", (), (), 1.0, 0.8, 100), (), grid,
        ForecastValues(product, product.mean(axis=-1)), np.zeros((len(VARIABLES), *cells), np.uint8), key, 1.0,
    )  # fmt: skip
    return archive.runs.publish(draft)


def observe(archive: Archive, rows: Sequence[Row], *, flag: str = "") -> None:
    site_ids, variables, valid, recorded, values = zip(*rows, strict=True)
    batch = ObservationBatch(
        "stations",
        np.array(site_ids),
        np.array(variables),
        np.array([to_datetime64(at(hour)) for hour in valid]),
        np.array([to_datetime64(at(hour)) for hour in recorded]),
        np.array(values, dtype=np.float64),
        UNITS,
    )
    archive.observations.append(batch, np.full(len(batch), flag))


def truth(day_number: int, *, delay_hours: float = 0.5, seed: int = 9) -> list[Row]:
    """One report of every cell of a day."""
    chance = np.random.default_rng((seed, day_number))
    return [
        (site, variable, 24 * day_number + step, 24 * day_number + step + delay_hours, value)
        for step in (0, 6, 12, 18)
        for site in GRID.site_ids
        for variable, value in zip(VARIABLES, observed_values(chance), strict=True)
    ]


def observed_values(chance: np.random.Generator) -> list[float]:
    drawn = chance.normal(0, 2, 3)
    return [round(10 + drawn[0], 1), round(max(8 + drawn[1], 0), 1), round(max(drawn[2], 0), 1)]


def kept(archive: Archive, as_of: datetime, release_id: str = RELEASE) -> dict[date, DayScores]:
    return {entry.valid_day: archive.scores.read(entry) for entry in archive.scores.days(release_id, as_of=as_of)}


def assert_same(found: dict[date, DayScores], expected: dict[date, DayScores]) -> None:
    """Equal to the bit."""
    assert found.keys() == expected.keys()
    for valid_day, scores in found.items():
        other = expected[valid_day]
        assert (scores.models, scores.site_ids, scores.lead_hours) == (other.models, other.site_ids, other.lead_hours)
        assert scores.known_until == other.known_until
        np.testing.assert_array_equal(scores.sums, other.sums)
        np.testing.assert_array_equal(scores.pit, other.pit)
