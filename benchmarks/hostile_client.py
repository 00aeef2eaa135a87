"""A caller who means harm: requests made of good ones and broken ones, over real sockets, each answer held against the rules.

The rules: an answer is HTTP, is no 5xx, is a problem where it is no success, and holds nothing that belongs to another customer.
"""

from __future__ import annotations

import asyncio
import gzip
import random
import re
import time
from collections import Counter
from dataclasses import dataclass, field

import orjson

#: Longer than the server waits for a body that does not come.
TIMEOUT_S = 90.0
_NASTY = (
    "",
    " ",
    "0",
    "-1",
    "1e309",
    "-1e309",
    "nan",
    "inf",
    "NaN",
    "null",
    "None",
    "true",
    "[]",
    "{}",
    "%00",
    "%0d%0aX-A:%20b",
    "%ff%fe",
    "..%2f..%2fetc%2fpasswd",
    "';DROP%20TABLE%20receipts;--",
    "%27%20OR%201=1",
    "${jndi:ldap://x}",
    "%3Cscript%3E",
    "٣",
    "%E2%80%AE",
    "%F0%9F%92%A3",
    "9" * 400,
    "a" * 5000,
    ",",
    ",,,,",
    "0.5,0.5",
    "1,2,3",
    "2025-13-45",
    "0001-01-01",
    "9999-12-31T23:59:60Z",
    "2025-03-30T02:30",
    "+47",
    "4_7",
    "47,8",
    "POINT(8 47)",
    "POINT(nan inf)",
    "POLYGON((0 0,0 0,0 0,0 0))",
    "LINESTRING(" + "1 1," * 500 + "1 1)",
    "temperature_2m",
    "temperature_2m>nan",
    "temperature_2m>1e400",
    "zurich",
    "acme-roof",
    "bolt-farm",
    "Europe/Zurich",
    "../UTC",
    "skyproof",
    "latest",
    "R1",
    "run_" + "0" * 16,
    "fc_" + "a" * 26,
)
_METHODS = ("GET", "GET", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "BREW")
_TYPES = (
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/xml",
    "",
    "application/json; charset=utf-16",
    "multipart/form-data; boundary=x",
)
_HEADERS = (
    "X-Forwarded-For: 127.0.0.1",
    "Host: evil.test",
    "Expect: 100-continue",
    "Upgrade: websocket\r\nConnection: upgrade",
    "If-None-Match: *",
    'If-None-Match: "' + "a" * 9000 + '"',
    "Accept-Encoding: gzip;q=nan",
    "Range: bytes=0-18446744073709551615",
    "Content-Encoding: br",
    "Idempotency-Key: " + "k" * 500,
    "Idempotency-Key: k",
    "Cookie: a=b",
    "X-Request-Id: ../../x",
    "Transfer-Encoding: gzip, chunked",
    "Content-Length: 99999999999999999999",
    "X-API-Key: sp_live_0123456789abcdef_" + "0" * 64,
    "Authorization: Basic YTpi",
    "Accept: */*;q=-1",
    "TE: trailers",
)


@dataclass
class Report:
    """What was sent and what came back. ``wrong``: what breaks the rules, with the request."""

    sent: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest_s: float = 0.0

    def breach(self, what: str, request: bytes, answer: bytes) -> None:
        """Note something that must not be."""
        if len(self.wrong) < 50:
            self.wrong.append(f"{what}\n  sent {request[:300]!r} ... {request[-300:]!r}\n  got {answer[:600]!r}")
        self.statuses["breaches"] += 1


