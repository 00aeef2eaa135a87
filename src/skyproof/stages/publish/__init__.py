"""Publish: check a forecast, then commit it whole or withhold it with a reason."""
