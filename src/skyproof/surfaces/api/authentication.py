"""Who asks: keys from headers, looked up, compared in constant time, and remembered for a few seconds."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from skyproof.archive.archive import Archive
from skyproof.domain.accounts import FORECAST_SCOPE
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.errors import AuthenticationError, DatabaseAwayError, PermissionDeniedError
from skyproof.domain.protocols import Clock
from skyproof.stages.deliver.keys import check_in_force, check_secret, split_token
from skyproof.stages.deliver.parameters import KEY_NAMES
from skyproof.stages.deliver.quotas import Account, Allowance, Meter
from skyproof.surfaces.api.gate import Gate

_REMEMBERED = 4096
_HOW = "send it as header Authorization: Bearer sp_live_..., or X-API-Key"


class _Known(NamedTuple):
    told: float
    key: ApiKey
    account: Account


class Authenticator:
    """Opens, or does not, and counts.

    A key revoked elsewhere stops opening within ``remember_s`` seconds, twice as many if the store is slow; expiry counts at
    once. While the database is away a key that opened before goes on opening for ``outlive_s`` seconds from when it was last
    looked up.
    """

    def __init__(
        self,
        archive: Archive,
        clock: Clock,
        meter: Meter,
        *,
        gate: Gate | None = None,
        remember_s: float = 3.0,
        outlive_s: float = 3600.0,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.meter = meter
        self.gate = gate or Gate()
        self._archive = archive
        self._clock = clock
        self._remember_s = remember_s
        self._outlive_s = outlive_s
        self._ticks = ticks
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._asking: set[bytes] = set()

    async def __call__(self, request: Request) -> ApiKey:
        """The key of a request for what every forecast key opens, checked and counted.

        Raises:
            AuthenticationError: no key, or one that opens nothing.
            PermissionDeniedError: a key without the scope.
            QuotaError: the plan of the key's customer allows no more, or as much of it is under way as may be.
        """
        key = await self.check(request, self._clock.now())
        await self.gate.take_turn(request.scope["turns"], key.customer_id)
        return key

    def requires(self, scope: str) -> Callable[[Request], Awaitable[ApiKey]]:
        """The same for what another scope opens."""

        async def check(request: Request) -> ApiKey:
            key = await self.check(request, self._clock.now(), scope)
            await self.gate.take_turn(request.scope["turns"], key.customer_id)
            return key

        return check

    async def check(self, request: Request, now: datetime, scope: str = FORECAST_SCOPE) -> ApiKey:
        """The same at an instant already known."""
        token = read_token(request)
        # What is remembered is a digest: the memory of this process holds no list of working keys.
        digest = hashlib.sha256(token.encode()).digest()
        known = self._remembered(digest) or await self._renew(token, digest)
        key = check_in_force(known.key, now)
        if scope not in key.scopes:
            raise PermissionDeniedError(
                f"the key has no scope {scope}", hint=f"it has {', '.join(key.scopes) or 'none'}"
            )
        # The hot path may have counted this request already, and failed.
        left = request.scope.get("taken") or self.meter.take(known.account)
        request.scope["added_headers"].extend(quota_headers(left or self.meter.left(known.account)))
        if left is None:
            raise self.meter.refuse(known.account)
        return key

    def recall(self, authorization: bytes, now: datetime) -> tuple[ApiKey, Account] | None:
        """Key and counts of an ``Authorization`` header, if remembered and good for forecasts now; None asks for :meth:`check`.

        Nothing is counted: whoever answers takes from the account.
        """
        if not authorization.startswith(b"Bearer "):
            return None
        known = self._remembered(hashlib.sha256(authorization[7:]).digest())
        if known is None:
            return None
        key = known.key
        return (key, known.account) if key.is_live(now) and FORECAST_SCOPE in key.scopes else None

    def _remembered(self, digest: bytes) -> _Known | None:
        known = self._known.get(digest)
        if known is None:
            return None
        # One caller looks a key up again; the others go on with what was known, for as long again at most.
        lasts_s = 2 * self._remember_s if digest in self._asking else self._remember_s
        return known if self._ticks() - known.told < lasts_s else None

    async def _renew(self, token: str, digest: bytes) -> _Known:
        self._asking.add(digest)
        try:
            return await self._look_up(token, digest)
        except DatabaseAwayError:
            known = self._known.get(digest)
            if known is None or self._ticks() - known.told >= self._outlive_s:
                raise
            return known
        finally:
            self._asking.discard(digest)

    async def _look_up(self, token: str, digest: bytes) -> _Known:
        key_id, secret = split_token(token)
        ticks = self._ticks()
        found = await run_in_threadpool(self._archive.customers.find_holder, key_id)
        key = check_secret(None if found is None else found[0], secret)
        assert found is not None
        known = self._known[digest] = _Known(ticks, key, self.meter.account(key.customer_id, found[1].plan))
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return known


def quota_headers(left: Allowance) -> tuple[tuple[bytes, bytes], ...]:
    """What the plan allows and what is left of it (draft-ietf-httpapi-ratelimit-headers-10)."""
    return (
        (b"ratelimit-policy", b'"default";q=%d;w=60, "daily";q=%d;w=86400' % (left.minute_limit, left.day_limit)),
        (
            b"ratelimit",
            b'"default";r=%d;t=%d, "daily";r=%d;t=%d'
            % (left.minute_left, left.minute_ends_s, left.day_left, left.day_ends_s),
        ),
    )


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
