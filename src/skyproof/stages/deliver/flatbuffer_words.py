"""The numbers that stand for words in Open-Meteo's flatbuffers schema (namespace openmeteo_sdk, package openmeteo-sdk)."""

from __future__ import annotations

from skyproof.stages.deliver.thresholds import Threshold

#: What a variable is called without its height, and its number.
VARIABLE = {
    "temperature_2m": 47,
    "wind_speed_10m": 59,
    "wind_gusts_10m": 58,
    "wind_speed_100m": 59,
    "wind_direction_10m": 57,
    "precipitation": 24,
    "pressure_msl": 27,
    "relative_humidity_2m": 29,
    "cloud_cover": 3,
    "shortwave_radiation": 32,
}
#: Numbers of units, by UCUM code.
UNIT = {
    "Cel": 1,
    "K": 21,
    "[degF]": 9,
    "m/s": 28,
    "km/h": 24,
    "[kn_i]": 25,
    "[mi_i]/h": 31,
    "mm": 32,
    "[in_i]": 18,
    "hPa": 16,
    "%": 35,
    "1": 11,
    "W/m2": 39,
    "MJ/m2": 26,
    "deg": 5,
}
AGGREGATION = {"": 0, "minimum": 1, "maximum": 2, "mean": 3, "sum": 10}
AGGREGATION_OF_LEVEL = {0.1: 4, 0.25: 5, 0.5: 6, 0.75: 7, 0.9: 8}
_ABOVE = {0: 1, 0.1: 2, 1: 3, 2: 4, 3: 5, 4: 6, 5: 7, 8: 8, 10: 9, 15: 10, 20: 11, 25: 12, 30: 13, 35: 14, 40: 15, 50: 16,
          60: 17, 75: 18, 80: 19, 100: 20}  # fmt: skip
_BELOW = {0: 21, 0.1: 22, 1: 23, -1: 24, -2: 25, -3: 26, -4: 27, -5: 28, -8: 29, -10: 30, -15: 31, -20: 32}


def probability_word(threshold: Threshold) -> int | None:
    """The number of a threshold; None if the schema has none."""
    return (_ABOVE if threshold.above else _BELOW).get(threshold.value)
