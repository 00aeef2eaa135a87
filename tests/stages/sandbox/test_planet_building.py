"""Building a planet: the same seed gives the same bytes, whatever interrupts the work."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from skyproof.domain.errors import UnknownNameError
from skyproof.stages.sandbox.events import default_events, read_events
from skyproof.stages.sandbox.geography import choose_places
from skyproof.stages.sandbox.planet import build_planet
from skyproof.stages.sandbox.profiles import PROFILES, find_profile
from skyproof.stages.sandbox.providers import providers

CHILD = Path(__file__).with_name("planet_child.py")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class StoppedError(Exception):
    """Stands for whatever stops a build."""


def test_the_same_seed_gives_the_same_bytes_in_one_process_or_two(tiny, tiny_profile, tmp_path):
    again = build_planet(tmp_path, tiny_profile, seed=1, workers=2)
    assert contents(again.folder) == contents(tiny.folder)
    assert again.folder.name == tiny.folder.name


def test_another_seed_gives_another_planet_elsewhere(tiny, tiny_profile, tmp_path):
    other = build_planet(tmp_path, tiny_profile, seed=2)
    assert other.folder.name != tiny.folder.name
    theirs, ours = contents(other.folder), contents(tiny.folder)
    assert theirs.keys() == ours.keys()
    assert not [name for name in ours if name.endswith(".npz") and theirs[name] == ours[name]]
    assert set(other.places.longitude) != set(tiny.places.longitude)


def test_a_finished_planet_is_not_built_again(tiny, tiny_profile):
    before = {path.name: path.stat().st_ino for path in tiny.folder.glob("*.npz")}
    told: list[str] = []
    build_planet(tiny.folder.parent, tiny_profile, seed=1, progress=lambda what, *_: told.append(what))
    assert not told
    assert {path.name: path.stat().st_ino for path in tiny.folder.glob("*.npz")} == before


@pytest.mark.parametrize("stop_at", ["weather", "analyses", "forecasts"])
def test_an_interrupted_build_goes_on_and_ends_with_the_same_bytes(tiny, tiny_profile, tmp_path, stop_at):
    def stop(what: str, done: int, total: int) -> None:
        if stop_at in what and done == total // 2 + 1:
            raise StoppedError

    with pytest.raises(StoppedError):
        build_planet(tmp_path, tiny_profile, seed=1, progress=stop)
    (folder,) = tmp_path.iterdir()
    finished = {path.name: path.stat().st_ino for path in folder.iterdir()}
    assert finished.keys() < contents(tiny.folder).keys()
    again = build_planet(tmp_path, tiny_profile, seed=1)
    assert contents(again.folder) == contents(tiny.folder)
    assert {name: (folder / name).stat().st_ino for name in finished} == finished, "finished parts were made again"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes as only POSIX can")
def test_a_build_killed_at_any_step_leaves_whole_files_and_goes_on(tiny, tmp_path):
    """Kills before each kind of durable step, and by the kernel inside a write, until a build comes to its end."""
    wanted = contents(tiny.folder)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=environment,
    ) as child:  # fmt: skip
        assert child.stdin is not None
        assert child.stdout is not None
        ends = []
        # (before which durable step, beyond which file size): 0 is never. Two steps a file, so three finish one file.
        for step, size in ((1, 0), (0, 3000), (2, 0), (5, 0), (0, 15000), (7, 0), (3, 0), (4, 0), (0, 0)):
            child.stdin.write(f"{step} {size}\n")
            child.stdin.flush()
            ends.append(int(child.stdout.readline()))
            held = {path.name: path.read_bytes() for path in tmp_path.glob("*/*.npz")}
            assert held == {name: wanted[name] for name in held}, "a torn file has a name"
        child.stdin.close()
    assert ends[-1] == 0
    assert ends[:-1] == [-9, -25, -9, -9, -25, -9, -9, -9]
    (folder,) = tmp_path.iterdir()
    left = contents(folder)
    assert {name: data for name, data in left.items() if not name.endswith(".tmp")} == wanted


def test_the_demo_and_the_full_planet_are_large_enough_to_prove_something():
    for profile in (find_profile("demo"), find_profile("full")):
        assert profile.places >= 60
        assert profile.days >= 400
        assert profile.learn_days >= 330, "seasonal terms need a year"
        assert profile.last_lead_hours >= profile.horizon_hours + 24, "an old cycle must still reach the horizon"
        found = providers(profile)
        assert sorted(provider.members > 1 for provider in found) == [False, True, True]
        sites = choose_places(profile.places, 1).sites()
        assert len({site.site_id for site in sites}) == profile.places
        assert all("sandbox planet" in site.name for site in sites)


def test_everything_that_goes_wrong_on_the_demo_planet_hits_something():
    demo = find_profile("demo")
    targets = {provider.name for provider in providers(demo)}
    targets |= {site.site_id for site in choose_places(demo.places, 1).sites()}
    events = default_events()
    assert {event.target for event in events} <= targets
    assert all(demo.start <= event.start < event.end <= demo.end for event in events)
    backtested = {event.kind for event in events if event.start >= demo.learn_until}
    assert {"dark", "late", "frozen", "unit_slip", "members_missing", "stuck_sensor"} <= backtested


def test_the_answer_key_says_what_was_planted(tiny):
    assert read_events((tiny.folder / "answer-key.yaml").read_text()) == tiny.events == default_events()


def test_an_unknown_profile_is_refused_with_the_names_of_those_there_are():
    with pytest.raises(UnknownNameError, match="small, demo, full"):
        find_profile("huge")
    assert len({replace(profile, name="x") for profile in PROFILES}) == len(PROFILES)
