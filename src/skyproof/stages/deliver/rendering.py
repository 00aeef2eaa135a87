"""From a question to its bytes: the numbers of every place, their digest, and the form asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skyproof.archive.run_file import SiteSeries
from skyproof.domain.errors import InvalidValueError, NotAvailableError
from skyproof.domain.scenarios import Scenarios
from skyproof.domain.times import Instants, to_datetime64
from skyproof.stages.deliver.answers import Answer, Block, Content, PlaceAnswer, Question
from skyproof.stages.deliver.columns import ValueDigest, make_columns
from skyproof.stages.deliver.cuts import choose_columns, value_at
from skyproof.stages.deliver.days import MEMBERS, SiteMembers, make_day_axis, make_days
from skyproof.stages.deliver.forms import FORMS
from skyproof.stages.deliver.plans import Plan
from skyproof.stages.deliver.run_view import RunView
from skyproof.stages.deliver.time_axis import TimeAxis

#: Draws so many members of sites of a run: all its variables, all its leads. Where some are points, a fourth argument has their
#: series by id.
Draw = Callable[..., Scenarios]

#: Values in one answer: places x columns x steps.
MOST_VALUES = 2_000_000
#: Numbers drawn for one answer: members x variables x places x leads of the run.
MOST_DRAWN = 10_000_000


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Members of all places, (variable, site, lead, member)."""

    sites: tuple[str, ...]
    statistics: NDArray[np.float32] | None
    shown: NDArray[np.float32] | None

    def of(self, site_id: str) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
        """Those of one site."""
        place = self.sites.index(site_id)
        statistics = None if self.statistics is None else self.statistics[:, place]
        return statistics, None if self.shown is None else self.shown[:, place]


def render(
    question: Question,
    plan: Plan,
    axis_of: Callable[[str], TimeAxis],
    draw: Draw | None,
    *,
    points: Mapping[str, SiteSeries] | None = None,
) -> Answer:
    """The answer to a question.

    Args:
        question: what is asked, of which run, for which sites.
        plan: from :func:`~skyproof.stages.deliver.plans.make_plan`.
        axis_of: the time axis in a zone.
        draw: gives scenarios.
        points: the numbers of places that are no sites of the run, by id.

    Raises:
        UnknownNameError: a site is not in the run.
        InvalidValueError: no step in the window, or too many values.
        NotAvailableError: scenarios are needed and there is nobody to draw them.
    """
    view, request = question.view, question.request
    digest = ValueDigest()
    places, values = [], 0
    axes = [
        axis_of(found.site.timezone if request.timezone == "auto" else request.timezone) for found in question.places
    ]
    for axis in axes:
        values += plan.count * len(axis)
        if values > MOST_VALUES:
            raise InvalidValueError(
                f"the answer would hold more than {MOST_VALUES} values",
                hint="ask for fewer places, variables, quantiles, members or hours at a time",
            )
    others = points or {}
    drawn = _draw(question, draw, others) if request.needs_members else None
    for number, (found, axis) in enumerate(zip(question.places, axes, strict=True)):
        blocks = _blocks(question, plan, found.site.site_id, axis, drawn, others)
        if request.only:
            blocks = tuple(choose_columns(block, request.only) for block in blocks)
        if request.instants:
            blocks = tuple(value_at(block, request.instants[number], view.step_hours) for block in blocks)
        for block in blocks:
            digest.add(found.site.site_id, block.heads.names, block.seconds, block.columns)
        places.append(PlaceAnswer(found, axis, blocks))
    form = FORMS[request.form]
    body = form.render(Content(question.forecast_id, view, request, tuple(places)))
    return Answer(
        question.forecast_id,
        request.canonical,
        view.run,
        question.newest_run_id,
        form.media_type,
        body,
        digest.hexdigest(),
        hashlib.sha256(body).hexdigest(),
    )


def _blocks(
    question: Question,
    plan: Plan,
    site_id: str,
    axis: TimeAxis,
    drawn: _Drawn | None,
    points: Mapping[str, SiteSeries],
) -> tuple[Block, ...]:
    view = question.view
    # Nine tenths of what a run holds are quantiles.
    only_means = plan.daily is None and plan.hourly is not None and not (plan.hourly.levels or plan.hourly.thresholds)
    if site_id in points:
        series = points[site_id]
    else:
        series = view.reader.site(site_id, quantiles_too=not only_means)
    statistics, shown = (None, None) if drawn is None else drawn.of(site_id)
    blocks = []
    if plan.hourly is not None:
        columns = make_columns(series, plan.hourly, axis, members=shown)
        blocks.append(Block("hourly", plan.hourly.heads, axis.labels, axis.valid_seconds, None, columns))
    if plan.daily is not None and statistics is not None:
        days = make_day_axis(axis, question.request)
        members = SiteMembers(statistics, shown)
        columns = make_days(series, members, plan.daily, days, axis, _valid_times(view))
        blocks.append(Block("daily", plan.daily.heads, days.labels, days.starts, days.ends, columns))
    return tuple(blocks)


def _draw(question: Question, draw: Draw | None, points: Mapping[str, SiteSeries]) -> _Drawn:
    view, request = question.view, question.request
    if draw is None:
        raise NotAvailableError("scenarios are not drawn here", hint="ask hourly without members")
    sites = tuple(dict.fromkeys(found.site.site_id for found in question.places))
    for site_id in sites:
        if site_id not in points:
            view.reader.site(site_id)  # a site that is not in the run is said so in the words of the wire
    counts = (MEMBERS if request.daily else 0, request.members)
    numbers = sum(counts) * len(view.reader.variables) * len(sites) * len(view.reader.lead_hours)
    if numbers > MOST_DRAWN:
        raise InvalidValueError(
            f"{numbers:,} numbers would have to be drawn, at most {MOST_DRAWN:,} are",
            hint="ask for fewer members or places at a time",
        )
    statistics, shown = (
        draw(view.run, sites, count, *([points] if points else [])).values if count else None for count in counts
    )
    return _Drawn(sites, statistics, shown)


def _valid_times(view: RunView) -> Instants:
    leads = np.array(view.reader.lead_hours, dtype=np.int64)
    return np.asarray(to_datetime64(view.run.init_time) + leads * np.timedelta64(3600, "s"))
