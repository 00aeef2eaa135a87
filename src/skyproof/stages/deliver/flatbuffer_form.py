"""An answer in Open-Meteo's flatbuffers schema, as its own clients read it: a size-prefixed message for each place.

The schema has no null (a gap is NaN), no reasons and no room for the origin: the ``ETag`` names the forecast, and
``GET /v1/forecasts/{id}`` with another form tells the rest. Its axes are even: steps that a run does not have are NaN. Days
are 24 hours apart whatever the clocks do, so that time plus offset is always the date.
"""

from __future__ import annotations

from collections.abc import Callable

import flatbuffers
import numpy as np
from numpy.typing import NDArray

from skyproof.stages.deliver.answers import Block, Content, PlaceAnswer
from skyproof.stages.deliver.columns import Column
from skyproof.stages.deliver.flatbuffer_words import (
    AGGREGATION,
    AGGREGATION_OF_LEVEL,
    UNIT,
    VARIABLE,
    probability_word,
)

MEDIA_TYPE = "application/x-flatbuffers"
_DAY = 86_400


def render_flatbuffers(content: Content) -> bytes:
    """The body: messages one after the other, each after its length as four bytes, the least significant first."""
    return b"".join(_message(content, answer, number) for number, answer in enumerate(content.places))


def _message(content: Content, answer: PlaceAnswer, number: int) -> bytes:
    builder = flatbuffers.Builder(4096)
    found, axis = answer.found, answer.axis
    blocks = {block.kind: _block(builder, block, axis.utc_offset_seconds) for block in answer.blocks}
    zone, abbreviation = builder.CreateString(axis.zone), builder.CreateString(axis.abbreviation)
    builder.StartObject(14)
    builder.PrependFloat32Slot(0, found.latitude, 0.0)
    builder.PrependFloat32Slot(1, found.longitude, 0.0)
    builder.PrependFloat32Slot(2, found.site.elevation_m, 0.0)
    builder.PrependFloat32Slot(3, content.view.run.generation_ms, 0.0)
    builder.PrependInt64Slot(4, number, 0)
    # Slot 5, the model, stays undefined: ours is none of those it has numbers for.
    builder.PrependInt32Slot(6, axis.utc_offset_seconds, 0)
    builder.PrependUOffsetTRelativeSlot(7, zone, 0)
    builder.PrependUOffsetTRelativeSlot(8, abbreviation, 0)
    for slot, kind in ((10, "daily"), (11, "hourly")):
        if kind in blocks:
            builder.PrependUOffsetTRelativeSlot(slot, blocks[kind], 0)
    builder.FinishSizePrefixed(builder.EndObject())
    return bytes(builder.Output())


def _block(builder: flatbuffers.Builder, block: Block, offset_seconds: int) -> int:
    start, interval, places, count = even_axis(block, offset_seconds)
    offsets = [
        _variable(builder, column, spread_out(values, places, count))
        for column, values in zip(block.heads.columns, block.columns.values, strict=True)
    ]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    variables = builder.EndVector()
    builder.StartObject(4)
    builder.PrependInt64Slot(0, start, 0)
    builder.PrependInt64Slot(1, start + interval * count, 0)
    builder.PrependInt32Slot(2, interval, 0)
    builder.PrependUOffsetTRelativeSlot(3, variables, 0)
    return int(builder.EndObject())


def even_axis(block: Block, offset_seconds: int) -> tuple[int, int, NDArray[np.int64], int]:
    """First time, interval and length of the axis, and where on it the block's values stand."""
    seconds = block.seconds
    if block.ends is not None:
        # The day's noon lies in the day with any offset that its zone has.
        date = (int(seconds[0]) + _DAY // 2 + offset_seconds) // _DAY
        return date * _DAY - offset_seconds, _DAY, np.arange(len(seconds)), len(seconds)
    gaps = np.diff(seconds)
    interval = int(np.gcd.reduce(gaps)) if len(gaps) else 3600
    places = (seconds - seconds[0]) // interval
    return int(seconds[0]), interval, places, int(places[-1]) + 1


def spread_out(values: NDArray[np.float64], places: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """Values at ``places`` of an axis of ``count`` steps, NaN elsewhere."""
    spread = np.full(count, np.nan, dtype=np.float32)
    spread[places] = values
    return spread


def _variable(builder: flatbuffers.Builder, column: Column, values: NDArray[np.float32]) -> int:
    vector = builder.CreateNumpyVector(values)
    aggregation = AGGREGATION[column.aggregation] if column.level is None else AGGREGATION_OF_LEVEL[column.level]
    probability = 0 if column.threshold is None else probability_word(column.threshold) or 0
    byte: Callable[[int, int, int], None] = builder.PrependUint8Slot
    builder.StartObject(13)
    byte(0, VARIABLE[column.variable.name], 0)
    byte(1, UNIT[column.unit.code], 0)
    builder.PrependUOffsetTRelativeSlot(3, vector, 0)
    builder.PrependInt16Slot(5, int(column.variable.height_m or 0), 0)
    byte(6, aggregation, 0)
    builder.PrependInt16Slot(10, column.member, 0)
    byte(12, probability, 0)
    return int(builder.EndObject())
