"""The forms an answer can have: for each its media type and what writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from skyproof.stages.deliver import coverage_form, csv_form, flatbuffer_form, representation, table_form
from skyproof.stages.deliver.answers import Content


@dataclass(frozen=True, slots=True)
class Form:
    """One form. ``maker`` names what else shapes its bytes: a library's version."""

    media_type: str
    render: Callable[[Content], bytes]
    maker: str = ""


_ARROW = f"pyarrow {pa.__version__}"
FORMS: dict[str, Form] = {
    "json": Form(representation.MEDIA_TYPE, representation.render_json),
    "csv": Form(csv_form.MEDIA_TYPE, csv_form.render_csv),
    "arrow": Form(table_form.ARROW_TYPE, table_form.render_arrow, _ARROW),
    "parquet": Form(table_form.PARQUET_TYPE, table_form.render_parquet, _ARROW),
    "covjson": Form(coverage_form.MEDIA_TYPE, coverage_form.render_coverage),
    "flatbuffers": Form(flatbuffer_form.MEDIA_TYPE, flatbuffer_form.render_flatbuffers),
}
