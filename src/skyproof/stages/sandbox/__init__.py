"""Sandbox: a simulated planet with a known truth, so that the whole product runs offline. Never taken for real weather."""
