"""What a plan allows: headers on every answer, 429 beyond it, on the hot path as on the ordinary one."""

from __future__ import annotations

import re

import pytest

from skyproof.archive.archive import Archive
from skyproof.domain.accounts import Plan
from skyproof.domain.sites import Customer
from tests.surfaces.api.served import calling, fill
from tests.surfaces.api.test_problems import check_problem

SMALL = {"standard": Plan(3, 1000, 10, 1, 1), "tiny": Plan(100, 2, 10, 1, 1)}


def still() -> float:
    """The tenth second of a minute, for ever."""
    return 1_750_000_210.0


def left(answer) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"[rt]=(\d+)", answer.headers["ratelimit"])))


def test_answers_say_what_is_left_and_what_is_beyond_is_refused(sqlite_archive: Archive):
    served = fill(sqlite_archive)
    with calling(sqlite_archive, served.tokens, wall=still, plans=SMALL) as ask:
        first = ask("/v1/sites")
        assert first.headers["ratelimit-policy"] == '"default";q=3;w=60, "daily";q=1000;w=86400'
        assert left(first) == (2, 50, 999, 86400 - 1_750_000_210 % 86400)
        assert left(ask("/v1/forecast?site=nowhere&hourly=x"))[0] == 1  # what is wrong counts as well
        assert left(ask.forecast())[0] == 0
        for answer in (ask("/v1/sites"), ask.forecast(), ask("/v1/usage")):
            problem = check_problem(answer, 429, "quota")
            assert answer.headers["retry-after"] == "50"
            assert "for this minute" in problem["detail"]
            assert left(answer)[0] == 0
        # Another key of the same customer has no quota of its own; another customer has.
        check_problem(ask("/v1/sites", key="reader"), 429, "quota")
        assert ask("/v1/sites", key="bolt").status_code == 200


@pytest.mark.parametrize("key", [None, "expired", "revoked", "scopeless"])
def test_what_opens_nothing_is_not_counted(sqlite_archive: Archive, key):
    served = fill(sqlite_archive)
    with calling(sqlite_archive, served.tokens, wall=still, plans=SMALL) as ask:
        for _ in range(5):
            assert "ratelimit" not in ask("/v1/sites", key=key).headers
        assert ask("/v1/sites").status_code == 200


def test_the_hot_path_counts_like_the_ordinary_one(sqlite_archive: Archive):
    served = fill(sqlite_archive)
    with calling(sqlite_archive, served.tokens, wall=still, plans=SMALL, refresh_s=1e9, remember_keys_s=1e9) as ask:
        assert [left(ask.forecast())[0] for _ in range(3)] == [2, 1, 0]
        receipts = sqlite_archive.deliveries.count()
        check_problem(ask.forecast(), 429, "quota")
        assert sqlite_archive.deliveries.count() == receipts


def test_counts_outlive_the_process_and_are_told(sqlite_archive: Archive):
    served = fill(sqlite_archive)
    with calling(sqlite_archive, served.tokens, wall=still, plans=SMALL) as ask:
        assert [ask("/v1/sites").status_code for _ in range(4)] == [200, 200, 200, 429]
    with calling(
        sqlite_archive, served.tokens, wall=still, plans=SMALL | {"standard": Plan(50, 1000, 10, 1, 1)}
    ) as ask:
        usage = ask("/v1/usage").json()
        assert usage["days"] == [{"day": "2025-06-15", "requests": 3, "refused": 1}]
        assert (usage["plan"], usage["requests_per_minute"]) == ("standard", 50)
        assert ask("/v1/usage", key="bolt").json()["days"] == []


def test_a_change_of_plan_counts_once_the_key_is_looked_up_again(sqlite_archive: Archive):
    served = fill(sqlite_archive)
    with calling(sqlite_archive, served.tokens, wall=still, plans=SMALL) as ask:
        assert left(ask("/v1/sites"))[0] == 2
        sqlite_archive.customers.add(Customer("acme", "Acme", "tiny"))
        assert left(ask("/v1/sites"))[:1] == (98,)
        problem = check_problem(ask("/v1/sites"), 429, "quota")
        assert "for this day" in problem["detail"]
