"""Answers customers and proves it: requests, places, representations, identities, keys and receipts. Knows no HTTP."""
