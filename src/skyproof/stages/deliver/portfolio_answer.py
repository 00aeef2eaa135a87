"""A portfolio's forecast: the weighted sum or mean worked out in every scenario, then its mean and quantiles.

Quantiles of sites are never added: the sum of 90 % quantiles is exceeded in less than one case of ten, unless all move as one.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from skyproof.domain.deliveries import ApiKey, Receipt
from skyproof.domain.errors import InvalidValueError
from skyproof.domain.forecasts import Run
from skyproof.domain.portfolios import Portfolio
from skyproof.domain.scenarios import Scenarios
from skyproof.domain.times import format_instant, hours
from skyproof.domain.units import find_unit
from skyproof.domain.variables import Variable, find_variable
from skyproof.science.scenarios import scenario_quantiles, weighted_sum
from skyproof.stages.deliver.receipts import new_receipt_id
from skyproof.stages.deliver.run_view import MODEL, regime_facts

MEDIA_TYPE = "application/json"
#: Numbers drawn for one answer: members x variables x sites x leads; 20 MB.
MOST_NUMBERS = 5_000_000
MOST_LEVELS = 99
_NO_FORECAST = "no_forecast_of_a_site"


@dataclass(frozen=True, slots=True)
class PortfolioAnswer:
    """What is sent, and what its receipt says of it."""

    forecast_id: str
    canonical_request: str
    run: Run
    body: bytes
    value_digest: str
    bytes_digest: str

    def receipt(self, key: ApiKey, *, newest_run_id: str, served_at: Any) -> Receipt:
        """The receipt of this answer about to be sent to the holder of ``key``."""
        return Receipt(
            new_receipt_id(served_at), self.forecast_id, key.customer_id, key.key_id, self.canonical_request,
            self.run.run_id, newest_run_id, self.value_digest, self.bytes_digest, MEDIA_TYPE, 200, served_at,
        )  # fmt: skip


def read_names(text: str) -> tuple[str, ...]:
    """The variables of a list with commas, each once.

    Raises:
        UnknownNameError: one does not exist.
        InvalidValueError: none, or one that cannot be added up.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise InvalidValueError("no variable is asked for", hint="add hourly=temperature_2m")
    for name in names:
        if find_variable(name).family == "circular":
            raise InvalidValueError(f"{name} is a direction, which has no sum", hint="ask for it site by site")
    return names


def read_levels(text: str) -> tuple[float, ...]:
    """The quantile levels of a list with commas, increasing.

    Raises:
        InvalidValueError: too many, or one outside 0.001 to 0.999.
    """
    levels = sorted({float(part) for part in text.split(",") if part})
    if len(levels) > MOST_LEVELS or any(not 0.001 <= level <= 0.999 for level in levels):
        raise InvalidValueError(
            "the quantiles are impossible", hint=f"give at most {MOST_LEVELS} between 0.001 and 0.999"
        )
    return tuple(levels)


def answer_portfolio(
    portfolio: Portfolio, run: Run, scenarios: Scenarios, levels: Sequence[float], *, canonical_request: str
) -> PortfolioAnswer:
    """Make the answer.

    Args:
        portfolio: whose members name the sites of ``scenarios``, in their order.
        run: they were drawn from.
        scenarios: of every variable wanted.
        levels: of the quantiles.
        canonical_request: what was asked.
    """
    totals = weighted_sum(scenarios.values, np.array(portfolio.factors))
    columns: dict[str, list[Any]] = {}
    units, methods, reasons = {"time": "iso8601"}, {}, {}
    digest = hashlib.sha256()
    for name, members in zip(scenarios.variables, totals, strict=True):
        variable = find_variable(name)
        statistics = np.column_stack([members.mean(axis=-1), scenario_quantiles(members, np.array(levels))])
        digest.update(name.encode() + statistics.astype(np.float32).tobytes())
        suffixes = ("", *(f"_{_level_name(level)}" for level in levels))
        for suffix, values in zip(suffixes, statistics.T, strict=True):
            columns[name + suffix] = _rounded(values, variable)
            units[name + suffix] = find_unit(variable.unit).symbol
            methods[name + suffix] = variable.cell_method
        gaps = np.flatnonzero(np.isnan(statistics[:, 0])).tolist()
        if gaps:
            reasons[name] = {str(step): _NO_FORECAST for step in gaps}
    times = [format_instant(scenarios.init_time + hours(lead)) for lead in scenarios.lead_hours]
    document: dict[str, Any] = {
        "portfolio": portfolio.portfolio_id,
        "name": portfolio.name,
        "aggregate": portfolio.aggregate,
        "members": [{"site": site_id, "weight": weight} for site_id, weight in portfolio.members.items()],
        "hourly_units": units,
        "hourly": {"time": times, **columns},
        "hourly_cell_methods": methods,
        **({"hourly_null_reasons": reasons} if reasons else {}),
    }
    meta = _meta(run, scenarios)
    # The name stands for all that is sent, values included: whatever would change a byte changes the name.
    content = orjson.dumps([portfolio.customer_id, canonical_request, document, meta])
    forecast_id = "fc_" + base64.b32encode(hashlib.sha256(content).digest())[:26].decode().lower()
    links = {"self": f"/v1/forecasts/{forecast_id}"}
    body = orjson.dumps({**document, "meta": {"forecast_id": forecast_id, **meta, "links": links}})
    return PortfolioAnswer(
        forecast_id, canonical_request, run, body, digest.hexdigest(), hashlib.sha256(body).hexdigest()
    )


def _meta(run: Run, scenarios: Scenarios) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "model": MODEL,
        "model_version": run.release_id,
        "init_time": format_instant(run.init_time),
        "issued_at": format_instant(run.issue_time),
        "published_at": format_instant(run.published_at),
        "kind": "forecast",
        "statistic": "mean over scenarios; a column _pNN is the quantile of level NN % over scenarios",
        "scenarios": {"members": scenarios.members, "template": dict(scenarios.template)},
        "regime": regime_facts(run),
    }


def _level_name(level: float) -> str:
    return f"p{round(level * 100, 2):g}".replace(".", "_")


def _rounded(values: NDArray[np.float64], variable: Variable) -> list[float | None]:
    return [None if np.isnan(value) else round(value, variable.decimals) + 0.0 for value in values.tolist()]
