"""How the API changes: its version, what changed when, and what goes away. The policy stands in docs/reference/lifecycle.md.

The version is that of what the wire means, apart from the version of the package: a change of a unit, sign, label, accumulation,
rounding, null policy or default needs a new major version, and with it a new base address. ``make check`` holds it
(tools/api_contract.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Literal
from xml.etree import ElementTree

from skyproof.domain.errors import InvalidValueError

API_VERSION = "1.0.0"
#: Between the day something is deprecated and the first day on which it may be gone.
NOTICE = timedelta(days=365)
ChangeKind = Literal["added", "changed", "deprecated", "removed", "fixed"]


@dataclass(frozen=True, slots=True)
class ApiChange:
    """One entry of the changelog."""

    day: date
    version: str
    kind: ChangeKind
    text: str


@dataclass(frozen=True, slots=True)
class Deprecation:
    """Something that goes away: an operation, or one query parameter of it.

    ``path`` is written as in the description, for example ``/v1/sites/{site_id}``.
    """

    method: str
    path: str
    since: date
    sunset: date
    instead: str
    parameter: str = ""
    _pattern: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.sunset - self.since < NOTICE:
            raise InvalidValueError(
                f"{self.method} {self.path} would be gone after {(self.sunset - self.since).days} days",
                hint=f"the policy promises {NOTICE.days}",
            )
        parts = re.split(r"\{[a-z_]+\}", self.path)
        object.__setattr__(self, "_pattern", re.compile("[^/]+".join(re.escape(part) for part in parts)))

    def concerns(self, method: str, path: str, query: bytes) -> bool:
        """Whether a request uses what goes away."""
        if method != self.method or not self._pattern.fullmatch(path):
            return False
        names = {part.partition(b"=")[0] for part in query.split(b"&")}
        return not self.parameter or self.parameter.encode() in names

    @property
    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """How a response says so (RFC 9745, RFC 8594)."""
        since, sunset = (datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (self.since, self.sunset))
        return (
            (b"deprecation", b"@%d" % int(since.timestamp())),
            (b"sunset", format_datetime(sunset, usegmt=True).encode()),
            (b"link", b'</v1/changelog>; rel="deprecation"; type="application/json"'),
        )


#: What goes away. Whatever stands here is marked in the description and in every answer that it concerns.
DEPRECATIONS: tuple[Deprecation, ...] = ()

#: What changed, newest first.
CHANGES: tuple[ApiChange, ...] = (
    ApiChange(
        date(2026, 11, 25),
        "1.0.0",
        "added",
        "The ledger of receipts, a hash chain of days, and proofs that your receipt is in it.",
    ),
    ApiChange(date(2026, 11, 25), "1.0.0", "added", "OGC API - EDR with CoverageJSON under /edr; models and sources."),
    ApiChange(
        date(2026, 11, 25),
        "1.0.0",
        "added",
        "Corrigenda and this changelog; every change is held to a semantic contract.",
    ),
    ApiChange(
        date(2026, 11, 25),
        "1.0.0",
        "added",
        "Webhooks for runs that are available, late, degraded or recovered; /v1/events.",
    ),
    ApiChange(date(2026, 11, 25), "1.0.0", "added", "Sites, observations and portfolios of customers' own."),
    ApiChange(
        date(2026, 11, 25),
        "1.0.0",
        "added",
        "Keys that rotate, quotas by plan with RateLimit headers, usage and audit log.",
    ),
    ApiChange(
        date(2026, 11, 25), "1.0.0", "added", "Days, probabilities, scenarios and six forms in GET /v1/forecast."
    ),
    ApiChange(date(2026, 11, 23), "1.0.0", "added", "GET /v1/forecast with quantiles, lineage and receipts."),
)
_ATOM = "http://www.w3.org/2005/Atom"


def deprecation_headers(
    deprecations: tuple[Deprecation, ...], method: str, path: str, query: bytes
) -> tuple[tuple[bytes, bytes], ...]:
    """What a response has to say about what its request uses; the earliest sunset where several concern it."""
    concerning = [each for each in deprecations if each.concerns(method, path, query)]
    return min(concerning, key=lambda each: each.sunset).headers if concerning else ()


def atom_feed(changes: tuple[ApiChange, ...], base: str) -> bytes:
    """The changelog as an Atom feed (RFC 4287)."""
    feed = ElementTree.Element("feed", xmlns=_ATOM)
    _add(feed, "title", "Skyproof API changelog")
    _add(feed, "id", f"{base}/v1/changelog")
    _add(feed, "updated", f"{max(change.day for change in changes).isoformat()}T00:00:00Z")
    ElementTree.SubElement(feed, "link", rel="self", href=f"{base}/v1/changelog?format=atom")
    author = ElementTree.SubElement(feed, "author")
    _add(author, "name", "Skyproof")
    for number, change in zip(range(len(changes), 0, -1), changes, strict=True):
        entry = ElementTree.SubElement(feed, "entry")
        _add(entry, "id", f"{base}/v1/changelog#{number}")
        _add(entry, "title", f"{change.version} {change.kind}")
        _add(entry, "updated", f"{change.day.isoformat()}T00:00:00Z")
        _add(entry, "summary", change.text)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + bytes(ElementTree.tostring(feed, encoding="utf-8"))


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text
