"""Which experts the product asks: one list for every table and every home, decided by what the cases hold."""

from __future__ import annotations

from collections.abc import Callable

from skyproof.cycle.plugins import load_experts
from skyproof.domain.cases import Cases
from skyproof.domain.protocols import CaseExpert, RecordModel
from skyproof.stages.forecast.case_baselines import CaseClimatology, CasePersistence, CaseRaw
from skyproof.stages.forecast.climatology import ClimatologyModel
from skyproof.stages.forecast.persistence import PersistenceModel

#: The kind that learns a business of hundreds of sites within minutes.
QUICK_KINDS = ("emos",)
#: Cases of a variable (issue times x leads x sites) up to which all kinds learn within minutes, and in a few GB.
MOST_FOR_ALL_KINDS = 2_000_000

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


def kinds_to_learn(named: tuple[str, ...], cases: int) -> tuple[str, ...]:
    """The kinds to make a release of: those named, or as many as the size of the history allows (none named is all).

    Args:
        named: in the settings.
        cases: of a variable.
    """
    return named or (() if cases <= MOST_FOR_ALL_KINDS else QUICK_KINDS)


def table_experts(cases: Cases) -> tuple[CaseExpert, ...]:
    """The experts for a table, and the baselines that an archive would have as models of its record and as raw sources."""
    raw = (CaseRaw(source) for source in cases.members)
    return (CaseClimatology(), CasePersistence(), *source_experts()(cases), *raw)