class Hostile:
    """Makes hostile requests from the API's own description, and judges the answers."""

    def __init__(
        self, port: int, document: dict, token: str, *, canary: bytes, names: dict[str, str], seed: int
    ) -> None:
        """Make one.

        Args:
            port: of the server on loopback.
            document: the OpenAPI description.
            token: a good key of the customer who asks.
            canary: what stands in everything that another customer owns, and in nothing that is asked.
            names: of things of the other customer, by the name of the parameter in an address.
            seed: of chance.
        """
        self.port, self.canary = port, canary
        self.report = Report()
        self._token = token
        self._names = names
        self._chance = random.Random(seed)
        self._operations = [
            (method.upper(), path, [each for each in operation.get("parameters", []) if each["in"] == "query"])
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if isinstance(operation, dict)
        ]
        # It would revoke the key it asks with.
        self._spared = ("/v1/keys",)

    async def ask_many(self, count: int, connections: int) -> None:
        """Send so many requests over several connections at a time."""
        left = iter(range(count))

        async def one() -> None:
            for _ in left:
                await self._exchange(self.request())

        await asyncio.gather(*(one() for _ in range(connections)))

    async def garble_many(self, count: int, connections: int) -> None:
        """The same with bytes that are hardly HTTP."""
        left = iter(range(count))

        async def one() -> None:
            for _ in left:
                await self._exchange(self.garbage(), may_close=True)

        await asyncio.gather(*(one() for _ in range(connections)))

    def request(self) -> bytes:
        """One request that a parser of HTTP may accept."""
        chance = self._chance
        method, path, parameters = chance.choice(self._operations)
        if chance.random() < 0.1:
            method = chance.choice(_METHODS)
        address = re.sub(r"\{(\w+)\}", lambda found: self._name(found[1]), path)
        if address.startswith(self._spared) and method not in ("GET", "HEAD"):
            method = "GET"
        query = [(each["name"], self._value()) for each in parameters if chance.random() < 0.5]
        if chance.random() < 0.2:
            query.append((chance.choice(("site", "hourly", "daily", "run", "apikey", "x", "", "%00")), self._value()))
        if query and chance.random() < 0.1:
            query += query
        if query:
            address += "?" + "&".join(f"{name}={value}" for name, value in query)
        if chance.random() < 0.02:
            address += "?" + "a=" + "b" * chance.choice((1000, 39_000, 41_000, 60_000))
        lines = [f"{method} {address.replace(' ', '%20')} HTTP/1.1", "Host: sky.test", "Connection: close"]
        if chance.random() < 0.9:
            lines.append(f"Authorization: Bearer {self._token if chance.random() < 0.95 else self._token[:-1] + '0'}")
        lines += [chance.choice(_HEADERS) for _ in range(chance.choice((0, 0, 0, 0, 1, 2)))]
        body = self._body() if method in ("POST", "PUT", "PATCH") or chance.random() < 0.02 else b""
        if body:
            kind = _TYPES[0] if chance.random() < 0.7 else chance.choice(_TYPES)
            lines.append(f"Content-Type: {kind}")
            if chance.random() < 0.05:
                body = gzip.compress(body)
                lines.append("Content-Encoding: gzip")
            if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in lines):
                lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body

    def garbage(self) -> bytes:
        """Bytes that are hardly HTTP: nothing at all, or a request with some bytes changed."""
        chance = self._chance
        if chance.random() < 0.3:
            return chance.randbytes(chance.randrange(1, 2000))
        data = bytearray(self.request())
        for _ in range(chance.randrange(1, 20)):
            place, kind = chance.randrange(len(data)), chance.random()
            if kind < 0.4:
                data[place] = chance.randrange(256)
            elif kind < 0.7:
                del data[place : place + chance.randrange(1, 10)]
            else:
                data[place:place] = chance.choice(
                    (b"\r\n", b"\x00", b": ", b"\r\n\r\n", b"%", b"HTTP/1.1", chance.randbytes(5))
                )
            if not data:
                data = bytearray(b"\r")
        return bytes(data)

    async def drip(self, seconds: float, connections: int) -> int:
        """Hold connections with requests that never end; returns how many the server let go of by itself."""

        async def one(number: int) -> bool:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            begun = (
                b"GET /healthz HTTP/1.1\r\nX-A: ",
                b"POST /v1/query HTTP/1.1\r\nContent-Length: 100000\r\n\r\n{",
                b"",
            )[number % 3]
            writer.write(begun)
            ends = time.monotonic() + seconds
            try:
                while time.monotonic() < ends:
                    if begun:
                        writer.write(b"a")
                        await writer.drain()
                    try:
                        if await asyncio.wait_for(reader.read(1000), 1.0) == b"":
                            return True
                    except TimeoutError:
                        continue
            except OSError:
                return True
            finally:
                writer.close()
            return False

        return sum(await asyncio.gather(*(one(number) for number in range(connections))))

    async def oversize(self) -> None:
        """Heads and bodies far beyond every bound, as far as the server takes them."""
        auth = f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n".encode()
        long_line = b"X-Long: " + b"a" * 8000 + b"\r\n"
        many_lines = b"".join(b"A%d: b\r\n" % number for number in range(5000))
        chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        site = b"POST /v1/sites HTTP/1.1\r\n" + auth
        for head, piece, count in (
            (b"GET /healthz HTTP/1.1\r\n", long_line, 2000),
            (b"GET /healthz HTTP/1.1\r\n", many_lines, 50),
            (b"GET /v1/forecast?", b"hourly=" + b"a" * 60_000, 100),
            (site + b"Content-Length: 50000000\r\n\r\n", b" " * 65_536, 700),
            (site + b"Transfer-Encoding: chunked\r\n\r\n", chunk, 700),
        ):
            await self._exchange(head + piece * count, may_close=True)
        bomb = gzip.compress(b"[" * 50_000_000)
        folded = b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
        await self._exchange(b"POST /v1/query HTTP/1.1\r\n" + auth + folded + bomb)

    def _name(self, parameter: str) -> str:
        chance = self._chance.random()
        if chance < 0.4 and parameter in self._names:
            return self._names[parameter]
        return "skyproof" if chance < 0.6 and parameter in ("model", "collection") else self._value() or "x"

    def _value(self) -> str:
        value = self._chance.choice(_NASTY)
        return value if self._chance.random() < 0.8 else value + "," + self._chance.choice(_NASTY)

    def _body(self) -> bytes:
        chance = self._chance
        kind = chance.random()
        if kind < 0.1:
            return chance.choice(
                (
                    b"[" * 5000,
                    b'{"a":' * 3000,
                    b"\xff\xfe",
                    b"null",
                    b'"\\ud800"',
                    b"1e999",
                    b"{" + b'"k":1,' * 2000 + b'"k":1}',
                    b"time,variable,value\n" + b",,\n" * 500,
                )
            )
        keys = (
            "name",
            "latitude",
            "longitude",
            "elevation",
            "timezone",
            "members",
            "site",
            "weight",
            "url",
            "events",
            "scopes",
            "geo",
            "type",
            "value",
            "init_time",
            "start",
            "end",
            "variables",
            "statistics",
            "limit",
            "cursor",
            "time",
            "variable",
            "as_of",
            "models",
            "lead_time",
            "format",
            "overlap_hours",
            "aggregate",
            "active",
        )

        def make(depth: int) -> object:
            pick = chance.random()
            if depth > 3 or pick < 0.5:
                return chance.choice(
                    (
                        0,
                        -1,
                        1e308,
                        2**63,
                        0.5,
                        True,
                        None,
                        "",
                        "x" * 300,
                        "\u0000",
                        "zurich",
                        "2025-03-30T00:00:00Z",
                        "PT1H",
                        "all",
                        "point",
                        "https://93.184.216.34/x",
                        "http://127.0.0.1/",
                        "temperature_2m",
                        chance.choice(_NASTY),
                    )
                )
            if pick < 0.7:
                return [make(depth + 1) for _ in range(chance.randrange(4))]
            return {chance.choice(keys): make(depth + 1) for _ in range(chance.randrange(6))}

        made = {chance.choice(keys): make(1) for _ in range(chance.randrange(8))}
        return orjson.dumps(made if chance.random() < 0.8 else [made])

    async def _exchange(self, request: bytes, *, may_close: bool = False) -> None:
        """Send, read to the end, judge. ``may_close``: the server may let go without a word."""
        began, answer = time.monotonic(), b""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(request)
                    if may_close:
                        writer.write_eof()
                    answer = await reader.read(-1)
                finally:
                    writer.close()
        except ConnectionError:
            pass
        except TimeoutError:
            self.report.breach("no answer and no end", request, answer)
        self.report.sent += 1
        self.report.slowest_s = max(self.report.slowest_s, time.monotonic() - began)
        self._judge(request, answer, may_close=may_close)

    def _judge(self, request: bytes, answer: bytes, *, may_close: bool) -> None:
        report = self.report
        if self.canary in answer:
            report.breach("something of another customer", request, answer)
        if not answer:
            report.statuses["closed"] += 1
            if not may_close and b"Content-Length: 9999" not in request and b"Transfer-Encoding" not in request:
                report.breach("closed without an answer", request, answer)
            return
        while answer.startswith(b"HTTP/1.1 100 "):
            answer = answer.partition(b"\r\n\r\n")[2]
        if not answer:
            report.statuses["closed"] += 1
            return
        head = answer.partition(b"\r\n\r\n")[0]
        found = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
        if found is None:
            report.breach("no HTTP", request, answer)
            return
        status = int(found[1])
        report.statuses[f"{status // 100}xx"] += 1
        if status >= 500:
            report.breach("a 5xx", request, answer)
        is_head = request.startswith(b"HEAD ")
        if status >= 400 and not is_head and b"content-type: application/problem+json" not in head.lower():
            report.breach("an error that is no problem", request, answer)
