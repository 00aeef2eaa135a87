"""What every command shares: the home it works on, how it speaks, how it shows progress."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from skyproof.cycle.wiring import Product, open_product


@dataclass(frozen=True, slots=True)
class Session:
    """One invocation: which home, and whether a machine reads the answer."""

    home: Path
    json: bool
    quiet: bool = False

    @property
    def console(self) -> Console:
        """Standard output for people."""
        return Console(soft_wrap=False)

    @contextmanager
    def product(self, **overrides: Any) -> Iterator[Product]:
        """The product of this home, closed afterwards."""
        with open_product(self.home, **overrides) as product:
            yield product

    def answer(self, data: Any, *shown: RenderableType) -> None:
        """Say the result: ``data`` as JSON for machines, ``shown`` for people."""
        if self.json:
            sys.stdout.write(to_json(data) + "\n")
        else:
            for item in shown:
                # Lines people copy must not be broken.
                self.console.print(item, soft_wrap=isinstance(item, str), highlight=False)

    def announce(self, address: str) -> None:
        """Say where something is served."""
        Console(stderr=True).print(f"serving on {address}/ (Ctrl-C ends)", highlight=False)

    @contextmanager
    def progress(self) -> Iterator[BarProgress]:
        """Bars on standard error: one per kind of work; none for machines."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        bars = BarProgress(
            RichProgress(*columns, console=Console(stderr=True), disable=self.json or self.quiet, transient=False)
        )
        try:
            yield bars
        finally:
            bars.end()


class BarProgress:
    """A :class:`skyproof.domain.progress.Progress` drawn as bars."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        """Move the bar of ``what``."""
        if not self._tasks:  # not earlier: a command that fails at once shall say nothing but why
            self._bars.start()
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)

    def end(self) -> None:
        """Draw no more."""
        if self._tasks:
            self._bars.stop()


def to_json(data: Any) -> str:
    """JSON text of records, instants, arrays and paths; missing numbers become null."""
    return orjson.dumps(data, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY).decode()


def make_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A plain table: numbers to the right, instants in UTC to the minute, the first column (what is named) never broken."""
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=index == 0)
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def count(number: int, what: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:g}" if isinstance(value, float) else escape(str(value))


def make_list(items: Mapping[str, object]) -> Table:
    """Names and values, one a line."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in items.items():
        table.add_row(f"[bold]{escape(name)}[/bold]", escape(str(value)))
    return table
