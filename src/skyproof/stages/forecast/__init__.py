"""Forecast: experts answer, the blend joins them, the regime's calibration widens what must be wider."""
