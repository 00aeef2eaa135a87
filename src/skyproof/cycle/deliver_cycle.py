"""Delivering the newest run to a customer, site by site, without a server in between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skyproof.archive.archive import Archive
from skyproof.archive.run_file import SiteSeries
from skyproof.cycle.wiring import Product
from skyproof.domain.deliveries import ApiKey
from skyproof.domain.forecasts import Run
from skyproof.domain.progress import Progress, silent
from skyproof.domain.scenarios import Scenarios
from skyproof.stages.deliver.desk import Desk
from skyproof.stages.deliver.receipts import make_receipt
from skyproof.stages.deliver.requests import parse_request
from skyproof.stages.forecast.scenarios import draw_scenarios

#: What is delivered of every site.
_QUANTILES = "0.1,0.5,0.9"


def open_desk(archive: Archive, **options: Any) -> Desk:
    """The desk that answers from an archive, scenarios included; ``options`` are those of :class:`Desk`."""

    def draw(
        run: Run, site_ids: Sequence[str], members: int, elsewhere: Mapping[str, SiteSeries] | None = None
    ) -> Scenarios:
        return draw_scenarios(archive, run, members=members, site_ids=site_ids, elsewhere=elsewhere)

    return Desk(archive, **({"draw": draw} | options))


def deliver_newest(product: Product, key: ApiKey, *, progress: Progress = silent) -> int:
    """Answer one request for each site the customer may see; returns how many receipts the archive then holds.

    A site whose newest answer the customer has already is not delivered again.
    """
    archive, now = product.archive, product.clock.now()
    desk = open_desk(archive, nearest_site_km=product.settings.nearest_site_km)
    held = {receipt.forecast_id for receipt in archive.deliveries.receipts(customer_id=key.customer_id)}
    sites = archive.sites.all(customer_id=key.customer_id)
    with archive.deliveries.start_writer() as writer:
        for done, site in enumerate(sites):
            progress("deliver", done, len(sites))
            asked = [
                ("site", site.site_id),
                ("hourly", ",".join(product.settings.variables)),
                ("quantiles", _QUANTILES),
            ]
            question = desk.ask(key.customer_id, parse_request(asked), now=now)
            if question.forecast_id not in held:
                answer = desk.answer(question)
                writer.record(make_receipt(answer, key, served_at=now), answer.body).result()
    progress("deliver", len(sites), len(sites))
    return archive.deliveries.count()
