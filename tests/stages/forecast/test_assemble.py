"""From the experts' answers to one forecast: what each lead has lost decides how sure it may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import numpy as np
import pytest

from skyproof.archive.archive import Archive
from skyproof.archive.release_content import ReleaseContent
from skyproof.domain.cycles import SourceSpec
from skyproof.domain.forecasts import ForecastInputs
from skyproof.domain.reasons import NO_EXPERT_AWAKE
from skyproof.science.online_blend import BernsteinBlend
from skyproof.stages.forecast.assemble import AssembledForecast, assemble_forecast
from skyproof.stages.forecast.experts import Panel, ask_experts
from tests.stages import toy_world

LEARNED = toy_world.START + timedelta(days=36, hours=12)
LEADS = toy_world.GRID_LEADS


@dataclass(frozen=True)
class Question:
    """What a release is asked at one issue time."""

    content: ReleaseContent
    inputs: ForecastInputs
    panel: Panel

    def without(self, source_id: str, leads: slice = slice(None)) -> ForecastInputs:
        """The inputs without what one source says at some leads."""
        cases = []
        for each in self.inputs.cases:
            said = each.members[source_id].copy()
            said[:, leads] = np.nan
            cases.append(replace(each, members={**each.members, source_id: said}))
        return replace(self.inputs, cases=tuple(cases))

    def assemble(
        self,
        inputs: ForecastInputs | None = None,
        experts: np.ndarray | None = None,
        register: dict[str, SourceSpec] | None = None,
    ) -> AssembledForecast:
        inputs = inputs or self.inputs
        return assemble_forecast(
            self.content,
            BernsteinBlend(),
            self.content.blend_state,
            ask_experts(self.panel, inputs)[1] if experts is None else experts,
            inputs,
            toy_world.REGISTER if register is None else register,
        )


@pytest.fixture(scope="module")
def question(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Question]:
    with Archive.open(tmp_path_factory.mktemp("assemble")) as archive:
        toy_world.build_world(archive, days=40)
        release = toy_world.learn(archive, as_of=LEARNED)
        content = archive.releases.read(release)
        inputs = archive.inputs.gather(content.grid, content.source_ids, issue_time=LEARNED)
        yield Question(content, inputs, toy_world.wake(content))


@pytest.mark.parametrize("source_id", toy_world.SOURCES)
def test_a_source_missing_at_some_leads_counts_as_missing_there_and_only_there(
    question: Question, source_id: str
) -> None:
    whole, without = question.assemble(), question.assemble(question.without(source_id))
    partly = question.assemble(question.without(source_id, slice(2, None)))
    np.testing.assert_array_equal(partly.values.quantiles[:, :, :2], whole.values.quantiles[:, :, :2])
    np.testing.assert_array_equal(partly.values.quantiles[:, :, 2:], without.values.quantiles[:, :, 2:])
    assert (whole.regime.regime_id, without.regime.regime_id) == ("full", f"without-{source_id}")
    assert (partly.regime.regime_id, partly.regime.missing) == ("full", ())


def test_a_source_that_is_late_every_day_is_late(question: Question) -> None:
    cycle = question.inputs.cycles["ens"]
    assert cycle is not None
    # The cycle before, itself 20 h late: by the register's 5 h one should have come since.
    old = replace(
        cycle,
        init_time=cycle.init_time - timedelta(days=1),
        available_at=cycle.init_time - timedelta(hours=4),
    )
    inputs = replace(question.inputs, cycles={**question.inputs.cycles, "ens": old})
    found = question.assemble(inputs=inputs)
    assert found.regime.late == ("ens",)
    assert found.inputs[0].missed_cycles == 1
    assert found.warnings == (f"stale_source:ens since {old.init_time:%Y-%m-%dT%H:%M:%SZ}",)
    # Without a register row the pace of the product's own issue times is all there is to go by.
    assert question.assemble(inputs=inputs, register={}).inputs[0].missed_cycles == 1
    assert question.assemble(register={}).regime.late == ()


def test_a_source_that_will_come_within_its_promise_is_not_late(question: Question) -> None:
    early = replace(question.inputs, issue_time=question.inputs.issue_time.replace(hour=4))
    yesterday = {
        source_id: replace(cycle, init_time=cycle.init_time - timedelta(days=1))
        for source_id, cycle in early.cycles.items()
        if cycle is not None
    }
    found = question.assemble(inputs=replace(early, cycles=yesterday))
    # At 04 UTC the ensemble's cycle of midnight is promised for 05, the deterministic one for 03.
    assert found.regime.late == ("det",)


def test_the_lineage_tells_age_and_weight_of_each_source(question: Question) -> None:
    found = question.assemble()
    assert [entry.source_id for entry in found.inputs] == list(toy_world.SOURCES)
    assert [entry.age_hours for entry in found.inputs] == [12.0, 12.0]
    assert 0 < sum(entry.weight for entry in found.inputs) <= 1
    gone = replace(question.without("det"), cycles={**question.inputs.cycles, "det": None})
    entry = question.assemble(gone).inputs[1]
    assert (entry.quality, entry.weight, entry.init_time, entry.age_hours) == ("absent", 0, None, None)


def test_a_cell_about_which_nobody_speaks_is_missing_for_a_reason(question: Question) -> None:
    experts = ask_experts(question.panel, question.inputs)[1]
    experts[:, 1, 2, 3] = np.nan
    found = question.assemble(experts=experts)
    assert found.reasons[1, 2, 3] == NO_EXPERT_AWAKE
    assert np.isnan(found.values.quantiles[1, 2, 3]).all()
    found.reasons[1, 2, 3] = 0
    assert not found.reasons.any()


def test_no_observations_are_a_regime_and_a_warning(question: Question) -> None:
    recent = replace(question.inputs.recent, values=np.full_like(question.inputs.recent.values, np.nan))
    found = question.assemble(inputs=replace(question.inputs, recent=recent))
    assert found.regime.regime_id == "full+no-observations"
    assert found.warnings == ("no_recent_observations",)
