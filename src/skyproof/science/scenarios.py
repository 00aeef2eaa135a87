"""Scenarios: members that agree in space, in time and between variables, with the margins of a quantile forecast.

Quantiles say what each cell may do; they do not say which cells do it together. A *dependence template* does: a set of
trajectories (an ensemble's members, or what was observed on past days) of which only the order within each cell counts.
Members are the quantiles of equally likely levels, dealt out in the template's order. Arrays have dims (variable, site,
lead, member); a template has its trajectories in the place of members.

Every random number comes from a generator seeded with words (the run, the variable, the site), so that a question has one
answer, and a site's members are the same whatever other sites are asked for with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.quantiles import LEVEL_ARRAY
from skyproof.science.quantile_functions import interpolate_quantiles

Floats = NDArray[Any]


def seeded(*words: str) -> np.random.Generator:
    """A generator whose numbers depend on the words alone."""
    digest = hashlib.sha256("\x1f".join(words).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def member_levels(members: int) -> NDArray[np.float64]:
    """The levels (i - 1/2) / n of n equally likely members.

    Their quantiles have the smallest CRPS that n members can have, and their mean is that of the distribution.

    Source:
        Bröcker (2012), doi:10.1002/qj.1891.
    """
    return (np.arange(members) + 0.5) / members


def mid_ranks(values: Floats) -> NDArray[np.float32]:
    """Where each value stands among those of the last axis: (rank - 1/2) / count, between 0 and 1.

    Args:
        values: (..., k), NaN where missing.

    Returns:
        (..., k) float32; tied values (dry members) share the mean of their ranks; NaN where missing.
    """
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    place = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
    starts, ends = np.ones(values.shape, dtype=bool), np.ones(values.shape, dtype=bool)
    starts[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    ends[..., :-1] = starts[..., 1:]
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=-1)
    last = np.minimum.accumulate(np.where(ends, place, values.shape[-1])[..., ::-1], axis=-1)[..., ::-1]
    known = np.isfinite(ordered)
    count = np.maximum(known.sum(axis=-1, keepdims=True), 1)
    result = np.empty(values.shape, dtype=np.float32)
    np.put_along_axis(result, order, np.where(known, ((first + last + 1) / (2 * count)), np.nan).astype(np.float32), -1)
    return result


def ensemble_template(sources: Sequence[Floats]) -> NDArray[np.float32]:
    """The template of one or more ensembles, for ensemble copula coupling.

    Members are ranked within their own source first, so that a source's bias or spread does not pass for dependence, and
    sources of different size stand side by side.

    Args:
        sources: for each (variable, site, lead, member), NaN where missing; only the order of members counts.

    Returns:
        (variable, site, lead, trajectory) float32: all members' ranks between 0 and 1, NaN where missing.

    Source:
        Schefzik et al. (2013), doi:10.1214/13-STS443; several sources as in their section 5.
    """
    return carry_ranks(mid_ranks(np.concatenate([mid_ranks(members) for members in sources], axis=-1)))


def history_template(observed: Floats) -> NDArray[np.float32]:
    """The template of what was observed on past days, for the Schaake shuffle.

    Args:
        observed: (day, variable, site, lead), the observations from each day on; NaN where missing.

    Returns:
        (variable, site, lead, trajectory) float32: the days' ranks between 0 and 1, NaN where missing.

    Source:
        Clark et al. (2004), doi:10.1175/1525-7541(2004)005<0243:TSSAMF>2.0.CO;2.
    """
    return carry_ranks(mid_ranks(np.moveaxis(observed, 0, -1)))


def carry_ranks(ranks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ranks (..., lead, trajectory) with gaps filled by the same trajectory's rank at the nearest lead that has one.

    A trajectory that has no rank at any lead keeps its gaps; there it takes part at random.
    """
    missing = np.isnan(ranks)
    if not missing.any():
        return ranks
    leads = ranks.shape[-2]
    place = np.broadcast_to(np.arange(leads)[:, None], ranks.shape)
    before = np.maximum.accumulate(np.where(missing, -1, place), axis=-2)
    after = np.minimum.accumulate(np.where(missing, 2 * leads, place)[..., ::-1, :], axis=-2)[..., ::-1, :]
    nearest = np.where((before >= 0) & (place - before <= after - place), before, after)
    nearest = np.where(nearest < leads, nearest, np.where(before >= 0, before, 0))
    return np.take_along_axis(ranks, nearest, axis=-2)


