"""The scorecard as one self-contained page."""

from __future__ import annotations

import base64
import io

from jinja2 import Environment, PackageLoader, select_autoescape

from skyproof.stages.verify.figures import scorecard_figure
from skyproof.stages.verify.scorecard import Scorecard, baselines
from skyproof.stages.verify.terminal import explain, format_skill


def render_html(card: Scorecard) -> str:
    """The page's text. It needs no network: pictures are inside."""
    picture = io.BytesIO()
    scorecard_figure(card).savefig(picture, format="png", dpi=110)
    environment = Environment(
        loader=PackageLoader("skyproof.stages.verify", "templates"), autoescape=select_autoescape(["html", "j2"])
    )
    environment.filters["skill"] = format_skill
    return environment.get_template("scorecard.html.j2").render(
        card=card,
        names=baselines(card.collected.models),
        words=explain(card),
        picture=base64.b64encode(picture.getvalue()).decode(),
    )
