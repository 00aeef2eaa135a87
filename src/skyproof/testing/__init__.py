"""Contract tests to run against your own implementation of an extension point."""
