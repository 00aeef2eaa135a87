"""The HTTP API: translates requests into questions for the stages and their answers back. Holds no logic of its own."""
