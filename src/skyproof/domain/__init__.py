"""Words, types, units, errors and protocols. Imports nothing else of Skyproof; opens no file, asks no clock."""
