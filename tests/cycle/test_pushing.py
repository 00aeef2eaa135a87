"""The key of webhook secrets: made once, readable by its owner alone, the same for every process of a home."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from skyproof.cycle.pushing import make_pusher, make_timetable, read_webhook_key
from skyproof.cycle.settings import Settings
from skyproof.cycle.wiring import open_product
from skyproof.domain.errors import InvalidValueError, StoreUnavailableError


def test_a_key_is_made_once_and_kept_to_its_owner(tmp_path):
    key = read_webhook_key(tmp_path, Settings())
    assert len(key) == 32
    assert read_webhook_key(tmp_path, Settings()) == key
    assert (tmp_path / "webhook-key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["webhook-key"]


def test_processes_that_begin_together_have_one_key(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: read_webhook_key(tmp_path, Settings()), range(32)))) == 1


def test_a_key_from_elsewhere_is_read_and_never_made(tmp_path):
    named = Settings(webhook_key_file=str(tmp_path / "shared"))
    with pytest.raises(StoreUnavailableError, match="shared cannot be read"):
        read_webhook_key(tmp_path, named)
    (tmp_path / "shared").write_bytes(b"x" * 40)
    assert read_webhook_key(tmp_path, named) == b"x" * 40


def test_settings_become_a_pusher(tmp_path):
    with open_product(tmp_path, issue_every_hours=6, issue_hour_utc=3, late_after_minutes=90) as product:
        timetable = make_timetable(product.settings)
        assert (timetable.every_hours, timetable.first_hour, timetable.late_after) == (6, 3, timedelta(minutes=90))
        assert make_pusher(product).announce() == 0
    with (
        open_product(tmp_path, webhook_networks=("10.0.0.1/8",)) as product,
        pytest.raises(InvalidValueError, match=r"write it like 10\.1"),
    ):
        make_pusher(product)
