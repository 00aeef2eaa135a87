"""The stages of a forecast's life. None imports another; they meet in the archive."""
