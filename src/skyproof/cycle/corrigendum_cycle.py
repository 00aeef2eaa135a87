"""Publishing a correction: kept for ever, and told to every customer."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from skyproof.cycle.clock import SystemClock
from skyproof.cycle.wiring import Product
from skyproof.domain.corrigenda import Corrigendum
from skyproof.domain.notices import Notice
from skyproof.stages.deliver.corrigendum_facts import corrigendum_facts
from skyproof.stages.deliver.run_notices import event_id


def publish_corrigendum(
    product: Product,
    *,
    title: str,
    text: str,
    run_ids: tuple[str, ...] = (),
    variables: tuple[str, ...] = (),
    issued_from: datetime | None = None,
    issued_until: datetime | None = None,
) -> Corrigendum:
    """Keep a correction and tell every customer.

    Raises:
        UnknownNameError: a run or a variable that does not exist.
        InvalidValueError: see :class:`~skyproof.domain.corrigenda.Corrigendum`.
    """
    archive, now = product.archive, product.clock.now().replace(microsecond=0)
    for run_id in run_ids:
        archive.runs.find(run_id)
    corrigendum = Corrigendum(
        f"co_{secrets.token_hex(8)}", now, title, text, run_ids, variables, issued_from, issued_until
    )
    archive.corrigenda.add(corrigendum)
    kind, data = "corrigendum.published", dict[str, Any](corrigendum_facts(corrigendum))
    name = event_id(kind, corrigendum.corrigendum_id)
    told = [Notice(name, customer.customer_id, kind, now, data) for customer in archive.customers.all()]
    archive.notices.add(told, now=SystemClock().now())
    return corrigendum
