"""A small world with a known truth: enough to learn, forecast and verify in a second or two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from skyproof.archive.archive import Archive
from skyproof.archive.release_content import ReleaseContent
from skyproof.archive.runs import RunDraft
from skyproof.domain.cycles import CycleBatch, ObservationBatch, SourceSpec
from skyproof.domain.forecasts import ForecastGrid, Run
from skyproof.domain.reasons import REASONS
from skyproof.domain.sites import Site
from skyproof.domain.times import hours, to_datetime64
from skyproof.science.online_blend import BernsteinBlend
from skyproof.stages.forecast.assemble import assemble_forecast
from skyproof.stages.forecast.blending import advance_blend
from skyproof.stages.forecast.climatology import ClimatologyModel
from skyproof.stages.forecast.experts import Panel, ask_experts, wake_experts
from skyproof.stages.forecast.joint_emos_expert import emos_experts
from skyproof.stages.forecast.persistence import PersistenceModel
from skyproof.stages.learn.learn_release import learn_release
from skyproof.stages.publish.publish_run import publish_run

START = datetime(2025, 1, 1, tzinfo=UTC)
SOURCES = ("ens", "det")
VARIABLES = ("temperature_2m", "wind_speed_10m", "precipitation")
UNITS = {"temperature_2m": "Cel", "wind_speed_10m": "m/s", "precipitation": "mm"}
LEADS = tuple(range(0, 73, 6))
GRID_LEADS = (6, 12, 24, 48)


def sites(count: int) -> tuple[Site, ...]:
    return tuple(Site(f"s{k}", f"Site {k}", 40.0 + k, 5.0 + k, 100.0 * k) for k in range(count))


def grid(site_count: int = 3) -> ForecastGrid:
    return ForecastGrid(sites(site_count), VARIABLES, GRID_LEADS, 6)


def build_world(
    archive: Archive,
    *,
    days: int = 50,
    site_count: int = 3,
    seed: int = 1,
    latest: datetime | None = None,
    bias: float = 1.0,
) -> None:
    """Fill an archive; ``latest`` leaves out everything known later, as if the world had been cut there.

    ``bias`` is what every source adds to everything; with 1 mm it never rains nothing.
    """
    chance = np.random.default_rng(seed)
    steps = (days + 4) * 4
    weather = np.zeros((steps, site_count))
    for k in range(1, steps):
        weather[k] = 0.9 * weather[k - 1] + 0.44 * chance.standard_normal(site_count)
    truth = np.stack([10 + 5 * weather, np.maximum(0, 5 + 2 * weather), np.maximum(0, 2 * weather - 1)])
    archive.sites.add(sites(site_count))
    for source_id, members, noise, latency in (("ens", 5, 0.5, 5), ("det", 1, 0.7, 3)):
        archive.sources.register(REGISTER[source_id])
        for day in range(days):
            init = START + timedelta(days=day)
            values = np.stack([truth[:, day * 4 + lead // 6] for lead in LEADS], axis=1)
            error = noise * (0.5 + np.array(LEADS) / 48)[None, :, None, None]
            values = values[..., None] + bias + error * chance.standard_normal((*values.shape, members))
            values[1:] = np.maximum(values[1:], 0)
            available = init + hours(latency)
            if latest is None or available <= latest:
                batch = CycleBatch(
                    source_id,
                    (init,),
                    (available,),
                    VARIABLES,
                    UNITS,
                    LEADS,
                    grid(site_count).site_ids,
                    values[None].astype(np.float32),
                )
                archive.cycles.append(batch, [("ok", ())], recorded_at=available)
    _append_observations(archive, truth[:, : days * 4], chance, latest)


def _append_observations(
    archive: Archive, truth: np.ndarray, chance: np.random.Generator, latest: datetime | None
) -> None:
    variables, times, places = np.meshgrid(
        np.arange(3), np.arange(truth.shape[1]), np.arange(truth.shape[2]), indexing="ij"
    )
    valid = to_datetime64(START) + times.ravel() * np.timedelta64(6 * 3600, "s")
    delay = chance.integers(10, 60, valid.size) * np.timedelta64(60, "s")
    delay[chance.random(valid.size) < 0.05] += np.timedelta64(30 * 3600, "s")
    recorded = valid + delay
    keep = (chance.random(valid.size) > 0.05) & (True if latest is None else recorded <= to_datetime64(latest))
    batch = ObservationBatch(
        "stations",
        np.array([f"s{k}" for k in range(truth.shape[2])])[places.ravel()][keep],
        np.array(VARIABLES)[variables.ravel()][keep],
        valid[keep],
        recorded[keep],
        truth[variables.ravel(), times.ravel(), places.ravel()][keep].round(1),
        UNITS,
    )
    archive.observations.append(batch, np.full(len(batch), ""))


def _spec(source_id: str, members: int, latency: int) -> SourceSpec:
    return SourceSpec(
        source_id, source_id, source_id, "CC0-1.0", "toy", True, True, timedelta(hours=24), hours(latency), hours(latency),
        members, LEADS, UNITS,
    )  # fmt: skip


#: What the sources promise, by name.
REGISTER = {"ens": _spec("ens", 5, 5), "det": _spec("det", 1, 3)}


def usual_models():
    """Fresh models that need no source, ours."""
    return (ClimatologyModel(), PersistenceModel())


def wake(content: ReleaseContent) -> Panel:
    """The experts of a release."""
    return wake_experts(content, usual_models(), emos_experts)


def learn(archive: Archive, *, as_of: datetime, site_count: int = 3, tail_days: int = 12):
    return learn_release(
        archive, grid=grid(site_count), usual_models=usual_models, make_experts=emos_experts,
        blend=BernsteinBlend(), source_ids=SOURCES, as_of=as_of, since=START, tail_days=tail_days,
    )  # fmt: skip


def forecast(archive: Archive, issue_time: datetime) -> Run:
    """The steps of the forecast cycle, without its wiring."""
    release = archive.releases.newest(as_of=issue_time)
    content = archive.releases.read(release)
    panel, blend = wake(content), BernsteinBlend()
    inputs = archive.inputs.gather(content.grid, content.source_ids, issue_time=issue_time)
    names, experts = ask_experts(panel, inputs)
    key = archive.experts.put(release.release_id, issue_time, names, experts, content.grid)
    state = advance_blend(archive, release, panel, blend, issue_time)
    made = assemble_forecast(content, blend, state, experts, inputs, REGISTER)
    draft = RunDraft(
        release.release_id, issue_time, inputs.init_time, issue_time, made.regime, made.inputs, content.grid, made.values,
        made.reasons, key, 1.0, made.warnings, REASONS,
    )  # fmt: skip
    return publish_run(archive, draft)
