"""The rolling origin: experts learn, answer for a while, learn again; the blend and the guard walk beside them.

At each issue time only what had arrived by then is seen: experts are fitted on it, the first guess and the blend walk through it.
What is measured is therefore what would have been delivered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from skyproof.domain.cases import Cases, RolledForecasts
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.progress import Progress, silent
from skyproof.domain.protocols import CaseExpert
from skyproof.science.ensemble_statistics import mean_of_known
from skyproof.science.first_guess import guess_quantiles, with_first_guess
from skyproof.science.online_regression import group_leads
from skyproof.science.panel import RUNS_SHOWN, heard
from skyproof.science.quantile_functions import within_limits
from skyproof.science.rolling_blend import arrival_order, blend_rolling
from skyproof.science.spread_guard import guard_spread

Floats = NDArray[np.float32]
Refit = Literal["daily", "weekly", "monthly", "auto"]

PRODUCT, EQUAL_WEIGHT, FIRST_GUESS = "skyproof", "equal_weight", "regression"
#: An expert learns again when its record has grown by this share; what walks learns at every issue time anyway.
_GROWTH: dict[Refit, float] = {"daily": 0.02, "weekly": 0.04, "monthly": 0.08, "auto": 0.08}
#: Experts answer from this share of the time before the evaluation on, so that the blend has something to learn from.
_WARM_UP_FROM = 0.4
_FEWEST_ISSUES = 6
#: Experts of the blend whose names begin so are calibrated sources: the equal-weight baseline is made of them.
_CALIBRATED = "emos:"
#: Baselines that are shown beside the product; climatology and persistence also sit in the blend.
_NOT_BLENDED = ("raw:",)
#: These speak in the blend only where no other does.
_FALLBACKS = ("climatology", "persistence")


@dataclass(frozen=True, slots=True)
class _Block:
    """Issue times [start, end) answered by experts that knew what had arrived at the issue time ``start``.

    ``days``: issue times of the record then.
    """

    start: int
    end: int
    days: int


def roll_forecasts(
    cases: Cases,
    make_experts: Callable[[Cases], Sequence[CaseExpert]],
    *,
    levels: NDArray[np.float64],
    evaluate_from: np.datetime64,
    refit: Refit = "auto",
    progress: Progress = silent,
    memory: Path | None = None,
) -> RolledForecasts:
    """Forecast every case valid from ``evaluate_from`` on as the product would have.

    Args:
        cases: all cases, the training period included.
        make_experts: the experts for these cases, see :mod:`skyproof.cycle.experts`.
        levels: of the quantiles.
        evaluate_from: the first issue time evaluated.
        refit: how often experts learn again.
        progress: told after each fit.
        memory: a folder for answers of experts, so that an interrupted evaluation goes on; None keeps none.

    Raises:
        InvalidValueError: nothing was issued before ``evaluate_from``, or nothing from it on.
    """
    first = int(np.searchsorted(cases.issue_times, evaluate_from))
    _check_there_is_past_and_future(cases, first, evaluate_from)
    start = max(int(first * _WARM_UP_FROM), min(_FEWEST_ISSUES, first))
    prepared, guess = with_first_guess(cases, settled=start)
    experts = make_experts(prepared)
    blocks = plan_blocks(cases, start, growth=_GROWTH[refit])
    answers, fit_seconds, predict_seconds = _ask_in_blocks(
        prepared, experts, blocks, levels, progress=progress, memory=memory
    )
    names = [expert.name for expert in experts]
    rolled = prepared.take(slice(start, None))
    if cases.members:
        began = time.perf_counter()
        answers = np.concatenate([answers, within(rolled, guess_quantiles(guess, levels)[start:])[None]])
        names.append(FIRST_GUESS)
        fit_seconds[FIRST_GUESS], predict_seconds[FIRST_GUESS] = 0.0, time.perf_counter() - began
    began = time.perf_counter()
    product = _blend_and_guard(rolled, names, answers, levels)
    fit_seconds[PRODUCT] = sum(fit_seconds.values())
    predict_seconds[PRODUCT] = sum(predict_seconds.values()) + time.perf_counter() - began
    calibrated = answers[[name.startswith(_CALIBRATED) and name != "emos:all" for name in names]]
    everything = [product[None], answers]
    shown = [PRODUCT, *names]
    if len(calibrated) > 1:
        everything.append(mean_of_known(calibrated)[None])
        shown.append(EQUAL_WEIGHT)
    quantiles = np.concatenate(everything)[:, first - start :]
    return RolledForecasts(
        prepared.take(slice(first, None)), levels, tuple(shown), quantiles, fit_seconds, predict_seconds
    )


def _check_there_is_past_and_future(cases: Cases, first: int, evaluate_from: np.datetime64) -> None:
    if 0 < first < len(cases.issue_times):
        return
    span = f"{cases.issue_times[0]} to {cases.issue_times[-1]}" if len(cases.issue_times) else "none"
    missing = "nothing to learn from" if first == 0 else "nothing to forecast"
    raise InvalidValueError(
        f"evaluation from {evaluate_from} leaves {missing}; issue times: {span}",
        hint="evaluate from a time after the first issue time and not after the last",
    )


def within(cases: Cases, quantiles: Floats) -> Floats:
    """Quantiles inside physical limits, traces as none, never crossing."""
    return np.sort(within_limits(quantiles, cases.variable), axis=-1)


def plan_blocks(cases: Cases, start: int, *, growth: float) -> tuple[_Block, ...]:
    """Blocks of issue times between two fits: each begins when the record has grown by ``growth`` since the last."""
    last_lead = np.timedelta64(3600, "s") * min(cases.lead_hours)
    days = np.array([np.searchsorted(cases.issue_times + last_lead, now, side="right") for now in cases.issue_times])
    blocks, begin = [], start
    for issue in range(start + 1, len(cases.issue_times) + 1):
        if issue == len(cases.issue_times) or days[issue] >= max(days[begin] * (1 + growth), days[begin] + 1):
            blocks.append(_Block(begin, issue, int(days[begin])))
            begin = issue
    return tuple(blocks)


def _ask_in_blocks(
    cases: Cases,
    experts: Sequence[CaseExpert],
    blocks: Sequence[_Block],
    levels: NDArray[np.float64],
    *,
    progress: Progress,
    memory: Path | None,
) -> tuple[Floats, dict[str, float], dict[str, float]]:
    start = blocks[0].start
    answers = np.full(
        (len(experts), len(cases.issue_times) - start, *cases.observed.shape[1:], len(levels)), np.nan, np.float32
    )
    fit_seconds = {expert.name: 0.0 for expert in experts}
    predict_seconds = dict(fit_seconds)
    fitted_days = [-1] * len(experts)
    for done, block in enumerate(blocks):
        as_of = cases.issue_times[block.start]
        # The runs before say something of the same valid times: they are shown, their own answers are dropped.
        shown = max(block.start - RUNS_SHOWN, 0)
        past, now = cases.take(slice(0, block.start)), cases.take(slice(shown, block.end))
        for number, expert in enumerate(experts):
            progress("learn and forecast", done * len(experts) + number, len(blocks) * len(experts))
            learns = block.days >= fitted_days[number] * (1 + getattr(expert, "growth", 0.0))
            fitted_days[number] = block.days if learns else fitted_days[number]
            key = None if memory is None else memory / f"{number:02d}-{block.start:06d}.npz"
            answer = None if key is None else _recall(key, expert)
            if answer is None:
                began = time.perf_counter()
                if learns:
                    expert.fit(past, as_of)
                fitted = time.perf_counter()
                answer = within(now, expert.predict(now, levels))[block.start - shown :]
                fit_seconds[expert.name] += fitted - began
                predict_seconds[expert.name] += time.perf_counter() - fitted
                if key is not None:
                    _remember(key, answer, expert)
            answers[number, block.start - start : block.end - start] = answer
    progress("learn and forecast", len(blocks) * len(experts), len(blocks) * len(experts))
    return answers, fit_seconds, predict_seconds


def _remember(key: Path, answer: Floats, expert: CaseExpert) -> None:
    """Keep an answer, and what the expert had learned: the next fit may begin from it."""
    temporary = key.with_name(f"{key.stem}.tmp.npz")
    kept: dict[str, Any] = {f"state|{name}": values for name, values in expert.state().items()}
    np.savez(temporary, answer=answer, **kept)
    temporary.replace(key)


def _recall(key: Path, expert: CaseExpert) -> Floats | None:
    if not key.exists():
        return None
    with np.load(key) as kept:
        expert.restore({name.removeprefix("state|"): kept[name] for name in kept.files if name.startswith("state|")})
        return np.asarray(kept["answer"])


def _blend_and_guard(cases: Cases, names: Sequence[str], answers: Floats, levels: NDArray[np.float64]) -> Floats:
    usual = [number for number, name in enumerate(names) if name in _FALLBACKS]
    others = [
        number for number, name in enumerate(names) if name not in _FALLBACKS and not name.startswith(_NOT_BLENDED)
    ]
    asked = heard(answers[usual + others], len(usual))
    arrivals = arrival_order(cases.issue_times, cases.valid_times, cases.delay_hours)
    joined = blend_rolling(asked, cases.observed, arrivals, levels).blended
    groups = group_leads(len(cases.lead_hours), most=4)
    return within(cases, guard_spread(within(cases, joined), cases.observed, arrivals, levels, lead_groups=groups))
