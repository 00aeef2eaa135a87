"""Corrigenda: what was delivered and later found wrong. A forecast never changes; what is wrong about it is said beside it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from skyproof.domain.errors import InvalidValueError
from skyproof.domain.variables import find_variable

_LONGEST_TITLE = 200
_LONGEST_TEXT = 5000
_MOST_NAMES = 200


@dataclass(frozen=True, slots=True)
class Corrigendum:
    """One correction. Empty ``run_ids`` or ``variables`` mean: all in the time from ``issued_from`` to ``issued_until``."""

    corrigendum_id: str
    published_at: datetime
    title: str
    text: str
    run_ids: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    issued_from: datetime | None = None
    issued_until: datetime | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.title) <= _LONGEST_TITLE or not 1 <= len(self.text) <= _LONGEST_TEXT:
            raise InvalidValueError(
                f"a corrigendum has a title of {len(self.title)} and a text of {len(self.text)} characters",
                hint=f"give 1 to {_LONGEST_TITLE}, and 1 to {_LONGEST_TEXT}",
            )
        if max(len(self.run_ids), len(self.variables)) > _MOST_NAMES:
            raise InvalidValueError(
                f"a corrigendum names more than {_MOST_NAMES} runs or variables", hint="give a time instead"
            )
        if not self.run_ids and (self.issued_from is None or self.issued_until is None):
            raise InvalidValueError(
                "a corrigendum says of neither runs nor a time that they are wrong", hint="give one of them"
            )
        if self.issued_from and self.issued_until and self.issued_from > self.issued_until:
            raise InvalidValueError(
                "the time a corrigendum speaks of ends before it begins", hint="give it the other way round"
            )
        for name in self.variables:
            find_variable(name)
