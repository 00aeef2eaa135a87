"""Whatever customers send is read or refused by name; nothing else happens."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyproof.domain.errors import InputError
from skyproof.domain.times import format_instant
from skyproof.stages.deliver.observation_rows import FORMS, MOST_ROWS, read_rows

NOW = datetime(2025, 6, 1, tzinfo=UTC)
texts = st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e300, 1e300) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("time", "value", "x")), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(data=texts, form=st.sampled_from(sorted(set(FORMS.values()))))
def test_any_bytes_are_read_or_refused(data, form):
    try:
        good, refused = read_rows(data, form, now=NOW)
    except InputError:
        return
    assert all(row.reason for row in refused)
    assert len({row.number for row in (*good, *refused)}) == len(good) + len(refused)


@given(rows=st.lists(json_values, max_size=6))
def test_any_json_rows_are_each_read_or_refused(rows):
    good, refused = read_rows(orjson.dumps(rows), "json", now=NOW)
    assert sorted(row.number for row in (*good, *refused)) == list(range(len(rows)))


@given(
    values=st.lists(st.none() | st.floats(-1e6, 1e6).map(lambda value: round(value, 6)), max_size=8, unique=True),
    offset=st.sampled_from(("Z", "+00:00", "-05:00", "+05:45")),
)
def test_good_rows_come_back_in_every_form(values, offset):
    times = [format_instant(NOW - timedelta(hours=k))[:-1] + offset for k in range(10, 10 + len(values))]
    rows = [
        {"time": time, "variable": "temperature_2m", "value": value} for time, value in zip(times, values, strict=True)
    ]
    table = "time,variable,value\n" + "".join(
        f"{row['time']},temperature_2m,{'' if row['value'] is None else repr(row['value'])}\n" for row in rows
    )
    bodies = {"json": orjson.dumps(rows), "ndjson": b"\n".join(map(orjson.dumps, rows)), "csv": table.encode()}
    for form, body in bodies.items():
        good, refused = read_rows(body, form, now=NOW)
        assert refused == ()
        assert [None if math.isnan(row.value) else row.value for row in good] == values
        assert [row.valid_time for row in good] == [datetime.fromisoformat(time) for time in times]


@pytest.mark.parametrize("count", [MOST_ROWS, MOST_ROWS + 1])
def test_the_bound_on_rows_is_exact(count):
    body = b"{}\n" * count
    if count > MOST_ROWS:
        with pytest.raises(InputError, match="more than 10,000 rows"):
            read_rows(body, "ndjson", now=NOW)
    else:
        assert len(read_rows(body, "ndjson", now=NOW)[1]) == count
