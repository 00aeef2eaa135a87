"""Learn: from history to a release, an immutable artefact that pins all that made it."""
