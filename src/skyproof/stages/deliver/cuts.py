"""Parts of a block: some of its columns, or its values at one instant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skyproof.stages.deliver.answers import Block
from skyproof.stages.deliver.columns import Columns, Heads

#: An instant that no step of the run stands for.
OUTSIDE = "outside_run"


def choose_columns(block: Block, names: Sequence[str]) -> Block:
    """The columns of those names, in that order; a gap keeps its reason if its variable stays."""
    heads = block.heads
    places = [heads.names.index(name) for name in names if name in heads.names]
    chosen = Heads(
        tuple(heads.columns[place] for place in places),
        tuple(heads.names[place] for place in places),
        tuple(heads.symbols[place] for place in places),
        tuple(heads.cell_methods[place] for place in places),
    )
    kept = {column.variable.name for column in chosen.columns}
    columns = block.columns
    return Block(
        block.kind,
        chosen,
        block.labels,
        block.seconds,
        block.ends,
        Columns(
            columns.values[places],
            columns.canonical[places],
            {name: steps for name, steps in columns.missing.items() if name in kept},
        ),
    )


def value_at(block: Block, second: int, step_hours: int) -> Block:
    """The one step that stands for an instant, column by column.

    A value that holds at its time stands for half a step to either side; one of the interval before it, for that interval.
    """
    seconds, step = block.seconds, step_hours * 3600
    nearest = int(np.argmin(np.abs(seconds - second)))
    closing = int(np.searchsorted(seconds, second))
    heads, columns = block.heads, block.columns
    values = np.full((len(heads.names), 1), np.nan)
    canonical = np.full((len(heads.names), 1), np.nan, dtype=np.float32)
    missing: dict[str, dict[str, str]] = {}
    for row, column in enumerate(heads.columns):
        place = nearest if column.cell_method == "instant" else closing
        reach = step / 2 if column.cell_method == "instant" else step
        if place < len(seconds) and abs(int(seconds[place]) - second) <= reach:
            values[row], canonical[row] = columns.values[row, place], columns.canonical[row, place]
            reason = columns.missing.get(column.variable.name, {}).get(str(place))
        else:
            reason = OUTSIDE
        if reason is not None:
            missing[column.variable.name] = {"0": reason}
    there = np.array([second], dtype=np.int64)
    return Block(block.kind, heads, (second,), there, None, Columns(values, canonical, missing))
