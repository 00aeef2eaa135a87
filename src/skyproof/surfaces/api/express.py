"""The hot path of ``GET /v1/forecast``: what was answered a moment ago is answered again from what is remembered.

It knows nothing of its own. Key, request, run, sites and body are what authenticator, routes and desk remember, for as long as
they take them as known; whatever is missing, unusual or goes wrong leaves the request to the ordinary way, which says why.
What is sent is the same to the byte, headers included.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from skyproof.domain.deliveries import Receipt
from skyproof.stages.deliver.answers import Answer, Question
from skyproof.stages.deliver.quotas import Allowance
from skyproof.stages.deliver.receipts import make_receipt
from skyproof.surfaces.api.authentication import quota_headers
from skyproof.surfaces.api.forecast_routes import ForecastRoutes, forecast_headers, names_tag
from skyproof.surfaces.api.lifecycle import Deprecation, deprecation_headers

RawHeaders = tuple[tuple[bytes, bytes], ...]

PATH = "/v1/forecast"
_REMEMBERED = 8192
#: Whoever sends one of these wants more than the plain answer, shows his key another way, or brings a body.
_UNUSUAL = frozenset((b"x-api-key", b"expect", b"upgrade", b"content-length", b"transfer-encoding"))


@dataclass(frozen=True, slots=True)
class Known:
    """An answer that may be sent once its receipt is durable; a 304 has neither body nor receipt.

    ``query`` and ``left``, of the plan, are what the ordinary way needs if it has to take over.
    """

    query: bytes
    left: Allowance
    status: int
    headers: RawHeaders
    body: bytes = b""
    receipt: Receipt | None = None


class Express:
    """Finds what is known."""

    def __init__(self, routes: ForecastRoutes, deprecations: tuple[Deprecation, ...] = ()) -> None:
        self.writer = routes.writer
        self._routes = routes
        self._deprecations = deprecations
        self._headers: OrderedDict[tuple[str, int], RawHeaders] = OrderedDict()

    def find(self, query: bytes, headers: Sequence[tuple[bytes, bytes]]) -> Known | None:
        """The answer to a GET, counted; None if nothing was counted and the ordinary way has to answer.

        Args:
            query: of the address.
            headers: of the request, names in lower case.
        """
        routes, conditions = self._routes, _read(headers)
        asked = routes.parsed.get(query)
        if asked is None or conditions is None:
            return None
        authorization, held = conditions
        now = routes.clock.now()
        opened = routes.authenticator.recall(authorization, now)
        if opened is None:
            return None
        key, account = opened
        question = routes.desk.recall(key.customer_id, asked, now=now)
        if question is None:
            return None
        is_held = held and names_tag(held, question.forecast_id)
        answer = None if is_held else routes.desk.held(question)
        if answer is None and not is_held:
            return None
        left = routes.authenticator.meter.take(account)
        if left is None:
            return None
        added = deprecation_headers(self._deprecations, "GET", PATH, query) if self._deprecations else ()
        about = (*self._prepared(question, answer), *added, *quota_headers(left))
        if answer is None:
            return Known(query, left, 304, about)
        return Known(query, left, 200, about, answer.body, make_receipt(answer, key, served_at=now))

    def _prepared(self, question: Question, answer: Answer | None) -> RawHeaders:
        """The headers that all get who get this answer, or hold it."""
        name = question.forecast_id, 304 if answer is None else 200
        headers = self._headers.get(name)
        if headers is None:
            about = forecast_headers(question.forecast_id, question.view.run)
            if answer is None:
                response = Response(status_code=304, headers=about)
            else:
                response = Response(answer.body, headers={**about, "content-type": answer.media_type})
            headers = self._headers[name] = tuple(response.raw_headers)
            if len(self._headers) > _REMEMBERED:
                self._headers.popitem(last=False)
        return headers


def _read(headers: Sequence[tuple[bytes, bytes]]) -> tuple[bytes, bytes] | None:
    """Authorization and If-None-Match of a plain request, empty where not sent."""
    authorization = held = b""
    for name, value in headers:
        if name == b"authorization":
            if authorization:
                return None
            authorization = value
        elif name == b"if-none-match":
            if held:
                return None
            held = value
        elif name in _UNUSUAL:
            return None
    return authorization, held
