"""An answer as one table, a row for each place and time: an Arrow stream, or a Parquet file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from pyarrow import ipc, parquet

from skyproof.stages.deliver.answers import Block, Content
from skyproof.stages.deliver.columns import Column

ARROW_TYPE = "application/vnd.apache.arrow.stream"
PARQUET_TYPE = "application/vnd.apache.parquet"
#: Key of what the schema says about the answer's origin.
METADATA_KEY = b"skyproof"
_INSTANT = pa.timestamp("s", tz="UTC")


def render_arrow(content: Content) -> bytes:
    """The table as an Arrow IPC stream of one record batch: a reader then has every column without a copy."""
    sink = pa.BufferOutputStream()
    batch = _batch(content)
    with ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def render_parquet(content: Content) -> bytes:
    """The table as a Parquet file."""
    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_batches([_batch(content)]), sink, compression="zstd")
    return sink.getvalue()


def column_facts(column: Column) -> dict[str, str]:
    """What a table says about a column: unit (UCUM), CF standard name, cell method, and which statistic it is."""
    facts = {
        "unit": column.unit.code,
        "standard_name": column.variable.standard_name,
        "cell_methods": column.cell_method,
        "statistic": "mean",
    }
    if column.level is not None:
        facts["statistic"], facts["quantile"] = "quantile", f"{column.level:g}"
    elif column.threshold is not None:
        facts["statistic"], facts["threshold"] = "probability", column.threshold.text
    elif column.member:
        facts["statistic"], facts["member"] = "member", str(column.member)
    return facts


def _block(content: Content) -> Block:
    """The only block: the reader of requests refuses two of them in one table."""
    return content.places[0].blocks[0]


def _schema(content: Content) -> pa.Schema:
    block = _block(content)
    fields = [
        pa.field("location_id", pa.int32()),
        pa.field("site", pa.string()),
        pa.field("latitude", pa.float64(), metadata={"unit": "deg"}),
        pa.field("longitude", pa.float64(), metadata={"unit": "deg"}),
    ]
    if block.ends is None:
        fields += [pa.field("valid_time", _INSTANT), pa.field("lead_hours", pa.int32(), metadata={"unit": "h"})]
    else:
        fields += [pa.field("date", pa.date32()), pa.field("start", _INSTANT), pa.field("end", _INSTANT)]
    fields += [pa.field(column.name, pa.float64(), metadata=column_facts(column)) for column in block.heads.columns]
    return pa.schema(fields, metadata={METADATA_KEY: orjson.dumps(_origin(content))})


def _origin(content: Content) -> dict[str, Any]:
    """Where the answer comes from, what each location was calibrated on, and why what is missing is missing.

    Reasons by location, variable and row of the location.
    """
    view = content.view
    about = view.brief if content.request.provenance == "none" else view.summary
    return {
        "forecast_id": content.forecast_id,
        **orjson.loads(about),
        "calibrations": {str(number): answer.found.calibration.facts() for number, answer in enumerate(content.places)},
        "null_reasons": {
            str(number): dict(answer.blocks[0].columns.missing)
            for number, answer in enumerate(content.places)
            if answer.blocks[0].columns.missing
        },
    }


def _batch(content: Content) -> pa.RecordBatch:
    """All rows, a place after the other."""
    blocks = [block for answer in content.places for block in answer.blocks]
    found = [answer.found for answer in content.places]
    rows = np.repeat(np.arange(len(blocks), dtype=np.int32), [len(block.seconds) for block in blocks])
    seconds = np.concatenate([block.seconds for block in blocks])
    arrays = [
        pa.array(rows),
        pa.array([place.site.site_id for place in found], pa.string()).take(pa.array(rows)),
        pa.array(np.array([place.latitude for place in found], dtype=np.float64)[rows]),
        pa.array(np.array([place.longitude for place in found], dtype=np.float64)[rows]),
    ]
    ends = [block.ends for block in blocks if block.ends is not None]
    if ends:
        offsets = np.array([answer.axis.utc_offset_seconds for answer in content.places], dtype=np.int64)
        noons = seconds + 12 * 3600 + offsets[rows]  # a day's noon is in the day in any zone
        days = pa.array((noons // 86400).astype(np.int32), pa.date32())
        arrays += [days, pa.array(seconds, _INSTANT), pa.array(np.concatenate(ends), _INSTANT)]
    else:
        init_seconds = int(content.view.run.init_time.timestamp())
        arrays += [pa.array(seconds, _INSTANT), pa.array(((seconds - init_seconds) // 3600).astype(np.int32))]
    values = np.concatenate([block.columns.values for block in blocks], axis=1)
    return pa.record_batch(
        [*arrays, *(pa.array(column, from_pandas=True) for column in values)], schema=_schema(content)
    )
