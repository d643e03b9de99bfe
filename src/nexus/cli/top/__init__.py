"""``nexus top``: the fleet, its models and running requests, live in a terminal (Textual).

Only ``app`` and what it needs import Textual, and only when the screen is really drawn.
"""
