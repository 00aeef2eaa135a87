"""Settings: typed, refused when unknown, environment over file, written whole."""

import pytest

from skyproof.cycle.settings import FILE_NAME, Settings, load_settings, parse_settings, save_settings
from skyproof.domain.errors import InvalidValueError, UnreadableFileError


def test_an_empty_home_has_the_defaults(tmp_path):
    assert load_settings(tmp_path, environment={}) == Settings()


def test_settings_written_are_read_back(tmp_path):
    changed = Settings(port=9090, variables=("temperature_2m",))
    save_settings(tmp_path, changed)
    assert load_settings(tmp_path, environment={}) == changed
    assert not list(tmp_path.glob("*.tmp"))


def test_environment_wins_over_the_file_and_overrides_over_both(tmp_path):
    save_settings(tmp_path, Settings(port=9090))
    environment = {"SKYPROOF_PORT": "9191", "SKYPROOF_HOME": "elsewhere"}
    assert load_settings(tmp_path, environment=environment).port == 9191
    assert load_settings(tmp_path, environment=environment, port=9292, host=None).port == 9292


def test_an_unknown_setting_is_refused_by_name():
    with pytest.raises(InvalidValueError, match="horizon_days"):
        parse_settings({"horizon_days": 5})


@pytest.mark.parametrize(
    ("text", "message"), [("- a\n- b\n", "list"), ("{", "cannot be read"), ("x" * 200_000, "larger")]
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, message):
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(UnreadableFileError, match=message):
        load_settings(tmp_path, environment={})


def test_leads_follow_step_and_horizon_unless_given():
    assert Settings(step_hours=12, horizon_hours=48).lead_hours == (12, 24, 36, 48)
    assert Settings(leads_hours=(24, 48)).lead_hours == (24, 48)


@pytest.mark.parametrize("leads", [[24, 12], [24, 24], [0, 6], [6, 9], [390]])
def test_leads_that_no_observation_would_meet_are_refused(leads):
    with pytest.raises(InvalidValueError, match="leads_hours"):
        parse_settings({"leads_hours": leads})


def test_every_setting_has_a_help_text():
    assert all(field.description for field in Settings.model_fields.values())
