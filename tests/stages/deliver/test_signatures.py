"""Signatures of pushes, checked by the reference verifier of Standard Webhooks."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.notices import Webhook
from skyproof.stages.deliver.signatures import Signer

BORN = datetime(2025, 1, 1, tzinfo=UTC)
HOOK = Webhook("wh_1", "acme", "https://example.org", ("run.late",), BORN)
SIGNER = Signer(b"k" * 32)
BODY = '{"id": "evt_1", "data": {"städte": 3}}'.encode()


def signed(hook: Webhook = HOOK, body: bytes = BODY, signer: Signer = SIGNER, now: datetime = BORN) -> dict[str, str]:
    # The verifier asks the machine's clock and refuses what is older than five minutes.
    return signer.headers(hook, "evt_1", body, sent_at=datetime.now(UTC), now=now)


def test_the_reference_verifier_accepts_what_we_sign():
    assert Verifier(SIGNER.secret(HOOK)).verify(BODY.decode(), signed()) == {"id": "evt_1", "data": {"städte": 3}}
    assert base64.b64decode(SIGNER.secret(HOOK).removeprefix("whsec_")).__len__() == 32


@pytest.mark.parametrize(
    "spoil",
    [
        lambda headers, body: (headers, body + b" "),
        lambda headers, body: (headers | {"webhook-id": "evt_2"}, body),
        lambda headers, body: (headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 1)}, body),
        lambda headers, body: (headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 999)}, body),
        lambda headers, body: (headers | {"webhook-signature": "v1,AAAA"}, body),
    ],
    ids=["body", "id", "time", "old", "signature"],
)
def test_the_reference_verifier_refuses_what_was_changed(spoil):
    headers, body = spoil(signed(), BODY)
    with pytest.raises(WebhookVerificationError):
        Verifier(SIGNER.secret(HOOK)).verify(body.decode(), headers)


@pytest.mark.parametrize(
    "other",
    [
        SIGNER.secret(replace(HOOK, webhook_id="wh_2")),
        SIGNER.secret(replace(HOOK, secret_version=2)),
        Signer(b"K" * 32).secret(HOOK),
    ],
    ids=["webhook", "version", "installation"],
)
def test_no_secret_opens_anothers_signature(other):
    with pytest.raises(WebhookVerificationError):
        Verifier(other).verify(BODY.decode(), signed())


def test_both_secrets_sign_while_a_rotation_overlaps():
    rotated = replace(HOOK, secret_version=2, previous_until=BORN + timedelta(hours=24))
    during, after = (signed(rotated, now=BORN + timedelta(hours=later)) for later in (23, 24))
    for secret in (SIGNER.secret(HOOK), SIGNER.secret(rotated)):
        Verifier(secret).verify(BODY.decode(), during)
    Verifier(SIGNER.secret(rotated)).verify(BODY.decode(), after)
    with pytest.raises(WebhookVerificationError):
        Verifier(SIGNER.secret(HOOK)).verify(BODY.decode(), after)


@given(
    body=st.dictionaries(st.text(max_size=5), st.integers(0, 2**53), max_size=3),
    key=st.binary(min_size=32, max_size=64),
)
def test_any_body_under_any_key_verifies(body, key):
    signer, sent = Signer(key), orjson.dumps(body)
    assert Verifier(signer.secret(HOOK)).verify(sent.decode(), signed(body=sent, signer=signer)) == body


def test_a_short_key_is_refused():
    with pytest.raises(InvalidValueError, match="31 bytes"):
        Signer(b"k" * 31)
