"""The commands of a forecast's life, from learning to the scorecard, on a small prepared home."""

from __future__ import annotations

KNOWN = ("--as-of", "2025-02-05")


def test_learn_forecast_backtest_verify_and_scorecard_speak_json(home, call, tmp_path):
    release = call(home, "learn", "--as-of", "2025-02-02T12:00Z", "--since", "2025-01-01", "--json").data
    assert release["release_id"].startswith("rel_")
    run = call(home, "forecast", "--issue-time", "2025-02-03T12:00Z", "--json").data
    assert run["release_id"] == release["release_id"]
    assert run["regime"]["regime_id"]
    past = call(home, "backtest", "--from", "2025-02-02T12:00Z", "--to", "2025-02-03T12:00Z", "--json").data
    assert past[-1]["run_id"] == run["run_id"], "live and past go one path"
    report = call(home, "verify", *KNOWN, "--json").data
    assert report["pairs"] > 0
    assert call(home, "verify", *KNOWN, "--json").data["days_scored"] == 0, "nothing is new"
    card = call(home, "scorecard", *KNOWN, "--json").data
    assert card["release_id"] == release["release_id"]
    assert {row["variable"] for row in card["rows"]} == {"temperature_2m", "wind_speed_10m", "precipitation"}


def test_the_same_learning_gives_the_same_release(home, call):
    words = ("learn", "--as-of", "2025-01-31T12:00Z", "--since", "2025-01-01", "--json")
    assert call(home, *words).data["release_id"] == call(home, *words).data["release_id"]


def test_people_get_tables(home, call, tmp_path):
    assert "regime" in call(home, "forecast", "--issue-time", "2025-02-03T12:00Z").out
    assert "1 run" in call(home, "backtest", "--from", "2025-02-03", "--to", "2025-02-04").out
    assert "pairs" in call(home, "verify", *KNOWN).out
    assert "climatology" in call(home, "scorecard", *KNOWN).out


def test_a_scorecard_is_written_as_page_or_picture_or_not_at_all(home, call, tmp_path):
    call(home, "verify", *KNOWN)
    for name, begins in (("card.html", b"<!"), ("card.png", b"\x89PNG")):
        told = call(home, "scorecard", *KNOWN, "--out", tmp_path / name)
        assert told.code == 0
        assert str(tmp_path / name) in told.out.replace("\n", "")
        assert (tmp_path / name).read_bytes().startswith(begins)
    told = call(home, "scorecard", *KNOWN, "--out", tmp_path / "none" / "card.html")
    assert (told.code, told.out) == (2, "")
    assert "cannot be written" in told.err


def test_progress_goes_to_standard_error_and_answers_to_standard_output(home, call):
    told = call(home, "backtest", "--from", "2025-02-02", "--to", "2025-02-04")
    assert "/2" in told.err
    assert "/2" not in told.out
    assert call(home, "backtest", "--from", "2025-02-02", "--to", "2025-02-04", "--json").err == ""
