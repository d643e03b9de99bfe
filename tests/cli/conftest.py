from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.support import Command, Stub
from tests.support.fixtures import fleet, start

__all__ = ["fleet", "nexus", "start", "stub"]


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    yield server
    server.close()


@pytest.fixture
def nexus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """``nexus`` in a folder and an environment without configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (
        "NEXUS_API_KEY",
        "NEXUS_HOST",
        "NEXUS_PORT",
        "NEXUS_CONFIG",
        "NEXUS_BACKENDS",
        "NEXUS_ADMIN_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)
    return Command()
