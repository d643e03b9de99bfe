"""Seeing and changing a running Nexus: everything below ``/admin``."""
