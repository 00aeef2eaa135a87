"""Which experts the product asks: one list for every table and every home, decided by what the cases hold."""

from __future__ import annotations

from collections.abc import Callable

from skyproof.cycle.plugins import load_experts
from skyproof.domain.cases import Cases
from skyproof.domain.protocols import CaseExpert, RecordModel
from skyproof.stages.forecast.case_baselines import CaseClimatology, CasePersistence, CaseRaw
from skyproof.stages.forecast.climatology import ClimatologyModel
from skyproof.stages.forecast.persistence import PersistenceModel

MakeExperts = Callable[[Cases], tuple[CaseExpert, ...]]


def usual_models() -> tuple[RecordModel, ...]:
    """Fresh models that need no source."""
    return (ClimatologyModel(), PersistenceModel())


def source_experts(kinds: tuple[str, ...] = ()) -> MakeExperts:
    """Makes fresh experts on what sources say.

    Args:
        kinds: names in the entry point group ``skyproof.experts``; all that are installed by default.

    Raises:
        UnknownNameError: nothing of that name is installed.
    """
    factories = load_experts(kinds)
    return lambda cases: tuple(expert for factory in factories for expert in factory(cases))


def table_experts(cases: Cases) -> tuple[CaseExpert, ...]:
    """The experts for a table, and the baselines that an archive would have as models of its record and as raw sources."""
    raw = (CaseRaw(source) for source in cases.members)
    return (CaseClimatology(), CasePersistence(), *source_experts()(cases), *raw)
