"""Taking in what weather models and stations say: checked against its contract, flagged, never quietly dropped."""
