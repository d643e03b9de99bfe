"""Fixtures of tests that go through a whole gateway; a folder's ``conftest`` imports what it uses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.support.gateway import RunningGateway, Serve, serve

from nexus.testing import FakeFleet


@pytest.fixture
async def fleet() -> AsyncIterator[FakeFleet]:
    async with FakeFleet() as running:
        yield running


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Serve]:
    """Start gateways that end with the test."""
    async with AsyncExitStack() as stack:

        async def begin(toml: str, **environ: str) -> RunningGateway:
            return await stack.enter_async_context(serve(toml, tmp_path, environ))

        yield begin
