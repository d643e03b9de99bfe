from __future__ import annotations

import pytest

from nexus.domain import Origin


@pytest.mark.parametrize(
    ("origin", "authority"),
    [
        (Origin("http", "localhost", 8000), "localhost:8000"),
        (Origin("http", "localhost", 80), "localhost"),
        (Origin("https", "api.example", 443), "api.example"),
        (Origin("https", "api.example", 80), "api.example:80"),
        (Origin("http", "::1", 11434), "[::1]:11434"),
    ],
)
def test_the_host_header_has_brackets_and_no_default_port(origin: Origin, authority: str) -> None:
    assert origin.authority == authority
