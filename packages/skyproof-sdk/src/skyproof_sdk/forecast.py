"""A forecast as it came, and as tables."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from skyproof_sdk.errors import SdkError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

Part = Literal["hourly", "daily"]


@dataclass(frozen=True, slots=True)
class Forecast:
    """An answer. ``body`` are its bytes, which its receipt is of; ``places`` what they say, one document a place."""

    body: bytes = field(repr=False)
    places: tuple[Mapping[str, Any], ...] = field(repr=False)
    forecast_id: str

    @classmethod
    def read(cls, body: bytes) -> Forecast:
        """From the bytes of a JSON answer.

        Raises:
            SdkError: they are something else.
        """
        try:
            document = json.loads(body)
            places = tuple(document) if isinstance(document, list) else (document,)
            return cls(body, places, str(places[0]["meta"]["forecast_id"]))
        except (ValueError, LookupError, TypeError) as error:
            raise SdkError("the answer is no forecast in JSON; ask without provenance=none and format") from error

    @property
    def meta(self) -> Mapping[str, Any]:
        """Where the values come from: run, inputs, regime, warnings, attribution."""
        meta: Mapping[str, Any] = self.places[0]["meta"]
        return meta

    def to_pandas(self, part: Part = "hourly") -> pd.DataFrame:
        """The values as a table: a row a time, a column a variable or quantile; a null is NaN.

        Times of ``hourly`` are in UTC; those of ``daily`` are local dates. Several places get a first index level ``site``.
        ``attrs["units"]`` holds the units.

        Raises:
            SdkError: the part was not asked for, or the extra is not installed.
        """
        pd = _load("pandas")

        frames = [_frame(place, part) for place in self.places]
        frame = frames[0]
        if len(frames) > 1:
            frame = pd.concat(frames, keys=_sites(self.places), names=["site", "time"])
        frame.attrs["units"] = _units(self.places[0], part)
        return frame

    def to_xarray(self, part: Part = "hourly") -> xr.Dataset:
        """The values as a dataset with dims (site, time), units in ``attrs``, latitude and longitude as coordinates.

        Times of ``hourly`` are in UTC without saying so, as xarray has them.

        Raises:
            SdkError: the part was not asked for, or the extra is not installed.
        """
        xr = _load("xarray")

        units = _units(self.places[0], part)
        datasets = []
        for place in self.places:
            frame = _frame(place, part)
            times = frame.index.tz_localize(None) if part == "hourly" else frame.index
            variables = {
                name: ("time", frame[name].to_numpy(), {"units": units.get(name, "")}) for name in frame.columns
            }
            datasets.append(xr.Dataset(variables, coords={"time": times.to_numpy()}))
        whole = xr.concat(datasets, dim="site", join="outer", combine_attrs="override")
        return whole.assign_coords(
            site=("site", _sites(self.places)),
            latitude=("site", [place["latitude"] for place in self.places]),
            longitude=("site", [place["longitude"] for place in self.places]),
        )


def _load(extra: str) -> Any:
    try:
        return importlib.import_module(extra)
    except ModuleNotFoundError as error:
        raise SdkError(f"{extra} is not installed; pip install 'skyproof-sdk[{extra}]'") from error


def _frame(place: Mapping[str, Any], part: Part) -> pd.DataFrame:
    pd = _load("pandas")

    columns = _columns(place, part)
    labels = columns["time"]
    seconds = bool(labels) and isinstance(labels[0], int)
    if part == "hourly":
        times = pd.to_datetime(labels, unit="s", utc=True) if seconds else pd.to_datetime(labels, utc=True)
    else:
        # A day has the date at its place: seconds are its local midnight.
        zone = place["timezone"]
        times = (
            pd.to_datetime(labels, unit="s", utc=True).tz_convert(zone).tz_localize(None)
            if seconds
            else pd.to_datetime(labels)
        )
    index = pd.DatetimeIndex(times, name="time")
    values = {name: pd.array(column, dtype="Float64").to_numpy(float, na_value=float("nan"))
              for name, column in columns.items() if name != "time"}  # fmt: skip
    return pd.DataFrame(values, index=index)


def _columns(place: Mapping[str, Any], part: Part) -> Mapping[str, Sequence[Any]]:
    columns = place.get(part)
    if not isinstance(columns, Mapping):
        raise SdkError(f"the forecast holds nothing {part}; ask with {part}=...")
    return columns


def _units(place: Mapping[str, Any], part: Part) -> dict[str, str]:
    return {name: unit for name, unit in place.get(f"{part}_units", {}).items() if name != "time"}


def _sites(places: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(place["grid"]["site"]) for place in places]
