"""The hot path of ``GET /v1/forecast``: an answer given a moment ago is given again without the framework.

It knows nothing of its own. Key, request, run, sites and body are what authenticator, routes and desk remember, for as long as
they take them as known; whatever is missing, unusual or goes wrong leaves the request to the ordinary way, which says why.
What is sent is the same to the byte, headers included, and its receipt is as durable before the first byte leaves.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime

from starlette.responses import Response
from starlette.types import Scope, Send

from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import SkyproofError
from skyproof.stages.deliver.answers import Answer
from skyproof.stages.deliver.quotas import Account
from skyproof.stages.deliver.receipts import make_receipt
from skyproof.surfaces.api.authentication import quota_headers
from skyproof.surfaces.api.forecast_routes import ForecastRoutes, forecast_headers

RawHeaders = tuple[tuple[bytes, bytes], ...]

_REMEMBERED = 8192
#: Whoever sends one of these wants more than the plain answer, or shows his key another way.
_UNUSUAL = frozenset((b"x-api-key", b"if-none-match"))


class Express:
    """Gives again what is known."""

    def __init__(self, routes: ForecastRoutes) -> None:
        self._routes = routes
        self._headers: OrderedDict[str, RawHeaders] = OrderedDict()

    async def __call__(self, scope: Scope, send: Send, extra: RawHeaders) -> bool:
        """Answer a GET; False if nothing was sent and the ordinary way has to.

        Args:
            scope: of the request.
            send: to the server.
            extra: headers to add to those of the answer.
        """
        routes = self._routes
        now = routes.clock.now()
        known = self._known(scope, now)
        asked = routes.parsed.get(scope["query_string"])
        if known is None or asked is None:
            return False
        key, account = known
        answer = routes.desk.recall(key.customer_id, asked, now=now)
        if answer is None:
            return False
        left = routes.authenticator.meter.take(account)
        if left is None:
            return False
        try:
            await routes.writer.record_on_loop(make_receipt(answer, key, served_at=now), answer.body)
        except SkyproofError:
            scope["taken"] = left  # the ordinary way tries again, and need not count again
            return False
        headers = self._headers.get(answer.forecast_id) or self._prepare(answer)
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, *quota_headers(left), *extra]})
        await send({"type": "http.response.body", "body": answer.body})
        return True

    def _known(self, scope: Scope, now: datetime) -> tuple[ApiKey, Account] | None:
        shown = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                if shown is not None:
                    return None
                shown = value
            elif name in _UNUSUAL:
                return None
        return None if shown is None else self._routes.authenticator.recall(shown, now)

    def _prepare(self, answer: Answer) -> RawHeaders:
        named = {**forecast_headers(answer.forecast_id, answer.run), "content-type": answer.media_type}
        headers = tuple(Response(answer.body, headers=named).raw_headers)
        self._headers[answer.forecast_id] = headers
        if len(self._headers) > _REMEMBERED:
            self._headers.popitem(last=False)
        return headers
