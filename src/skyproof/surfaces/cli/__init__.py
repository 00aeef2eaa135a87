"""The command line: ``skyproof``."""

from skyproof.surfaces.cli.app import main

__all__ = ["main"]
