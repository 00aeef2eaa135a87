"""Ensemble model output statistics: from an ensemble's mean and spread to a calibrated distribution.

Two steps. The location is a regression per lead and site on the ensemble mean, the season and the hour, each site's
coefficients shrunk towards those of all sites together (partial pooling), so that short records do no harm. The shape
is then found per lead, for all sites together, by minimum CRPS estimation.

Sources:
    Gneiting et al. (2005), doi:10.1175/MWR2904.1 (normal); Thorarinsdottir and Gneiting (2010),
    doi:10.1111/j.1467-985X.2009.00616.x (truncated); Scheuerer and Hamill (2015), doi:10.1175/MWR-D-15-0061.1
    (censored shifted gamma).

A lead with too few pairs of its own borrows from the nearest lead that has enough; a site without any record gets what
holds for all sites.

Arrays: ``mean``, ``spread`` (standard deviation of the members), ``observed`` and ``wet`` (share of wet members) have
dims (case, lead, site); ``terms`` are the harmonics of :func:`skyproof.science.calendar.harmonics`, (case, lead, 4).
NaN cases are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science import distributions
from skyproof.science.minimise import minimise_batch

Floats = NDArray[Any]
EmosFamily = Literal["gaussian", "truncated", "censored"]

#: Pseudo-cases that hold a site's coefficients at the pooled ones: intercept, slope, season (2), hour (2). Offsets differ
#: from site to site far more than slopes do.
_SHRINKAGE = np.array([8.0, 60.0, 40.0, 40.0, 25.0, 25.0])
#: Pseudo-cases that hold a site's error variance at the pooled one.
_SCALE_SHRINKAGE = 40.0
#: Pairs per lead used to find the shape; more change the third digit and cost time in proportion.
_SHAPE_PAIRS = {"gaussian": 2000, "truncated": 2000, "censored": 800}
#: A lead with fewer pairs than this over all sites borrows its coefficients, or has none.
_FEWEST_PAIRS = 30
_SMALL = 1e-3
#: Cells (case, lead, site) worked on together: a bound on memory, 40 bytes for each predictor of each cell.
_CELLS_AT_ONCE = 2_000_000


def fit_emos(
    mean: Floats,
    spread: Floats,
    observed: Floats,
    terms: Floats,
    *,
    family: EmosFamily,
    wet: Floats | None = None,
    seasonal: bool = True,
    half_life_cases: float | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Learn EMOS coefficients for every lead and site.

    Args:
        mean: ensemble mean, (case, lead, site), oldest case first.
        spread: ensemble standard deviation, same shape; 0 for a deterministic source.
        observed: what happened, same shape and unit.
        terms: harmonics of the valid time, (case, lead, 4).
        family: shape of the distribution.
        wet: share of members above zero, same shape as ``mean``; only for ``censored``.
        seasonal: learn seasonal terms; only sound with about a year of cases.
        half_life_cases: a case this many places before the last counts half; None: all count the same.

    Returns:
        ``location`` (lead, site, 6), ``shape`` (lead, parameter), ``site_scale`` (lead, site), ``climate`` (lead, site, 2);
        NaN at leads without any pair, and everywhere when no lead has enough.
    """
    wet = np.zeros_like(mean) if wet is None else wet
    leads_at_once = max(_CELLS_AT_ONCE // max(len(mean) * mean.shape[2], 1), 1)
    parts = []
    for first in range(0, mean.shape[1], leads_at_once):
        some = [array[:, first : first + leads_at_once] for array in (mean, spread, observed, terms, wet)]
        parts.append(_fit_leads(some, family=family, seasonal=seasonal, half_life_cases=half_life_cases))
    fitted = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return _borrow(fitted, np.sum(np.isfinite(mean) & np.isfinite(spread) & np.isfinite(observed), axis=(0, 2)))


def _fit_leads(
    arrays: list[Floats], *, family: EmosFamily, seasonal: bool, half_life_cases: float | None
) -> dict[str, NDArray[np.float64]]:
    """Coefficients of some leads; each lead is a problem of its own, worked on side by side."""
    mean, spread, observed, terms, wet = arrays
    known = np.isfinite(mean) & np.isfinite(spread) & np.isfinite(observed)
    design = _design(mean, terms, seasonal=seasonal)
    age = np.arange(len(mean))[::-1, None, None]
    counted = known * (1.0 if half_life_cases is None else 0.5 ** (age / half_life_cases))
    design, filled = np.where(known[..., None], design, 0.0), np.where(known, observed, 0.0)
    location, inflation = _fit_location(design, filled, counted)
    # Errors on new cases are larger than those of the fit; the distribution must describe the former.
    residual = np.where(known, filled - np.einsum("clsk,lsk->cls", design, location), 0.0) * inflation
    centre = filled - residual
    site_scale = _fit_site_scale(residual, counted)
    climate = _fit_climate(mean, observed, known)
    chosen = _choose_pairs(known, _SHAPE_PAIRS[family])
    filled_wet = np.nan_to_num(wet)
    picked = [_take(array, chosen) for array in (centre, np.nan_to_num(spread), np.nan_to_num(observed), filled_wet)]
    picked_mean = _take(np.nan_to_num(mean), chosen)
    site = chosen[1]
    weight = _take(counted, chosen)
    by_site = {
        "site_scale": np.take_along_axis(site_scale, site, axis=1),
        "climate": np.take_along_axis(climate, site[..., None], axis=1),
    }

    def objective(shape: NDArray[np.float64]) -> NDArray[np.float64]:
        parameters = _parameters(
            family, shape, mean=picked_mean, centre=picked[0], spread=picked[1], wet=picked[3], by_site=by_site
        )
        score = _CRPS[family](picked[2], *parameters)
        return np.asarray(np.sum(weight * score, axis=1) / np.maximum(weight.sum(axis=1), 1e-9))

    start = np.tile(_START[family], (mean.shape[1], 1))
    if family != "censored":
        start[:, -2] = 0.5 * np.log(np.maximum(_mean_square(residual, counted), 1e-4))
    shape = minimise_batch(objective, start)
    return {"location": location, "shape": shape, "site_scale": site_scale, "climate": climate}


def _borrow(fitted: dict[str, NDArray[np.float64]], pairs: NDArray[np.intp]) -> dict[str, NDArray[np.float64]]:
    """Give leads with few pairs the coefficients of the nearest lead with enough; those without any pair get NaN."""
    enough = np.flatnonzero(pairs >= _FEWEST_PAIRS)
    if not len(enough):
        return {name: np.full_like(array, np.nan) for name, array in fitted.items()}
    nearest = enough[np.abs(np.arange(len(pairs))[:, None] - enough).argmin(axis=1)]
    borrowed = {name: array[nearest] for name, array in fitted.items()}
    for array in borrowed.values():
        array[pairs == 0] = np.nan
    return borrowed


def emos_quantiles(
    coefficients: Mapping[str, Floats],
    mean: Floats,
    spread: Floats,
    terms: Floats,
    *,
    family: EmosFamily,
    wet: Floats | None = None,
    seasonal: bool = True,
) -> NDArray[np.float32]:
    """Calibrated quantiles for one forecast, or for many at once.

    Args:
        coefficients: as :func:`fit_emos` gave them, leads already chosen: leading dims (lead, site).
        mean: (..., lead, site); NaN where the source is absent.
        spread: (..., lead, site).
        terms: (..., lead, 4).
        family: as learned.
        wet: (..., lead, site), for ``censored``.
        seasonal: as learned.

    Returns:
        (..., lead, site, 21) float32, NaN where ``mean`` or the coefficients are missing.
    """
    design = _design(mean, terms, seasonal=seasonal)
    centre = np.einsum("...lsk,lsk->...ls", design, coefficients["location"])
    known = np.isfinite(centre) & np.isfinite(spread)
    wet_share = np.zeros_like(mean) if wet is None else np.nan_to_num(wet)
    by_site = {"site_scale": coefficients["site_scale"], "climate": coefficients["climate"]}
    shape = np.where(np.isfinite(coefficients["shape"]), coefficients["shape"], 0.0)
    parameters = _parameters(
        family,
        shape,
        mean=np.nan_to_num(mean),
        centre=np.where(known, centre, 1.0),
        spread=np.nan_to_num(spread),
        wet=wet_share,
        by_site=by_site,
    )
    quantiles = _QUANTILES[family](*parameters, LEVEL_ARRAY)
    return np.where(known[..., None], quantiles, np.nan).astype(np.float32)


def _design(mean: Floats, terms: Floats, *, seasonal: bool) -> Floats:
    columns = np.empty((*mean.shape, 6))
    columns[..., 0] = 1.0
    columns[..., 1] = mean
    columns[..., 2:] = terms[..., None, :]
    if not seasonal:
        columns[..., 2:4] = 0.0
    return columns


def _fit_location(design: Floats, observed: Floats, counted: Floats) -> tuple[Floats, Floats]:
    """Ridge regression of every lead and site around the regression of all sites, on centred predictors.

    Returns:
        Coefficients (lead, site, 6), and by how much errors on new cases exceed those of the fit, (lead, site).
    """
    weight = counted.transpose(1, 2, 0)[..., None]
    x = design.transpose(1, 2, 0, 3)[..., 1:]
    y = observed.transpose(1, 2, 0)[..., None]
    count = counted.sum(axis=0)
    safe = np.maximum(count, 1e-9)[..., None]
    x_mean, y_mean = (x * weight).sum(axis=2) / safe, ((y * weight).sum(axis=2) / safe)[..., 0]
    xc, yc = x - x_mean[:, :, None], y - y_mean[:, :, None, None]
    weighted = np.swapaxes(xc * weight, 2, 3)
    gram, cross = weighted @ xc, (weighted @ yc)[..., 0]
    total = np.maximum(count.sum(axis=1), 1e-9)[:, None]
    unit = gram.sum(axis=1) / total[..., None]
    jitter = np.eye(5) * (1e-6 + 1e-6 * np.trace(unit, axis1=1, axis2=2)[:, None, None])
    pooled = np.linalg.solve(unit + jitter, (cross.sum(axis=1) / total)[..., None])[..., 0]
    # Shrink in units of each predictor's own pooled variance, so that the pseudo-cases mean the same for all.
    variance = np.maximum(np.einsum("lii->li", unit), 1e-9)
    ridge = np.einsum("lk,kj->lkj", variance * _SHRINKAGE[1:], np.eye(5))[:, None]
    right = cross - np.einsum("lsij,lj->lsi", gram, pooled)
    slopes = pooled[:, None] + np.linalg.solve(gram + ridge, right[..., None])[..., 0]
    # A site's offset is shrunk where its data lie, not at predictor zero, which may be a thousand hPa away.
    bias = y_mean - np.einsum("lsk,lk->ls", x_mean, pooled)
    common = np.sum(count * bias, axis=1, keepdims=True) / total
    kept = count / (count + _SHRINKAGE[0])
    offset = common + (bias - common) * kept + np.einsum("lsk,lsk->ls", x_mean, pooled[:, None] - slopes)
    freedom = kept + np.trace(np.linalg.solve(gram + ridge, gram), axis1=2, axis2=3)
    share = np.minimum(freedom / np.maximum(count, 1.0), 0.6)
    return np.concatenate([offset[..., None], slopes], axis=-1), np.sqrt((1 + share) / (1 - share))


def _mean_square(residual: Floats, counted: Floats) -> Floats:
    return np.asarray(np.sum(counted * np.square(residual), axis=(0, 2)) / np.maximum(counted.sum(axis=(0, 2)), 1e-9))


def _fit_site_scale(residual: Floats, counted: Floats) -> Floats:
    """How much larger a site's errors are than those of all sites, (lead, site), shrunk towards 1."""
    pooled = np.maximum(_mean_square(residual, counted), 1e-9)[:, None]
    count = counted.sum(axis=0)
    own = np.sum(counted * np.square(residual), axis=0) / pooled
    return np.asarray(np.sqrt((own + _SCALE_SHRINKAGE) / (count + _SCALE_SHRINKAGE)))


def _fit_climate(mean: Floats, observed: Floats, known: NDArray[np.bool_]) -> Floats:
    """Average forecast and average observation of every site, shrunk towards all sites, (lead, site, 2)."""
    count = known.sum(axis=0)[..., None]
    total = np.stack([np.where(known, mean, 0.0).sum(axis=0), np.where(known, observed, 0.0).sum(axis=0)], axis=-1)
    pooled = total.sum(axis=1, keepdims=True) / np.maximum(count.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.maximum((total + 30.0 * pooled) / (count + 30.0), 1e-3))


def _choose_pairs(known: NDArray[np.bool_], wanted: int) -> tuple[NDArray[np.intp], ...]:
    """An even choice of known (case, site) pairs: indices of case, of site, and of both flattened, each (lead, pair).

    A lead with fewer known pairs than others is filled up with unknown ones, which carry no weight.
    """
    cases, leads, sites = known.shape
    # Multiplicative hashing (Knuth, The Art of Computer Programming, 6.4) scatters pairs over sites and period alike.
    order = np.argsort(
        np.arange(cases * sites, dtype=np.uint64) * np.uint64(2_654_435_761) % np.uint64(2**32), kind="stable"
    )
    unknown = ~known.transpose(1, 0, 2).reshape(leads, -1)[:, order]
    flat = order[np.argsort(unknown, axis=1, kind="stable")[:, :wanted]]
    return flat // sites, flat % sites, flat


def _take(array: Floats, chosen: tuple[NDArray[np.intp], ...]) -> Floats:
    return np.take_along_axis(array.transpose(1, 0, 2).reshape(array.shape[1], -1), chosen[2], axis=1)


def _parameters(
    family: EmosFamily,
    shape: Floats,
    *,
    mean: Floats,
    centre: Floats,
    spread: Floats,
    wet: Floats,
    by_site: Mapping[str, Floats],
) -> tuple[Floats, ...]:
    """Distribution parameters of every pair, (lead, pair): what the family's CRPS and quantile functions take."""
    column = [shape[:, index, None] for index in range(shape.shape[1])]
    if family == "censored":
        # Mean and sd of the gamma follow the forecast relative to its own climate; limits keep extreme trials finite.
        forecast_climate, observed_climate = by_site["climate"][..., 0], by_site["climate"][..., 1]
        relative = np.minimum(mean / forecast_climate, 60.0)
        factor = np.exp(np.clip(column[0], -8, 3)) + np.exp(np.clip(column[1], -8, 3)) * relative
        factor = factor + np.exp(np.clip(column[2], -8, 4)) * wet
        gamma_mean = np.clip(observed_climate * factor, _SMALL, 1e4)
        sd = np.exp(np.clip(column[3], -4, 4)) * np.sqrt(gamma_mean * observed_climate)
        sd = sd + np.exp(np.clip(column[4], -6, 2)) * spread
        shift = np.exp(np.clip(column[5], -6, 3)) * observed_climate
        return gamma_mean, np.clip(sd, _SMALL, 1e4) + 0.05 * gamma_mean, shift + _SMALL
    scale = np.sqrt(
        np.exp(2 * np.clip(column[-2], -8, 6)) * np.square(by_site["site_scale"]) + np.square(column[-1] * spread)
    )
    scale = np.maximum(scale, _SMALL)
    if family == "truncated":
        # Further below zero the CRPS loses its digits, and the distribution no longer changes its form.
        return np.maximum(column[0] + column[1] * centre, -3 * scale), scale
    return centre + column[0], scale


#: Where the search for the shape begins; the last but one of the first two families is set from the data.
_START: Mapping[str, NDArray[np.float64]] = {
    "gaussian": np.array([0.0, 0.0, 0.5]),
    "truncated": np.array([0.0, 1.0, 0.0, 0.5]),
    "censored": np.array([-2.0, -0.7, -0.7, 0.0, -1.0, -1.0]),
}
_CRPS: Mapping[EmosFamily, Callable[..., Floats]] = {
    "gaussian": distributions.gaussian_crps,
    "truncated": distributions.truncated_crps,
    "censored": distributions.shifted_gamma_crps,
}
_QUANTILES: Mapping[EmosFamily, Callable[..., Floats]] = {
    "gaussian": distributions.gaussian_quantiles,
    "truncated": distributions.truncated_quantiles,
    "censored": distributions.shifted_gamma_quantiles,
}
