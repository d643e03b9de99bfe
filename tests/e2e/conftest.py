"""Gateways in processes of their own over real llama.cpp servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.conftest import MakeLlama
from tests.support.process import NexusProcess, backends_toml, nexus_process, wait_until

StartNexus = Callable[..., NexusProcess]


@pytest.fixture
def start_nexus(tmp_path: Path) -> Iterator[StartNexus]:
    """Start gateways that end with the test; blocks, so call it through a thread from a coroutine."""
    with ExitStack() as stack:

        def start(*arguments: str, toml: str = "", ready: bool = True, **environ: str) -> NexusProcess:
            running = stack.enter_context(nexus_process(tmp_path, *arguments, toml=toml, **environ))
            if ready:
                wait_until(lambda: running.get("/health/ready")[0] == 200)
            return running

        yield start


@pytest.fixture(scope="session")
def gateway(make_llama: MakeLlama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NexusProcess]:
    """One gateway over one real server (``llama``) with chat, completions and embeddings, for calm tests."""
    server = make_llama(embeddings=True)
    toml = backends_toml(("llama", server.url))
    with nexus_process(tmp_path_factory.mktemp("gateway"), toml=toml) as running:
        wait_until(lambda: running.healthy("llama"))
        yield running
