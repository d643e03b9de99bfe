"""Metrics and logs: consumers of domain values."""
