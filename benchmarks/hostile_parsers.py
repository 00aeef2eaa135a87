"""The parsers under changed input: whatever they are given they return, or say what is wrong in one of our errors."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl

from skyproof.archive.receipt_journal import Frame, _pack, read_frames
from skyproof.domain.deliveries import Receipt
from skyproof.domain.errors import SkyproofError
from skyproof.domain.times import parse_instant
from skyproof.stages.deliver.keys import split_token
from skyproof.stages.deliver.observation_rows import read_rows
from skyproof.stages.deliver.requests import check_request
from skyproof.stages.deliver.thresholds import parse_threshold
from skyproof.stages.deliver.wkt import parse_wkt
from skyproof.surfaces.api.bodies import parse_json, unfold

NOW = datetime(2025, 3, 30, 3, tzinfo=UTC)
_RECEIPT = Receipt("rc_1", "fc_1", "acme", "k", "site=x", "run_1", "run_1", "v", "b", "application/json", 200, NOW)
_PIECES = (
    b"",
    b"\x00",
    b"\xff",
    b",",
    b"=",
    b"&",
    b"(",
    b")",
    b"-",
    b"1e999",
    b"nan",
    b"%",
    b"\n",
    b'"',
    b"[",
    b"{",
    b"T",
    b"Z",
    b"\xe2\x80\xae",
    b"0" * 50,
)


def _text(parse: Callable[[str], object]) -> Callable[[bytes], object]:
    return lambda data: parse(data.decode("latin-1"))


def _journal(data: bytes) -> object:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.journal"
        path.write_bytes(data)
        return list(read_frames(path))


PARSERS: dict[str, tuple[Callable[[bytes], object], tuple[bytes, ...], float]] = {
    # what it is: the parser, good inputs, its share of the calls
    "query of a forecast": (
        lambda data: check_request(parse_qsl(data.decode("latin-1"), keep_blank_values=True)),
        (
            b"latitude=47.4,48&longitude=8.5,9&hourly=temperature_2m,wind_gusts_10m&quantiles=0.1,0.9&exceedance=wind_gusts_10m>20&timezone=auto",
            b"site=zurich&daily=temperature_2m_max&start_date=2025-03-29&end_date=2025-03-31&members=5&timeformat=unixtime&as_of=2025-03-30T00:00Z",
        ),
        0.3,
    ),
    "geometry": (
        _text(parse_wkt),
        (b"POINT(8 47)", b"POLYGON((7 46,9 46,9 48,7 48,7 46))", b"LINESTRING Z(8 47 1,9 48 2)"),
        0.15,
    ),
    "threshold": (_text(parse_threshold), (b"wind_gusts_10m>20", b"temperature_2m<=-0.5"), 0.1),
    "instant": (_text(parse_instant), (b"2025-03-30T02:30:00Z", b"2025-03-30T02:30+01:00"), 0.1),
    "key": (_text(split_token), (b"sp_live_0123456789abcdef_" + b"0" * 64,), 0.05),
    "observations as JSON": (
        lambda data: read_rows(data, "json", now=NOW),
        (b'[{"time":"2025-03-29T01:00Z","variable":"temperature_2m","value":5.1}]',),
        0.1,
    ),
    "observations as NDJSON": (
        lambda data: read_rows(data, "ndjson", now=NOW),
        (b'{"time":"2025-03-29T01:00Z","variable":"temperature_2m","value":5.1}\n' * 3,),
        0.05,
    ),
    "observations as CSV": (
        lambda data: read_rows(data, "csv", now=NOW),
        (b"time,variable,value\n2025-03-29T01:00Z,temperature_2m,5.1\n",),
        0.05,
    ),
    "JSON": (parse_json, (b'{"a":[1,2.5,"x",null,{"b":true}]}',), 0.05),
    "gzip": (
        lambda data: unfold(data, "gzip", most_bytes=1000),
        (bytes.fromhex("1f8b08000000000000ff4b4c4a0600c241243503000000"),),
        0.03,
    ),
    "queued receipts": (_journal, (_pack(Frame((_RECEIPT,), {"fc_1": b"body"})) * 2,), 0.02),
}


def change(data: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, dropped, doubled or put in."""
    made = bytearray(data)
    for _ in range(chance.randrange(1, 8)):
        place, kind = chance.randrange(len(made) + 1), chance.random()
        if kind < 0.3 and place < len(made):
            made[place] = chance.randrange(256)
        elif kind < 0.5:
            del made[place : place + chance.randrange(1, 12)]
        elif kind < 0.65:
            made[place:place] = made[place : place + chance.randrange(1, 60)]
        else:
            made[place:place] = chance.choice(_PIECES)
    return bytes(made)


def fuzz_parsers(calls: int, seed: int) -> tuple[int, float, list[str]]:
    """Call them so often; returns how many calls were made, the longest in seconds, and what must not have come out."""
    chance, wrong, made, longest = random.Random(seed), [], 0, 0.0
    for name, (parse, seeds, share) in PARSERS.items():
        known = list(seeds)
        for _ in range(round(calls * share)):
            data = change(chance.choice(known), chance)
            began = time.perf_counter()
            try:
                parse(data)
            except SkyproofError:
                pass
            except Exception as error:  # noqa: BLE001 that is what is looked for
                wrong.append(f"{name}: {error!r} of {data[:300]!r}")
            else:
                if len(known) < 200 and chance.random() < 0.2:  # what is accepted is a seed of its own
                    known.append(data)
            longest = max(longest, time.perf_counter() - began)
            made += 1
    return made, longest, wrong
