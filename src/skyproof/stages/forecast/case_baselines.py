"""What every model must beat: climatology, persistence and the raw source, as experts over cases."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases
from skyproof.science.calendar import day_of_year, hour_of_day
from skyproof.science.quantile_functions import clip_to_limits

Floats = NDArray[Any]
#: Half width of the window of the year that is one season, in days, and the record from which seasons are told apart.
_SEASON_DAYS, _SEASONAL_RECORD_DAYS = 40.0, 300.0
#: A site with fewer observations of its own borrows from all sites, so many of them.
_FEWEST_OWN, _MOST_BORROWED = 25, 4000


class CaseClimatology:
    """Quantiles of what was observed before at the site, at the hour, in the season; implements ``CaseExpert``."""

    name = "climatology"

    def __init__(self) -> None:
        self._values: Floats = np.empty(0)
        self._days: Floats = np.empty(0)
        self._hours: Floats = np.empty(0)
        self._sites: NDArray[np.intp] = np.empty(0, dtype=np.intp)
        self._count = 0
        self._record_days = 0.0

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """Keep each observation known, once."""
        known = cases.known(as_of)
        valid = np.broadcast_to(cases.valid_times[..., None], known.shape)[known]
        site = np.broadcast_to(np.arange(known.shape[2]), known.shape)[known]
        if not len(valid):
            self._values = np.empty(0)
            return
        keys = np.stack([valid.astype(np.int64), site])
        _, first = np.unique(keys, axis=1, return_index=True)
        # Not the span of the days of the year: from December to February that is a year, too.
        self._record_days = float((valid.max() - valid.min()) / np.timedelta64(86_400, "s"))
        self._values = cases.observed[known][first].astype(np.float64)
        self._days, self._hours = day_of_year(valid[first]), hour_of_day(valid[first])
        self._sites, self._count = site[first], known.shape[2]

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """The same for all issue times but for the season."""
        result = np.full((*cases.observed.shape, len(levels)), np.nan, dtype=np.float32)
        if not len(self._values):
            return result
        seasonal = self._record_days >= _SEASONAL_RECORD_DAYS
        hour = hour_of_day(cases.valid_times)
        season = np.floor(day_of_year(cases.valid_times) / 10) * 10 + 5 if seasonal else np.zeros(hour.shape)
        for now, days in {(float(h), float(d)) for h, d in zip(hour.ravel(), season.ravel(), strict=True)}:
            use = self._hours == now
            if seasonal:
                away = np.abs(self._days - days)
                use &= np.minimum(away, 365.25 - away) <= _SEASON_DAYS
            table = self._by_site(use if use.any() else np.ones_like(use), levels)
            result[(hour == now) & (season == days)] = table
        return result

    def _by_site(self, use: NDArray[np.bool_], levels: NDArray[np.float64]) -> Floats:
        values, sites = self._values[use], self._sites[use]
        order = np.argsort(sites, kind="stable")
        values, sites = values[order], sites[order]
        edges = np.searchsorted(sites, np.arange(self._count + 1))
        thin = np.linspace(0, len(values) - 1, min(len(values), _MOST_BORROWED)).astype(np.intp)
        everyone = np.quantile(values[thin], levels)
        table = np.empty((self._count, len(levels)))
        for site, (start, end) in enumerate(pairwise(edges)):
            own = end - start
            mine = np.quantile(values[start:end], levels) if own else everyone
            share = min(own / _FEWEST_OWN, 1.0)
            table[site] = share * mine + (1 - share) * everyone
        return table

    def state(self) -> Mapping[str, NDArray[Any]]:
        """The observations kept."""
        return {
            "values": self._values,
            "days": self._days,
            "hours": self._hours,
            "sites": self._sites,
            "count": np.array([self._count]),
            "record_days": np.array([self._record_days]),
        }

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take them back."""
        self._values, self._days, self._hours = state["values"], state["days"], state["hours"]
        self._sites, self._count = state["sites"], int(state["count"][0])
        self._record_days = float(state["record_days"][0])


class CasePersistence:
    """The last observation of the same hour, with the errors that had before; implements ``CaseExpert``."""

    name = "persistence"

    def __init__(self) -> None:
        self._errors: list[Floats] = []

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """Keep the errors of each lead."""
        error = np.where(cases.known(as_of), cases.observed - _latest(cases), np.nan)
        self._errors = []
        for lead in range(error.shape[1]):
            known = np.sort(error[:, lead][np.isfinite(error[:, lead])])
            thin = np.linspace(0, len(known) - 1, min(len(known), 2000)).astype(np.intp)
            self._errors.append(known[thin] if len(known) else np.array([np.nan]))

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Asleep where nothing was observed lately."""
        if not self._errors:
            return np.full((*cases.observed.shape, len(levels)), np.nan, dtype=np.float32)
        spread = np.stack([np.quantile(errors, levels) for errors in self._errors])
        quantiles = (_latest(cases)[..., None] + spread[None, :, None]).astype(np.float32)
        return np.asarray(clip_to_limits(quantiles, cases.variable.lower, cases.variable.upper))

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Errors of each lead."""
        return {f"errors{lead:04d}": errors for lead, errors in enumerate(self._errors)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Take them back."""
        self._errors = [state[name] for name in sorted(state)]


class CaseRaw:
    """A source's members as they came; implements ``CaseExpert``."""

    def __init__(self, source_id: str) -> None:
        self.name = f"raw:{source_id}"
        self._source_id = source_id

    def fit(self, cases: Cases, as_of: np.datetime64) -> None:
        """There is nothing to learn."""

    def predict(self, cases: Cases, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Quantiles of the members, which are interpolated linearly (Hyndman and Fan 1996, definition 7)."""
        return np.moveaxis(np.quantile(cases.members[self._source_id], levels, axis=-1), 0, -1).astype(np.float32)

    def state(self) -> Mapping[str, NDArray[Any]]:
        """Nothing."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """There is nothing to take back."""


def _latest(cases: Cases) -> Floats:
    same_hour = cases.recent.get("observed_day")
    last = cases.recent.get("observed_last")
    if same_hour is None or last is None:
        return np.full(cases.observed.shape, np.nan)
    return np.where(np.isfinite(same_hour), same_hour, last)
