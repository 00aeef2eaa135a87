"""A Gaussian copula over variable, site and lead, learned from how past forecasts were wrong.

The normal scores of past observations in their forecasts (PIT values, mapped by the normal quantile function) are taken as
draws of one separable process::

    score[v, s, l] = sum_k loading[v, s, k] * f[k][v, l] + rest[v, s] * e[s][v, l]

with few common factors k over the sites, one noise of each site's own, and all of f[k] and e[s] alike: correlated between
variables, and over leads by each variable's own matrix. Hundreds of sites need no matrix of their product; and the noise of a
site is drawn by its name, so that its members do not depend on which other sites are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.coverage import pit_interval
from skyproof.science.scenarios import deal_out, seeded

Floats = NDArray[Any]

#: Common factors at most: enough for weather of continental size, where correlation reaches over hundreds of kilometres.
MOST_FACTORS = 48
#: A score of 3 is exceeded once in 741 draws; beyond it only the size of a forecast's failure would speak.
_LARGEST_SCORE = 3.0
_SMALLEST_EIGENVALUE = 1e-4


@dataclass(frozen=True, slots=True)
class GaussianCopula:
    """What was learned.

    ``between_variables``: (variable, variable) correlation of the noises; ``over_leads``: (variable, lead, lead) correlation;
    ``loadings``: (variable, site, factor), rows of at most unit length. ``dates`` tells how many issue times were seen.
    """

    between_variables: NDArray[np.float64]
    over_leads: NDArray[np.float64]
    loadings: NDArray[np.float64]
    dates: int

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As arrays to keep, 32 bits each."""
        return {
            "between_variables": self.between_variables.astype(np.float32),
            "over_leads": self.over_leads.astype(np.float32),
            "loadings": self.loadings.astype(np.float32),
            "dates": np.array(self.dates),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> GaussianCopula:
        """The inverse of :meth:`to_arrays`."""
        between, over, loadings = (
            np.asarray(arrays[name], dtype=np.float64) for name in ("between_variables", "over_leads", "loadings")
        )
        return cls(between, over, loadings, int(arrays["dates"]))


def normal_scores(quantiles: Floats, observed: Floats, *, seed: str) -> NDArray[np.float32]:
    """Where observations fell in their forecasts, as standard normal numbers.

    Args:
        quantiles: (..., 21), increasing; NaN where there is no forecast.
        observed: (...), NaN where not known.
        seed: a tie (no rain forecast, none observed) has an interval of PIT values, and one is drawn from it.

    Returns:
        (...) float32 in -3 to 3, NaN where either is missing.

    Source:
        Randomised PIT of Czado et al. (2009), doi:10.1111/j.1541-0420.2009.01191.x.
    """
    low, high = pit_interval(quantiles, observed)
    pit = low + (high - low) * seeded(seed, "pit").random(low.shape)
    return np.asarray(np.clip(ndtri(pit), -_LARGEST_SCORE, _LARGEST_SCORE), dtype=np.float32)


def fit_gaussian_copula(scores: Floats, *, most_factors: int = MOST_FACTORS) -> GaussianCopula:
    """Learn the copula by moments.

    Correlations are shrunken towards their mean by as much as their sampling error asks for, which leaves the spread of a
    portfolio's sum as it was; the number of independent cases behind a correlation of sites counts the leads by how much
    they repeat each other, and the other way round. A site that was never observed is like the mean of all.

    Args:
        scores: (issue, variable, site, lead), NaN where missing.
        most_factors: common factors of the sites, at most; only those stand that explain more than one site's share.

    Source:
        Pinson et al. (2009), doi:10.1002/we.284, for the Gaussian copula of past PIT values; Schäfer and Strimmer (2005),
        doi:10.2202/1544-6115.1175, and Ledoit and Wolf (2004), doi:10.3905/jpm.2004.110, for the shrinkage; Flury (1984),
        doi:10.1080/01621459.1984.10477108, for factors that variables share with sizes of their own.
    """
    issues, variables, sites, leads = scores.shape
    by_site = [_correlation(scores[:, v].transpose(0, 2, 1).reshape(-1, sites)) for v in range(variables)]
    by_lead = [_correlation(scores[:, v].reshape(-1, leads)) for v in range(variables)]
    over_leads = np.stack([
        _positive(_shrunken(own, issues * _repeats(other))) for own, other in zip(by_lead, by_site, strict=True)
    ])  # fmt: skip
    shrunken = [_shrunken(own, issues * _repeats(other)) for own, other in zip(by_site, by_lead, strict=True)]
    loadings = _loadings(np.stack(shrunken), most_factors)
    between = np.eye(variables)
    roots, rest = np.linalg.cholesky(over_leads), _rest(loadings)
    for v in range(variables):
        for w in range(v):
            # What two variables of one cell share is less than what their noises share, where roots or loadings differ.
            same_lead = float(np.einsum("lk,lk->l", roots[v], roots[w]).mean())
            same_site = float((np.einsum("sk,sk->s", loadings[v], loadings[w]) + rest[v] * rest[w]).mean())
            shared = _pair_correlation(scores[:, v].ravel(), scores[:, w].ravel())
            between[v, w] = between[w, v] = np.clip(shared / max(same_lead * same_site, 0.1), -0.98, 0.98)
    return GaussianCopula(_positive(between), over_leads, loadings, issues)


def scenarios_from_copula(
    quantiles: Floats,
    copula: GaussianCopula,
    *,
    members: int,
    seed: str,
    site_ids: Sequence[str],
    chosen: Sequence[int] | None = None,
    wanted: Sequence[int] | None = None,
    levels: Floats = LEVEL_ARRAY,
) -> NDArray[np.float32]:
    """Members in the order of draws from the copula.

    Args:
        quantiles: (variable, site, lead, level), increasing; NaN where there is no forecast; the copula's leads.
        copula: what was learned.
        members: how many.
        seed: stands for the question; the run's id.
        site_ids: names, for the seed.
        chosen: where each site stands in the copula; negative for one it does not know, which moves on its own. All sites in
            the copula's order by default.
        wanted: where each variable stands in the copula; all in its order by default.
        levels: of the quantiles.

    Returns:
        (variable, site, lead, member) float32; of each cell the quantiles at the levels of equally likely members.
        Clip to physical limits afterwards: the tails reach beyond the outermost quantiles.
    """
    count, leads = len(copula.between_variables), quantiles.shape[2]
    places = np.arange(len(site_ids)) if chosen is None else np.asarray(chosen)
    rows = np.arange(count) if wanted is None else np.asarray(wanted)
    mix, roots = np.linalg.cholesky(copula.between_variables)[rows], np.linalg.cholesky(copula.over_leads)[rows]

    def noise(name: str) -> NDArray[np.float64]:
        # Of all variables, so that the members of one do not depend on which others are asked for.
        drawn = seeded(seed, name).standard_normal((count, leads * members))
        return np.asarray(roots @ (mix @ drawn).reshape(len(rows), leads, members))

    loadings = np.where((places >= 0)[:, None], copula.loadings[rows][:, places], 0.0)
    rest = _rest(loadings)
    factors = [noise(f"factor {k}") for k in range(loadings.shape[2])]
    result = np.empty((len(rows), len(site_ids), leads, members), dtype=np.float32)
    for s, site_id in enumerate(site_ids):
        order = rest[:, s, None, None] * noise(f"site {site_id}")
        for k, factor in enumerate(factors):
            order += loadings[:, s, k, None, None] * factor
        for v in range(len(rows)):
            result[v, s] = deal_out(quantiles[v, s], order[v], levels=levels)
    return result


def _correlation(rows: Floats) -> NDArray[np.float64]:
    """Correlation about zero of the columns, each pair from the rows that have both; the mean of all where no row has."""
    known = np.isfinite(rows)
    values, here = np.where(known, rows, 0).astype(np.float64), known.astype(np.float64)
    squares = np.square(values).T @ here
    size = np.sqrt(squares * squares.T)
    found = np.divide(values.T @ values, size, out=np.full_like(size, np.nan), where=size > 0)
    np.fill_diagonal(found, np.nan)
    seen = found[np.isfinite(found)]
    found = np.where(np.isfinite(found), found, seen.mean() if len(seen) else 0.0)
    np.fill_diagonal(found, 1.0)
    return np.clip(found, -1, 1)


def _pair_correlation(a: Floats, b: Floats) -> float:
    return float(_correlation(np.stack([a, b], axis=1))[0, 1])


def _repeats(correlation: NDArray[np.float64]) -> float:
    """How many independent columns have as much to say as these correlated ones: (trace)² / trace of the square."""
    return float(len(correlation) ** 2 / np.square(correlation).sum())


def _shrunken(correlation: NDArray[np.float64], cases: float) -> NDArray[np.float64]:
    """A correlation matrix drawn towards its mean by the sampling variance relative to the differences in it."""
    off = ~np.eye(len(correlation), dtype=bool)
    if not off.any():
        return correlation
    middle = float(correlation[off].mean())
    size = float(np.square(correlation[off] - middle).sum())
    variance = float(np.square(1 - np.square(correlation[off])).sum()) / max(cases, 1.0)
    keep = 1 - min(variance / size, 1.0) if size > 0 else 0.0
    return np.asarray(np.where(off, middle + keep * (correlation - middle), 1.0))


def _positive(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest such matrix with positive eigenvalues and a diagonal of ones."""
    values, vectors = np.linalg.eigh(correlation)
    mended = (vectors * np.maximum(values, _SMALLEST_EIGENVALUE)) @ vectors.T
    scale = np.sqrt(np.diag(mended))
    return np.asarray(mended / scale[:, None] / scale)


def _loadings(by_site: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Loadings (variable, site, factor): shared directions, each variable with sizes of its own."""
    sites = by_site.shape[1]
    values, vectors = np.linalg.eigh(by_site.mean(axis=0))
    kept = np.flatnonzero(values > 1)[::-1][:most]
    directions = vectors[:, kept]
    # An eigenvector's sign is arbitrary; the same data must give the same bytes everywhere.
    directions = directions * np.where(directions.sum(axis=0) < 0, -1.0, 1.0)
    sizes = np.einsum("sk,vst,tk->vk", directions, by_site, directions)
    floor = (sites - sizes.sum(axis=1)) / max(sites - len(kept), 1)
    loadings = directions * np.sqrt(np.maximum(sizes - np.maximum(floor, 0)[:, None], 0))[:, None, :]
    length = np.linalg.norm(loadings, axis=-1, keepdims=True)
    return np.asarray(loadings / np.maximum(length / 0.999, 1.0))


def _rest(loadings: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.maximum(1 - np.square(loadings).sum(axis=-1), 0)))
