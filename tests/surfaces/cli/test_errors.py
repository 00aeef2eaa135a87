"""How an invocation ends when it cannot do what was asked: one line, a hint, and an exit code that means something."""

from __future__ import annotations

import json
import re

import pytest
import typer

from skyproof.domain import errors
from skyproof.domain.errors import SkyproofError
from skyproof.surfaces.cli import registry
from skyproof.surfaces.cli.app import EXIT_CODES

#: Words, exit code, kind of error, and what its message says.
WRONG = [
    (("site", "add", "Über", "--latitude", 1, "--longitude", 1), 2, "invalid_value", "not an identifier"),
    (("site", "add", "x", "--latitude", 91, "--longitude", 1), 2, "invalid_value", "latitude 91"),
    (("site", "add", "x", "--latitude", "nan", "--longitude", 1), 2, "invalid_value", "latitude nan"),
    (("site", "add", "x", "--latitude", 1, "--longitude", 181), 2, "invalid_value", "longitude 181"),
    (("site", "add", "x", "--latitude", 1, "--longitude", 1, "--elevation", 9e9), 2, "invalid_value", "elevation"),
    (("site", "add", "x", "--latitude", 1, "--longitude", 1, "--timezone", "Mars/Base"), 2, "unknown_name", "time zone"),
    (("site", "add", "x", "--latitude", 1, "--longitude", 1, "--timezone", "../etc"), 2, "unknown_name", "time zone"),
    (("site", "add", "x", "--latitude", 1, "--longitude", 1, "--customer", "nobody"), 2, "unknown_name", "customer"),
    (("customer", "add", "[/red]"), 2, "invalid_value", r"'\[/red\]' is not an identifier"),
    (("key", "create", "nobody"), 2, "unknown_name", "customer 'nobody' is not known"),
    (("key", "list", "nobody"), 2, "unknown_name", "customer 'nobody' is not known"),
    (("key", "revoke", "0" * 16), 2, "unknown_name", "key '0{16}' is not known"),
    (("key", "create", "acme", "--days", 0), 2, "usage", "days"),
    (("release", "show", "rel_none"), 2, "unknown_name", "release 'rel_none' is not known"),
    (("source", "list", "--as-of", "yesterday"), 2, "invalid_value", "as-of 'yesterday' is not an ISO 8601"),
    (("source", "list", "--as-of", "2025-02-30"), 2, "invalid_value", "not an ISO 8601"),
    (("source", "list", "--as-of", "0001-01-01T00:00+14:00"), 2, "invalid_value", "outside the years"),
    (("source", "list", "--as-of", "2" * 50), 2, "invalid_value", "50 characters"),
    (("forecast", "--issue-time", "noon"), 2, "invalid_value", "issue time 'noon'"),
    (("forecast", "--issue-time", "2025-01-31T12:00Z", "--release", "rel_none"), 2, "unknown_name", "release"),
    (("forecast", "--issue-time", "2024-01-01"), 4, "no_release", "no release is stable by then"),
    (("backtest", "--from", "2025-02-02", "--to", "2025-02-01"), 2, "invalid_value", "lies before"),
    (("learn", "--as-of", "2024-01-01"), 4, "not_available", ""),
    (("verify", "--as-of", "2024-01-01"), 4, "no_release", "no release"),
    (("scorecard", "--out", "card.pdf"), 2, "invalid_value", r"'\.pdf'"),
    (("scorecard", "--as-of", "2024-01-01"), 4, "no_release", "no release"),
    (("demo", "--no-serve"), 2, "invalid_value", "no sandbox"),
    (("demo", "--profile", "huge"), 2, "invalid_value|unknown_name", ""),
    (("ingest", "nowhere.yaml"), 2, "usage", "nowhere.yaml"),
    (("serve", "--port", 70000), 2, "usage", "65535"),
    (("fly",), 2, "usage", "No such command 'fly'"),
    (("site", "add", "x"), 2, "usage", "Missing option"),
    (("site", "list", "--colour"), 2, "usage", "--colour"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "kind", "message"), WRONG, ids=[" ".join(map(str, w[0])) for w in WRONG])
