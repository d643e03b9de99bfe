"""Metrics, logs and traces: consumers of domain values."""
