"""Plans, scopes and corrections from the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import yaml

from skyproof.archive.archive import Archive
from skyproof.domain.accounts import SCOPES

LATER = datetime(2100, 1, 1, tzinfo=UTC)


def test_a_plan_stays_until_another_is_given(home, call):
    assert call(home, "customer", "add", "acme", "--plan", "trial", "--json").data["plan"] == "trial"
    renamed = call(home, "customer", "add", "acme", "--name", "Acme", "--json").data
    assert renamed == {"customer_id": "acme", "name": "Acme", "plan": "trial"}
    assert call(home, "customer", "add", "new", "--json").data["plan"] == "standard"
    wrong = call(home, "customer", "add", "acme", "--plan", "golden", "--json")
    assert wrong.code == 2
    assert "trial, standard, enterprise" in wrong.out + wrong.err
    settings = yaml.safe_load((home / "skyproof.yaml").read_text())
    golden = {"requests_per_minute": 9, "requests_per_day": 99, "sites": 1, "portfolios": 1, "webhooks": 1}
    (home / "skyproof.yaml").write_text(yaml.safe_dump(settings | {"plans": {"golden": golden}}))
    assert call(home, "customer", "add", "acme", "--plan", "golden", "--json").data["plan"] == "golden"


def test_a_key_opens_what_it_is_given_and_its_making_is_in_the_audit_log(home, call):
    one = call(home, "key", "create", "acme", "--scope", "sites:write", "--scope", "forecast:read", "--json").data
    assert one["scopes"] == ["forecast:read", "sites:write"]
    assert call(home, "key", "create", "acme", "--scope", "all", "--json").data["scopes"] == list(SCOPES)
    assert call(home, "key", "create", "acme", "--scope", "everything").code == 2
    call(home, "key", "revoke", one["key_id"])
    with Archive.open(home) as archive:
        entries = [entry for _, entry in archive.audit.page("acme")]
    assert [(entry.action, entry.key_id) for entry in entries] == [
        ("key.revoked", "operator"), ("key.created", "operator"), ("key.created", "operator"),
    ]  # fmt: skip


def test_a_correction_is_published_and_listed(home, call):
    with Archive.open(home) as archive:
        run = archive.runs.newest(as_of=LATER)
    words = ("corrigendum", "add", "Rain too low", "A gauge was read in inches.")
    assert call(home, *words).code == 2  # of what?
    made = call(home, *words, "--run", run.run_id, "--variable", "precipitation", "--json").data
    (listed,) = call(home, "corrigendum", "list", "--json").data
    assert listed == made
    assert "Rain too low" in call(home, "corrigendum", "list").out
    with Archive.open(home) as archive:
        ((_, told),) = archive.notices.page("acme")
    assert (told.kind, told.data["runs"]) == ("corrigendum.published", [run.run_id])
