"""Keys: shown once, kept as a hash, and good for nothing when malformed, wrong, expired or revoked."""

from __future__ import annotations

from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from skyproof.archive.archive import Archive
from skyproof.archive.tables import api_keys
from skyproof.domain.errors import AuthenticationError, InvalidValueError
from skyproof.domain.sites import Customer
from skyproof.stages.deliver.keys import PREFIX, check_in_force, check_secret, hash_secret, new_key, split_token

BORN = datetime(2025, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_a_new_key_opens_and_its_secret_is_not_kept():
    token, key = new_key("acme", created_at=BORN)
    key_id, secret = split_token(token)
    assert key_id == key.key_id
    assert check_secret(key, secret) is key
    assert secret not in repr(key)
    assert key.secret_hash == hash_secret(secret)
    assert len(secret) == 64


def test_hashing_is_plain_sha256():
    # NIST's example for SHA-256: the message "abc" (FIPS 180-2, appendix B.1).
    assert hash_secret("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_archive_holds_no_secret_anywhere(archive: Archive):
    archive.customers.add(Customer("acme", "Acme"))
    token, key = new_key("acme", created_at=BORN, lifetime=DAY)
    archive.customers.add_key(key)
    with archive.engine.connect() as connection:
        row = connection.execute(sa.select(api_keys)).one()
    assert split_token(token)[1] not in str(row)
    assert archive.customers.find_key(key.key_id) == key


def test_no_two_keys_are_alike():
    made = [new_key("acme", created_at=BORN) for _ in range(200)]
    assert len({token for token, _ in made}) == len({key.key_id for _, key in made}) == 200


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: "",
        lambda token: token[:-1],
        lambda token: token + "0",
        lambda token: token + "\n",
        lambda token: token.upper(),
        lambda token: token.replace(PREFIX, "sp_test_"),
        lambda token: token.replace("_", "-"),
        lambda token: token[:20] + "é" + token[21:],
        lambda token: token * 1000,
    ],
    ids=["empty", "short", "long", "line end", "capitals", "prefix", "dashes", "foreign letter", "endless"],
)
def test_a_malformed_key_is_refused_without_repeating_it(spoil):
    token, key = new_key("acme", created_at=BORN)
    with pytest.raises(AuthenticationError, match="malformed") as caught:
        split_token(spoil(token))
    assert key.key_id not in str(caught.value)


def test_a_wrong_secret_and_an_unknown_key_get_the_same_words():
    _, key = new_key("acme", created_at=BORN)
    with pytest.raises(AuthenticationError) as wrong:
        check_secret(key, "0" * 64)
    with pytest.raises(AuthenticationError) as unknown:
        check_secret(None, "0" * 64)
    assert str(wrong.value) == str(unknown.value)
    with pytest.raises(AuthenticationError):
        check_secret(None, "")  # whose hash stands in for that of an unknown key


def test_a_key_is_in_force_until_the_instant_it_expires():
    _, key = new_key("acme", created_at=BORN, lifetime=DAY)
    assert check_in_force(key, BORN + DAY - timedelta(seconds=1)) is key
    with pytest.raises(AuthenticationError, match="expired"):
        check_in_force(key, BORN + DAY)
    _, forever = new_key("acme", created_at=BORN)
    assert check_in_force(forever, BORN + 10_000 * DAY) is forever


def test_a_revoked_key_opens_nothing_from_that_instant_on():
    _, key = new_key("acme", created_at=BORN)
    revoked = replace(key, revoked_at=BORN + DAY)
    assert check_in_force(revoked, BORN) is revoked
    with pytest.raises(AuthenticationError, match="revoked"):
        check_in_force(revoked, BORN + DAY)


def test_revoking_twice_keeps_the_first_instant(archive: Archive):
    archive.customers.add(Customer("acme", "Acme"))
    _, key = new_key("acme", created_at=BORN)
    archive.customers.add_key(key)
    for days in (1, 2):
        archive.customers.revoke_key(key.key_id, BORN + days * DAY)
    kept = archive.customers.find_key(key.key_id)
    assert kept is not None
    assert astuple(kept) == astuple(replace(key, revoked_at=BORN + DAY))


@pytest.mark.parametrize("lifetime", [timedelta(0), -DAY])
def test_a_lifetime_that_is_over_before_it_begins_is_refused(lifetime):
    with pytest.raises(InvalidValueError, match="cannot live"):
        new_key("acme", created_at=BORN, lifetime=lifetime)
