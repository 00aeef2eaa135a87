"""Judging sites with nothing learned from them: each fold of sites is forecast from the observations of the others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases, RolledForecasts
from skyproof.domain.errors import InvalidValueError

_FOLDS = 5


def site_folds(cases: Cases) -> Iterator[tuple[NDArray[np.bool_], Cases]]:
    """Masks of the sites left out, and the cases without the observations of those sites.

    The folds are drawn by the digest of the identifiers: the same for every machine and order of rows.

    Raises:
        InvalidValueError: there are fewer than two sites.
    """
    count = len(cases.sites)
    if count < 2:
        raise InvalidValueError(
            "evaluate.leave_out: sites needs at least two sites, the table has one", hint="take leave_out away"
        )
    drawn = sorted(range(count), key=lambda k: hashlib.sha256(cases.sites[k].place_id.encode()).digest())
    folds = min(_FOLDS, count)
    for fold in range(folds):
        out = np.zeros(count, dtype=bool)
        out[drawn[fold::folds]] = True
        yield out, replace(cases, observed=np.where(out, np.float32(np.nan), cases.observed))


def join_folds(parts: Iterable[tuple[NDArray[np.bool_], RolledForecasts]]) -> RolledForecasts:
    """One set of forecasts, each site's from the fold that left it out; seconds are summed.

    Folds are taken one at a time, so that no more than two lie in memory.
    """
    joined: RolledForecasts | None = None
    fit: dict[str, float] = {}
    predict: dict[str, float] = {}
    for out, part in parts:
        joined = joined or replace(part, quantiles=part.quantiles.copy())
        joined.quantiles[:, :, :, out] = part.quantiles[:, :, :, out]
        for name in part.names:
            fit[name] = fit.get(name, 0.0) + part.fit_seconds.get(name, 0.0)
            predict[name] = predict.get(name, 0.0) + part.predict_seconds.get(name, 0.0)
    if joined is None:
        raise InvalidValueError("there is no fold to join", hint="leave out at least one site")
    return replace(joined, fit_seconds=fit, predict_seconds=predict)
