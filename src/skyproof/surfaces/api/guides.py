"""What machines read before they ask: ``/llms.txt`` for language models, ``/.well-known/api-catalog`` (RFC 9727) for crawlers."""

from __future__ import annotations

from typing import Any

from skyproof.domain.variables import VARIABLES

#: Paths are written into files and logs of others: nothing but what everyone may know stands here.
_START = """# Skyproof

> {about}

Every address under /v1 needs a key in the header `Authorization: Bearer sp_live_...`; never put it into an address.
Errors are application/problem+json with a stable `code`, a `hint` that says what to do, and a `request_id`.

## The question asked most

GET /v1/forecast?site=<id>&hourly=temperature_2m&quantiles=0.1,0.5,0.9

- Parameters and keys are Open-Meteo's. Additions: `quantiles`, `exceedance=wind_gusts_10m>20`, `members=10`, `run`, `as_of`,
  `provenance`, `format`. Default units are SI with m/s; times are UTC with their offset.
- Places are registered: GET /v1/sites lists those you may ask for; a coordinate is answered by the nearest one.
- A column without a suffix is the mean; `_p10` is the 10 % quantile, `_prob_gt_20` a probability between 0 and 1. Do not add
  quantiles of places or hours up: ask `members` and add those.
- A missing value is null, with its reason in `hourly_null_reasons`. Never take it for zero.
- `meta` names the run, its inputs and how degraded it is. Name `meta.attribution` where you show values.

Variables: {variables}.

## Addresses

{addresses}

## More

- [Description of all addresses](/openapi.json): OpenAPI 3.1
- [The same for people](/docs)
"""


def write_llms_text(document: dict[str, Any]) -> str:
    """The guide for language models, from the API's description."""
    lines = [
        f"- {method.upper()} {path}: {operation['summary']}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return _START.format(
        about=document["info"]["description"],
        variables=", ".join(variable.name for variable in VARIABLES),
        addresses="\n".join(lines),
    )


#: The link set of the API; addresses are relative to it.
API_CATALOG: dict[str, Any] = {
    "linkset": [
        {
            "anchor": "/v1",
            "service-desc": [{"href": "/openapi.json", "type": "application/openapi+json;version=3.1"}],
            "service-doc": [{"href": "/docs", "type": "text/html"}],
            "status": [{"href": "/readyz", "type": "application/json"}],
        }
    ]
}
