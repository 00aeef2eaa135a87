"""Which experts the product asks: one list for every table and every home, decided by what the cases hold."""

from __future__ import annotations

from skyproof.domain.cases import Cases
from skyproof.domain.protocols import CaseExpert
from skyproof.stages.forecast.boosting import BoostingExpert
from skyproof.stages.forecast.case_baselines import CaseClimatology, CasePersistence, CaseRaw
from skyproof.stages.forecast.emos_expert import EmosExpert
from skyproof.stages.forecast.forest import ForestExpert
from skyproof.stages.forecast.isotonic import IsotonicExpert
from skyproof.stages.forecast.joint_emos_expert import JointEmosExpert


def make_experts(cases: Cases) -> tuple[CaseExpert, ...]:
    """The experts for these cases, baselines last."""
    experts: list[CaseExpert] = [
        CaseClimatology(),
        CasePersistence(),
        ForestExpert(errors=False),
        ForestExpert(errors=True),
        BoostingExpert(errors=False),
    ]
    if cases.members:
        experts += [BoostingExpert(errors=True), IsotonicExpert()]
    experts += [EmosExpert(source) for source in cases.members]
    if len(cases.members) > 1:
        experts.append(JointEmosExpert())
    return (*experts, *(CaseRaw(source) for source in cases.members))
