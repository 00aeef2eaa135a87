"""Which kinds of experts a release is made of, and compiling them ahead."""

from __future__ import annotations

import pytest

from skyproof.cycle import compile_ahead
from skyproof.cycle.experts import MOST_FOR_ALL_KINDS, kinds_to_learn, source_experts
from skyproof.cycle.settings import Settings
from skyproof.domain.variables import find_variable


def test_a_history_is_learned_by_all_kinds_unless_it_is_large_or_the_settings_name_others() -> None:
    assert kinds_to_learn((), MOST_FOR_ALL_KINDS) == ()
    assert kinds_to_learn((), MOST_FOR_ALL_KINDS + 1) == ("emos",)
    assert kinds_to_learn(("trees",), 10 * MOST_FOR_ALL_KINDS) == ("trees",)


def test_no_kind_named_is_every_kind_installed() -> None:
    cases = compile_ahead.some_cases(find_variable("temperature_2m"))
    names = {expert.name for expert in source_experts()(cases)}
    assert {"emos:all", "idr", "error_forest", "boosting"} <= names


@pytest.mark.parametrize("variable", ["temperature_2m", "wind_speed_10m", "precipitation", "relative_humidity_2m"])
def test_what_is_compiled_ahead_are_experts_and_a_blend_that_learn(variable: str) -> None:
    blended = compile_ahead.compile_learning((variable,), ("emos",))
    assert blended == {variable: True}


def test_one_process_compiles_nothing_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(method: str) -> None:
        raise AssertionError(method)

    monkeypatch.setattr(compile_ahead.multiprocessing, "get_context", never)
    with compile_ahead.compiling_ahead(Settings(workers=1)):
        pass
    with pytest.raises(AssertionError), compile_ahead.compiling_ahead(Settings(workers=2)):
        pass
