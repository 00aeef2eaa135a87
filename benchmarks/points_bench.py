"""How good a forecast between the sites is: places of the sandbox planet kept from the release, asked as points.

    python benchmarks/points_bench.py [--home FOLDER] [--every 4]

Every fourth place of the demo's planet is no site. A release is learned from the others; the runs of the last days, which the
planet's cover reaches, are asked at the places left out, at their height. Truth is the planet's own weather there. Beside it:
what the nearest site is forecast, what the best raw ensemble says between the nodes, the same places learned from like others.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.archive import Archive
from skyproof.cycle.clock import FixedClock
from skyproof.cycle.demo_cycle import ingest_planet
from skyproof.cycle.experts import QUICK_KINDS
from skyproof.cycle.forecast_cycle import forecast_cycle
from skyproof.cycle.learn_cycle import learn_cycle
from skyproof.cycle.settings import Settings
from skyproof.cycle.wiring import Product
from skyproof.domain.forecasts import Run
from skyproof.domain.progress import silent
from skyproof.domain.sites import Site
from skyproof.science.grids import nearest_stencil
from skyproof.science.scores import crps_from_quantiles
from skyproof.stages.forecast.blending import advance_blend
from skyproof.stages.forecast.elsewhere import forecast_elsewhere
from skyproof.stages.forecast.experts import expert_names
from skyproof.stages.sandbox.planet import Planet, build_planet
from skyproof.stages.sandbox.profiles import find_profile
from skyproof.stages.sandbox.simulate import COVER_DAYS
from skyproof.stages.sandbox.source import sandbox_sites

Floats = NDArray[Any]
PROFILE = find_profile("demo")
#: The release is learned before the days that the cover reaches.
LEARNED_AT = PROFILE.end - timedelta(days=COVER_DAYS)
WAYS = ("point", "nearest site", "raw alba between the nodes", "learned from")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, help="folder with the planet; a temporary one by default")
    parser.add_argument("--every", type=int, default=4, help="of so many places one is left out")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        planet = build_planet((arguments.home or Path(folder)) / "sandbox", PROFILE, workers=2)
        sites = sandbox_sites(planet)
        left_out = tuple(site for index, site in enumerate(sites) if index % arguments.every == 0)
        kept = tuple(site for site in sites if site not in left_out)
        without = _forecasts(Path(folder) / "without", planet, kept, left_out)
        with_record = _forecasts(Path(folder) / "with", planet, sites, left_out)
    crps = {way: [] for way in WAYS}
    for (run, between), (_, own) in zip(without, with_record, strict=True):
        truth = _truth(planet, run, left_out)
        for way, quantiles in {**between, "learned from": own["its own"]}.items():
            crps[way].append(crps_from_quantiles(quantiles, truth))
    print(f"mean CRPS at {len(left_out)} places, {len(without)} runs, leads to {PROFILE.horizon_hours} h")
    print("| variable |", " | ".join(WAYS), "|")
    for index, name in enumerate(Settings().variables):
        means = [float(np.nanmean(np.stack(crps[way])[:, index])) for way in WAYS]
        print(f"| {name} |", " | ".join(f"{mean:.3f}" for mean in means), "|")


def _forecasts(
    home: Path, planet: Planet, sites: Sequence[Site], asked: Sequence[Site]
) -> list[tuple[Run, dict[str, Floats]]]:
    """Runs of the last days, and in each what is said of the places asked, (variable, site, lead, level) by way."""
    settings = Settings(clock="simulated", horizon_hours=PROFILE.horizon_hours, experts=QUICK_KINDS)
    made = []
    with Archive.open(home) as archive:
        product = Product(home, settings, archive, FixedClock(PROFILE.end))
        ingest_planet(product, planet, until=PROFILE.end, progress=silent)
        for site in set(sandbox_sites(planet)) - set(sites):
            with archive.database.writing() as connection:
                archive.sites.retire(connection, site.site_id, PROFILE.start)
        learn_cycle(product, as_of=LEARNED_AT, since=PROFILE.start)
        for days in reversed(range(COVER_DAYS)):
            run = forecast_cycle(product, PROFILE.end - timedelta(days=days))
            reader = archive.runs.open(run)
            if set(asked) <= set(sites):
                own = np.stack([reader.site(site.site_id).quantiles for site in asked], axis=1)
                made.append((run, {"its own": own}))
                continue
            made.append((run, _between(product, run, sites, asked)))
    return made


def _between(product: Product, run: Run, sites: Sequence[Site], asked: Sequence[Site]) -> dict[str, Floats]:
    archive = product.archive
    release = archive.releases.find(run.release_id)
    content = archive.releases.read(release)
    points = [
        Site(f"at_{index}", "", site.latitude, site.longitude, site.elevation_m) for index, site in enumerate(asked)
    ]
    state = advance_blend(archive, release, product.wake(content), product.blend(), run.issue_time)
    inputs = archive.inputs.elsewhere(archive.inputs.behind(run, content.grid), points)
    made = forecast_elsewhere(content, product.wake, product.blend(), state, inputs)
    latitudes, longitudes = np.array([(site.latitude, site.longitude) for site in sites]).T
    nearest = nearest_stencil(latitudes, longitudes, points).points[:, 0]
    reader = archive.runs.open(run)
    return {
        "point": made.values.quantiles,
        "nearest site": np.stack([reader.site(sites[place].site_id).quantiles for place in nearest], axis=1),
        "raw alba between the nodes": made.experts[expert_names(content).index("raw:alba")],
    }


def _truth(planet: Planet, run: Run, asked: Sequence[Site]) -> Floats:
    """The planet's weather, (variable, site, lead)."""
    places = [sandbox_sites(planet).index(site) for site in asked]
    first = (run.init_time - PROFILE.start) // timedelta(hours=6)
    leads = np.arange(6, PROFILE.horizon_hours + 1, 6) // 6
    return planet.weather()[first + leads][:, :, places].transpose(1, 2, 0)


if __name__ == "__main__":
    main()
