"""The weather stays as it is, less and less: the second forecast that needs no model.

For most variables the latest departure from climatology is damped by a factor learned for each lead, and dressed with
the errors that this made in the past. For amounts that are often zero the past is asked what followed when it was dry,
when it was wet and when it was very wet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import LEVEL_ARRAY

Floats = NDArray[Any]
#: Bounds between dry, wet and very wet, as multiples of a site's mean amount.
_CLASS_EDGES = np.array([1e-6, 2.0])
#: Errors kept to describe a lead's distribution; more change nothing visible.
_MOST_ERRORS = 20_000


def fit_persistence(departure: Floats, lead_steps: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Learn damping and errors.

    Args:
        departure: observed minus climatological mean, (valid_time, site) on a regular axis, NaN where missing.
        lead_steps: leads, in steps of that axis.

    Returns:
        ``damping`` (lead,), ``errors`` (lead, 21) in units of a site's standard deviation, ``sd`` (site,).
    """
    sd = np.sqrt(_column_mean(np.square(departure)))
    scaled = departure / np.maximum(sd, 1e-6)
    damping, errors = np.zeros(len(lead_steps)), np.zeros((len(lead_steps), len(LEVEL_ARRAY)))
    for index, step in enumerate(lead_steps):
        before, after = scaled[:-step], scaled[step:]
        both = np.isfinite(before) & np.isfinite(after)
        x, y = before[both], after[both]
        damping[index] = np.clip(np.sum(x * y) / max(float(np.sum(x * x)), 1e-9), 0.0, 1.0)
        errors[index] = _quantiles(y - damping[index] * x)
    return {"damping": damping, "errors": errors, "sd": sd}


def persistence_quantiles(state: Mapping[str, Floats], latest: Floats, mean: Floats) -> NDArray[np.float32]:
    """Quantiles (lead, site, 21) float32.

    Args:
        state: as :func:`fit_persistence` gave it.
        latest: latest departure of every site, (site,), NaN where none arrived.
        mean: climatological mean at the valid times, (lead, site).
    """
    centre = mean + state["damping"][:, None] * latest
    dressed = centre[..., None] + state["errors"][:, None, :] * state["sd"][None, :, None]
    return np.asarray(dressed, dtype=np.float32)


def fit_wet_persistence(observed: Floats, lead_steps: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Learn what follows dry, wet and very wet, for zero-inflated amounts.

    Args:
        observed: amounts, (valid_time, site), NaN where missing.
        lead_steps: leads, in steps of that axis.

    Returns:
        ``following`` (class, lead, 21) in units of a site's mean amount, ``scale`` (site,).
    """
    scale = np.maximum(_column_mean(observed), 1e-3)
    relative = observed / scale
    following = np.zeros((len(_CLASS_EDGES) + 1, len(lead_steps), len(LEVEL_ARRAY)))
    for index, step in enumerate(lead_steps):
        before, after = relative[:-step], relative[step:]
        both = np.isfinite(before) & np.isfinite(after)
        classes, y = np.digitize(before[both], _CLASS_EDGES), after[both]
        for number in range(len(following)):
            own = y[classes == number]
            following[number, index] = _quantiles(own if len(own) > 50 else y)
    return {"following": following, "scale": scale}


def wet_persistence_quantiles(state: Mapping[str, Floats], latest: Floats) -> NDArray[np.float32]:
    """Quantiles (lead, site, 21) float32 from the latest amounts, (site,), NaN where none arrived."""
    classes = np.digitize(np.nan_to_num(latest) / state["scale"], _CLASS_EDGES)
    quantiles = state["following"][classes] * state["scale"][:, None, None]
    quantiles[np.isnan(latest)] = np.nan
    return np.swapaxes(quantiles, 0, 1).astype(np.float32)


def _column_mean(values: Floats) -> Floats:
    known = np.isfinite(values)
    return np.asarray(np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1))


def _quantiles(values: Floats) -> Floats:
    if not len(values):
        return np.full(len(LEVEL_ARRAY), np.nan)
    thinned = values[:: max(len(values) // _MOST_ERRORS, 1)]
    return np.asarray(np.quantile(thinned, LEVEL_ARRAY, method="median_unbiased"))
