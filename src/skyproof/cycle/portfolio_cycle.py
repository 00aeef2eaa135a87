"""A portfolio's forecast: the run, scenarios of its sites that agree with one another, and their weighted sum."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from skyproof.archive.archive import Archive
from skyproof.domain.errors import InvalidValueError, NoRunError, NotAvailableError, UnknownNameError
from skyproof.domain.portfolios import Portfolio
from skyproof.stages.deliver.portfolio_answer import MOST_NUMBERS, PortfolioAnswer, answer_portfolio
from skyproof.stages.forecast.scenarios import draw_scenarios


def forecast_portfolio(
    archive: Archive,
    portfolio: Portfolio,
    *,
    variables: Sequence[str],
    levels: Sequence[float],
    members: int,
    run_id: str | None,
    now: datetime,
) -> tuple[PortfolioAnswer, str]:
    """The answer from a run (the newest by default), and the id of the newest run.

    Raises:
        NoRunError: nothing was published by now.
        UnknownNameError: no such run, or a variable that it does not have.
        NotAvailableError: a site that the run does not hold yet, or inputs of the run that are not kept any more.
        InvalidValueError: more numbers than one answer may draw.
    """
    newest = archive.runs.newest(as_of=now)
    run = newest if run_id is None else archive.runs.find(run_id)
    if run.published_at > now:
        raise NoRunError(f"run {run.run_id} is not published yet")
    reader = archive.runs.open(run)
    waiting = sorted(set(portfolio.members) - set(reader.site_ids))
    if waiting:
        raise NotAvailableError(
            f"site {waiting[0]} is not in run {run.run_id}", hint="a new site is forecast from the next release on"
        )
    unknown = [name for name in variables if name not in reader.variables]
    if unknown:
        raise UnknownNameError(
            f"variable {unknown[0]} is not in this run", hint=f"it has {', '.join(reader.variables)}"
        )
    count = members * len(variables) * len(portfolio.members) * len(reader.lead_hours)
    if count > MOST_NUMBERS:
        raise InvalidValueError(
            f"the answer needs {count:,} numbers, at most {MOST_NUMBERS:,} are drawn",
            hint="ask for fewer members or variables",
        )
    try:
        drawn = draw_scenarios(archive, run, members=members, variables=variables, site_ids=tuple(portfolio.members))
    except UnknownNameError as error:
        # Of what the caller named all is there; what the run was made from is not.
        raise NotAvailableError(
            f"the scenarios of run {run.run_id} cannot be drawn any more", hint="ask for the newest run"
        ) from error
    asked = {
        "hourly": ",".join(variables),
        "members": str(members),
        "portfolio": portfolio.portfolio_id,
        "quantiles": ",".join(f"{level:g}" for level in levels),
    }
    canonical = "&".join(f"{name}={value}" for name, value in asked.items())
    return answer_portfolio(portfolio, run, drawn, levels, canonical_request=canonical), newest.run_id
