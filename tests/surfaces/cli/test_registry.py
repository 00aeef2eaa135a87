"""Sites, customers, keys, sources, releases: what goes in is what comes out, for people and for machines."""

from __future__ import annotations

import json
import logging
import re

import pytest

from skyproof.stages.deliver.keys import hash_secret, split_token

REGISTRY = (
    ("site", "list"), ("customer", "list"), ("key", "list", "acme"), ("source", "list"), ("release", "list"), ("doctor",),
)  # fmt: skip


@pytest.mark.parametrize("words", REGISTRY, ids=" ".join)
def test_json_is_all_of_standard_output_before_or_after_the_command(prepared, call, words):
    after, before = call(prepared, *words, "--json"), call(prepared, "--json", *words)
    assert after.code == before.code == 0
    assert after.err == before.err == ""
    assert isinstance(after.data, dict if words == ("doctor",) else list)
    assert after.data == before.data


@pytest.mark.parametrize("words", REGISTRY, ids=" ".join)
def test_people_get_a_table_and_no_traces_of_the_terminal(prepared, call, words):
    shown = call(prepared, *words)
    assert (shown.code, shown.err) == (0, "")
    assert "\x1b" not in shown.out
    assert shown.out.strip()
    with pytest.raises(json.JSONDecodeError):
        _ = shown.data


@pytest.mark.parametrize("words", [words for words in REGISTRY if "acme" not in words], ids=" ".join)
def test_an_empty_home_has_empty_lists(empty_home, call, words):
    found = call(empty_home, *words, "--json")
    assert found.code == 0
    rows = found.data["findings"] if words == ("doctor",) else found.data
    assert [row for row in rows if row.get("kind") != "low_disk"] == []


def test_a_site_added_is_listed_and_can_be_changed(home, call):
    words = ("site", "add", "harbour", "--latitude", "47.4", "--longitude", "8.5", "--elevation", 410)
    added = call(home, *words, "--timezone", "Europe/Zurich", "--name", "Harbour", "--json").data
    assert added in call(home, "site", "list", "--json").data
    assert added["timezone"] == "Europe/Zurich"
    call(home, *words, "--name", "New harbour", "--customer", "acme")
    (changed,) = (site for site in call(home, "site", "list", "--json").data if site["site_id"] == "harbour")
    assert (changed["name"], changed["timezone"], changed["customer_id"]) == ("New harbour", "UTC", "acme")
    assert "learn a release" in call(home, *words).out


def test_names_with_brackets_are_shown_as_they_are(home, call):
    assert call(home, "customer", "add", "bolt", "--name", "[/red] [bold]Bolt[/bold]").code == 0
    shown = call(home, "customer", "list").out
    assert "[/red] [bold]Bolt[/bold]" in shown
    assert "Acme [harbour]" in shown


def test_sources_show_their_newest_cycle_as_of_an_instant(home, call):
    now, then = (call(home, "source", "list", "--json", *more).data for more in ((), ("--as-of", "2025-01-10")))
    assert [source["source_id"] for source in now] == ["det", "ens"]
    assert now[1]["cycles"] == 34
    assert then[1]["cycles"] == 9
    assert then[1]["newest"]["init_time"].startswith("2025-01-09T00:00:00")
    assert call(home, "source", "list", "--json", "--as-of", "2024-01-01").data[0]["newest"] is None


def test_releases_are_listed_as_of_an_instant_and_shown(home, call):
    (release,) = call(home, "release", "list", "--json").data
    assert call(home, "release", "list", "--json", "--as-of", "2025-01-05T00:00Z").data == []
    shown = call(home, "release", "show", release["release_id"], "--json").data
    assert shown == release
    assert release["release_id"] in call(home, "release", "show", release["release_id"]).out


def test_a_key_is_shown_once_and_only_its_hash_is_kept(home, call, caplog):
    caplog.set_level(logging.DEBUG)
    made = call(home, "key", "create", "acme", "--days", 30, "--json")
    token = made.data["key"]
    key_id, secret = split_token(token)
    assert made.out.count(secret) == 1
    assert made.err == ""
    assert secret not in caplog.text
    (kept,) = call(home, "key", "list", "acme", "--json").data
    assert kept["key_id"] == key_id
    assert "secret_hash" not in kept
    for words in REGISTRY:
        for form in ((), ("--json",)):
            told = call(home, *words, *form)
            assert secret not in told.out + told.err
            assert hash_secret(secret) not in told.out + told.err
    held = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert hash_secret(secret).encode() in held
    assert secret.encode() not in held


def test_people_get_the_key_on_a_line_of_its_own(home, call):
    shown = call(home, "key", "create", "acme")
    assert re.search(r"^sp_live_[0-9a-f]{16}_[0-9a-f]{64}$", shown.out, re.MULTILINE), (
        "it must not be broken to be copied"
    )
    assert "cannot be shown again" in shown.out


def test_a_key_revoked_is_listed_as_such(home, call):
    key_id = call(home, "key", "create", "acme", "--json").data["key_id"]
    assert call(home, "key", "revoke", key_id, "--json").data == {"revoked": key_id}
    (kept,) = call(home, "key", "list", "acme", "--json").data
    assert kept["revoked_at"] is not None
    assert "revoked" in call(home, "key", "list", "acme").out


def test_a_databases_password_is_never_shown(home, call, monkeypatch):
    for url in (
        "postgresql://me:hush-hush@127.0.0.1:1/none",
        "postgresql://127.0.0.1:1/none?user=me&password=hush-hush",
        "nonsense://me:hush-hush@there",
    ):
        monkeypatch.setenv("SKYPROOF_DATABASE_URL", url)
        for words in (("doctor",), ("doctor", "--json"), ("site", "list"), ("site", "list", "--json")):
            told = call(home, *words)
            assert told.code != 0
            assert "hush-hush" not in told.out + told.err
