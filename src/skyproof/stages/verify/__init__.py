"""Verify: pair what was issued with what happened, keep sums, show them beside every baseline."""
