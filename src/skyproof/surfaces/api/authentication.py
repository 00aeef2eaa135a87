"""Who asks: keys from headers, looked up, compared in constant time, and remembered for a few seconds."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from skyproof.archive.archive import Archive
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import AuthenticationError, PermissionDeniedError
from skyproof.domain.protocols import Clock
from skyproof.stages.deliver.keys import FORECAST_SCOPE, check_in_force, check_secret, split_token
from skyproof.stages.deliver.parameters import KEY_NAMES

_REMEMBERED = 4096
_HOW = "send it as header Authorization: Bearer sp_live_..., or X-API-Key"


class Authenticator:
    """Opens, or does not. A key revoked elsewhere stops opening within ``remember_s`` seconds; expiry counts at once."""

    def __init__(
        self, archive: Archive, clock: Clock, *, remember_s: float = 3.0, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._archive = archive
        self._clock = clock
        self._remember_s = remember_s
        self._ticks = ticks
        self._known: OrderedDict[bytes, tuple[float, ApiKey]] = OrderedDict()

    async def __call__(self, request: Request) -> ApiKey:
        """The key of a request, checked.

        Raises:
            AuthenticationError: no key, or one that opens nothing.
            PermissionDeniedError: a key without the scope.
        """
        return await self.check(request, self._clock.now())

    async def check(self, request: Request, now: datetime) -> ApiKey:
        """The same at an instant already known."""
        token = read_token(request)
        # What is remembered is a digest: the memory of this process holds no list of working keys.
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and self._ticks() - known[0] < self._remember_s:
            key = known[1]
        else:
            key = await self._look_up(token, digest)
        if FORECAST_SCOPE not in key.scopes:
            raise PermissionDeniedError(
                f"the key has no scope {FORECAST_SCOPE}", hint=f"it has {', '.join(key.scopes) or 'none'}"
            )
        return check_in_force(key, now)

    def recall(self, authorization: bytes, now: datetime) -> ApiKey | None:
        """The key of an ``Authorization`` header, if it is remembered and opens forecasts now; None asks for :meth:`check`."""
        if not authorization.startswith(b"Bearer "):
            return None
        known = self._known.get(hashlib.sha256(authorization[7:]).digest())
        if known is None or self._ticks() - known[0] >= self._remember_s:
            return None
        key = known[1]
        ended = (key.revoked_at is not None and key.revoked_at <= now) or (
            key.expires_at is not None and key.expires_at <= now
        )
        return None if ended or FORECAST_SCOPE not in key.scopes else key

    async def _look_up(self, token: str, digest: bytes) -> ApiKey:
        key_id, secret = split_token(token)
        ticks = self._ticks()
        key = check_secret(await run_in_threadpool(self._archive.customers.find_key, key_id), secret)
        self._known[digest] = (ticks, key)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return key


def read_token(request: Request) -> str:
    """The token in the headers of a request.

    Raises:
        AuthenticationError: none, two different ones, another scheme, or one in the address.
    """
    bearer, plain = "", ""
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            bearer = value.decode("latin-1")
        elif name == b"x-api-key":
            plain = value.decode("latin-1").strip()
    if request.scope["query_string"]:
        _refuse_in_address(request)
    if bearer:
        scheme, _, token = bearer.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise AuthenticationError("the Authorization header is not of the form Bearer <key>", hint=_HOW)
        if plain and plain != token.strip():
            raise AuthenticationError("two different keys are given", hint="send one of the two headers")
        return token.strip()
    if not plain:
        raise AuthenticationError("no key is given", hint=_HOW)
    return plain


def _refuse_in_address(request: Request) -> None:
    query: bytes = request.scope["query_string"].lower()
    if b"sp_live_" not in query and b"key" not in query and b"token" not in query:
        return
    names = {name.lower() for name in request.query_params}
    if names & KEY_NAMES or b"sp_live_" in query:
        raise AuthenticationError(
            "a key is in the address, where every proxy and log keeps it",
            hint=f"revoke that key, make a new one, and {_HOW}",
        )
