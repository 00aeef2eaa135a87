"""Skyproof: calibrated weather forecasts with a receipt for every number."""

__version__ = "0.1.0"
__all__ = ["__version__"]
