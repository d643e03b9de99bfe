"""Nexus: one OpenAI endpoint over every inference server around it."""

__version__ = "0.1.0"