def test_a_wrong_invocation_says_in_one_line_what_is_wrong(prepared, call, words, code, kind, message):
    told = call(prepared, *words)
    assert (told.code, told.out) == (code, "")
    first, *rest = told.err.splitlines()
    assert re.search(f"^error: .*{message}", first)
    assert len(rest) <= 1
    assert all(line.startswith("hint:  ") for line in rest)
    in_json = call(prepared, *words, "--json")
    assert (in_json.code, in_json.out) == (code, "")
    complaint = json.loads(in_json.err)["error"]
    assert complaint.keys() == {"kind", "message", "hint"}
    assert re.fullmatch(kind, complaint["kind"])
    assert re.search(message, complaint["message"])


def all_errors(kind=SkyproofError):
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from all_errors(below)


@pytest.mark.parametrize("error", list(all_errors()), ids=lambda error: error.kind)
def test_every_kind_of_error_ends_with_the_code_of_its_branch(prepared, call, monkeypatch, error):
    def fail(*_, **__):
        raise error("it broke\nin two lines", hint="mend it")

    monkeypatch.setattr(registry, "create_key", fail)
    wanted = next((code for kind, code in EXIT_CODES if issubclass(error, kind)), 1)
    told = call(prepared, "key", "create", "acme")
    assert (told.code, told.out) == (wanted, "")
    assert told.err == "error: it broke in two lines\nhint:  mend it\n"
    assert json.loads(call(prepared, "key", "create", "acme", "--json").err)["error"]["kind"] == error.kind


def test_the_codes_are_those_the_manual_names():
    named = {kind.kind: code for kind, code in EXIT_CODES}
    assert named == {"input": 2, "access": 3, "not_available": 4, "store": 5}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, typer.Abort])
def test_an_interrupted_command_ends_with_130_and_says_how_to_go_on(home, call, monkeypatch, stop):
    def interrupt(*_, **__):
        raise stop

    monkeypatch.setattr(registry, "create_key", interrupt)
    told = call(home, "key", "create", "acme")
    assert told.code == 130
    assert told.err.strip().splitlines()[-2:] == ["interrupted", "hint:  run the same command again to go on"]
    complaint = call(home, "key", "create", "acme", "--json").err.strip().splitlines()[-1]
    assert json.loads(complaint)["error"]["kind"] == "interrupted"


def test_long_messages_are_not_broken_into_lines(home, call):
    told = call(home, "site", "add", "x" * 70, "--latitude", 1, "--longitude", 1)
    assert len(told.err.splitlines()) == 2
    assert len(told.err.splitlines()[0]) > 80


def test_a_damaged_database_is_the_stores_fault(home, call):
    (home / "archive.sqlite").write_bytes(b"this is no database" * 1000)
    told = call(home, "site", "list", "--json")
    assert told.code == 5
    assert json.loads(told.err)["error"]["kind"] == "store_unavailable"


@pytest.mark.parametrize("words", [("site", "list"), ("demo", "--no-serve")], ids=" ".join)
def test_a_home_that_cannot_be_made_is_the_stores_fault(tmp_path, call, words):
    (tmp_path / "file").write_text("not a folder")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        told = call(home, *words)
        assert told.code == 5
        assert told.err.startswith("error: the home")


def test_bad_settings_are_wrong_input_for_every_command(home, call):
    (home / "skyproof.yaml").write_text("horizon_days: 5\nport: 99999\n")
    told = call(home, "site", "list")
    assert told.code == 2
    assert "horizon_days" in told.err
    assert "port" in told.err
    (home / "skyproof.yaml").write_text("a: [1\nb: }")
    assert call(home, "site", "list").code == 2
    assert len(call(home, "site", "list").err.splitlines()) <= 2
