"""Builds a wheel whose request path is native code: same sources, same behaviour, less work."""
