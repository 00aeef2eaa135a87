"""Examining a home: settings, store, objects, leftovers, clock; and mending what can be mended without a loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from skyproof.archive.health import Finding, check_archive, drop_damaged, newest_record, remove_orphans
from skyproof.archive.receipt_journal import FOLDER
from skyproof.cycle.clock import SimulatedClock
from skyproof.cycle.settings import FILE_NAME, Settings, load_settings
from skyproof.cycle.wiring import Product, open_product
from skyproof.domain.errors import InputError, SkyproofError
from skyproof.domain.times import format_instant

#: Clocks of machines that are kept in time differ by less.
_CLOCK_TOLERANCE = timedelta(minutes=1)
_MENDABLE = frozenset({"queued_receipts", "leftover_file", "orphan_object", "missing_object", "damaged_object"})


@dataclass(frozen=True, slots=True)
class Examination:
    """What is wrong with a home, what was wrong and is mended, and its settings (None where they cannot be read)."""

    findings: tuple[Finding, ...]
    mended: tuple[Finding, ...]
    settings: Settings | None


def examine_home(home: Path, *, mend: bool = False) -> Examination:
    """Look at everything in a home.

    Args:
        home: its folder.
        mend: remove what interrupted work left over and drop damaged objects that are made again when needed. Only while
            nothing else works on the home: what a living writer has begun looks like a leftover.
    """
    if not home.is_dir():
        finding = Finding(
            "missing_home", "error", f"{home} is no folder", "run skyproof demo, or name the home with --home"
        )
        return Examination((finding,), (), None)
    try:
        settings = load_settings(home)
    except InputError as error:
        remedy = f"correct {FILE_NAME} or the environment variable; {error.hint}"
        return Examination((Finding("bad_settings", "error", error.message, remedy),), (), None)
    before = tuple(_look(home))
    if not mend:
        return Examination(before, (), settings)
    _mend(home)
    after = tuple(_look(home))
    return Examination(after, tuple(f for f in before if f.kind in _MENDABLE and f not in after), settings)


def _look(home: Path) -> Iterator[Finding]:
    try:
        with open_product(home) as product:
            yield from check_archive(product.archive)
            yield from _check_clock(product)
    except SkyproofError as error:
        yield Finding(error.kind, "error", error.message, error.hint or "see the message")
    for path in _leftovers(home):
        message = f"{path.relative_to(home)} was left by a writer that died"
        yield Finding("leftover_file", "warning", message, "skyproof doctor --mend removes it")


def _mend(home: Path) -> None:
    for path in _leftovers(home):
        path.unlink(missing_ok=True)
    try:
        with open_product(home) as product:
            product.archive.deliveries.bring_in()
            product.archive.sweep()
            remove_orphans(product.archive)
            drop_damaged(product.archive)
    except SkyproofError:
        # What cannot be opened cannot be mended from here; looking again names it.
        return


def _leftovers(home: Path) -> list[Path]:
    """Files beside the archive that were being written: all of ours get their name only when they are whole."""
    return sorted([*home.glob("*.tmp"), *home.glob("sandbox/*/*.tmp"), *home.glob(f"{FOLDER}/*.tmp")])


def _check_clock(product: Product) -> Iterator[Finding]:
    now, newest = product.clock.now(), newest_record(product.archive)
    remedy = "set the machine's clock right"
    if newest is not None and newest > now + _CLOCK_TOLERANCE:
        message = (
            f"it is {format_instant(now)}, but something was recorded at {format_instant(newest)}: not seen until then"
        )
        yield Finding("clock_behind", "warning", message, remedy)
    if isinstance(product.clock, SimulatedClock) and (still := product.clock.stands_still_for()) > _CLOCK_TOLERANCE:
        message = f"the machine's clock jumped back: the simulated present stands still for {still}"
        yield Finding("clock_behind", "warning", message, remedy)
