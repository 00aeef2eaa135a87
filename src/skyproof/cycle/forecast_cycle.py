"""One forecast, from what is known to what is published: the product in one file.

Read it from top to bottom. A live forecast and a backtest both come through here; nothing in it knows which.
"""

from __future__ import annotations

from datetime import datetime
from time import perf_counter

from skyproof.archive.runs import RunDraft
from skyproof.cycle.wiring import Product
from skyproof.domain.forecasts import Run
from skyproof.domain.reasons import REASONS
from skyproof.domain.times import require_utc
from skyproof.stages.forecast.assemble import assemble_forecast
from skyproof.stages.forecast.blending import advance_blend
from skyproof.stages.forecast.elsewhere import add_elsewhere, forecast_elsewhere, gather_since
from skyproof.stages.forecast.experts import ask_experts, gather_inputs
from skyproof.stages.publish.publish_run import publish_run


def forecast_cycle(product: Product, issue_time: datetime, *, release_id: str | None = None) -> Run:
    """Make and publish the run of ``issue_time``, knowing only what was known then."""
    issue_time = require_utc(issue_time, "issue time")
    archive, began = product.archive, perf_counter()

    # 1. The release that was stable then, and the experts it learned.
    release = archive.releases.find(release_id) if release_id else archive.releases.newest(as_of=issue_time)
    content = archive.releases.read(release)
    panel = product.wake(content)

    # 2. What was available at the issue time: the newest usable cycle of each source, the last observations.
    inputs = gather_inputs(archive, content, issue_time)

    # 3. Every expert answers, or sleeps.
    names, experts = ask_experts(panel, inputs)

    # 4. The blend has learned from every observation that had arrived.
    blend = product.blend()
    state = advance_blend(archive, release, panel, blend, issue_time)

    # 5. One calibrated forecast, its regime and its lineage.
    forecast = assemble_forecast(content, blend, state, experts, inputs, product.register())

    # 6. Sites registered since the release was learned, where a source speaks of them, by the same experts and blend.
    since = gather_since(archive, content, inputs)
    whole = add_elsewhere(content, experts, forecast, forecast_elsewhere(content, product.wake, blend, state, since))
    experts_key = archive.experts.put(release.release_id, issue_time, names, whole.experts, whole.grid)

    # 7. Checked, then published whole or not at all.
    draft = RunDraft(
        release_id=release.release_id,
        issue_time=issue_time,
        init_time=inputs.init_time,
        published_at=issue_time,
        regime=forecast.regime,
        inputs=forecast.inputs,
        grid=whole.grid,
        values=whole.values,
        reasons=whole.reasons,
        experts_key=experts_key,
        generation_ms=round(1000 * (perf_counter() - began), 3),
        warnings=forecast.warnings,
        reason_names=REASONS,
        attributes={"sandbox": product.is_sandbox},
        learned=whole.learned,
    )
    return publish_run(archive, draft)