def choose_trajectories(count: int, members: int, seed: str) -> NDArray[np.intp]:
    """Which trajectory each member follows: all of them equally often, the rest drawn without repeating."""
    chance = seeded(seed, "trajectories")
    whole, rest = divmod(members, count)
    picked = np.concatenate([np.tile(np.arange(count), whole), chance.permutation(count)[:rest]])
    return np.asarray(chance.permutation(picked), dtype=np.intp)


def scenarios_from_template(
    quantiles: Floats,
    template: NDArray[np.float32],
    *,
    members: int,
    seed: str,
    variables: Sequence[str],
    site_ids: Sequence[str],
    levels: Floats = LEVEL_ARRAY,
) -> NDArray[np.float32]:
    """Members in the order of a template.

    With more members than trajectories several members follow one; within its step of the order they are independent
    (the empirical checkerboard copula). Members of tied trajectories (dry days) are ordered at random.

    Args:
        quantiles: (variable, site, lead, level), increasing; NaN where there is no forecast.
        template: (variable, site, lead, trajectory), ranks between 0 and 1; NaN where unknown.
        members: how many.
        seed: stands for the question; the run's id.
        variables: names, for the seed.
        site_ids: names, for the seed.
        levels: of the quantiles.

    Returns:
        (variable, site, lead, member) float32; of each cell the quantiles at :func:`member_levels`, in another order.
        Clip to physical limits afterwards: the tails reach beyond the outermost quantiles.

    Source:
        Schefzik et al. (2013), doi:10.1214/13-STS443 (ECC-Q); Genest et al. (2017), doi:10.1016/j.jmva.2017.04.001.
    """
    count = template.shape[-1]
    chosen = choose_trajectories(count, members, seed)
    result = np.empty((*quantiles.shape[:3], members), dtype=np.float32)
    for v, variable in enumerate(variables):
        for s, site_id in enumerate(site_ids):
            chance = seeded(seed, variable, site_id).random((quantiles.shape[2], members))
            # Ranks of different trajectories are at least one step apart; a number below one orders equals at random.
            followed = template[v, s][:, chosen] * count
            order = np.where(np.isnan(followed), chance * count, followed + chance - 0.5)
            result[v, s] = deal_out(quantiles[v, s], order, levels=levels)
    return result


def deal_out(quantiles: Floats, order: Floats, *, levels: Floats = LEVEL_ARRAY) -> NDArray[np.float32]:
    """The quantiles at :func:`member_levels`, so that members stand to each other as the numbers in ``order`` do.

    Args:
        quantiles: (lead, level), increasing.
        order: (lead, member), any numbers without ties.
        levels: of the quantiles.
    """
    values = interpolate_quantiles(quantiles, member_levels(order.shape[-1]), known=levels).astype(np.float32)
    result = np.empty_like(values)
    np.put_along_axis(result, np.argsort(order, axis=-1), values, axis=-1)
    return result


def independent_scenarios(
    quantiles: Floats,
    *,
    members: int,
    seed: str,
    variables: Sequence[str],
    site_ids: Sequence[str],
    levels: Floats = LEVEL_ARRAY,
) -> NDArray[np.float32]:
    """Members without any dependence: the baseline that coherent ones must beat. Arguments as above."""
    nothing = np.full((*quantiles.shape[:3], 1), np.nan, dtype=np.float32)
    return scenarios_from_template(
        quantiles, nothing, members=members, seed=seed, variables=variables, site_ids=site_ids, levels=levels
    )


def weighted_sum(scenarios: Floats, weights: Floats) -> NDArray[np.float64]:
    """What a portfolio amounts to, member by member.

    Sum members, never quantiles: the sum of 90 % quantiles is exceeded in less than one case of ten unless all sites move
    as one.

    Args:
        scenarios: (variable, site, lead, member).
        weights: (site,), for example installed capacities or shares.

    Returns:
        (variable, lead, member) float64; NaN where any site with a weight has no forecast.
    """
    used = np.flatnonzero(weights)
    return np.asarray(np.einsum("vslm,s->vlm", scenarios[:, used], np.asarray(weights, dtype=np.float64)[used]))


def scenario_quantiles(scenarios: Floats, levels: Floats = LEVEL_ARRAY) -> NDArray[np.float64]:
    """Quantiles (..., level) of members (..., member) taken as equally likely.

    Hyndman and Fan (1996) type 5, doi:10.1080/00031305.1996.10473566: it gives back the quantiles that
    :func:`deal_out` made members of.
    """
    return np.moveaxis(np.quantile(scenarios, levels, axis=-1, method="hazen"), 0, -1)
