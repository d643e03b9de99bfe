"""Real llama.cpp servers for tests that are marked ``real``, what CI may not skip, Hypothesis's profile."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from nexus.demo.llama import LlamaServer
from nexus.demo.weights import DemoIncomplete, find_weights, require_llama
from nexus.native import is_compiled

MakeLlama = Callable[..., LlamaServer]

# In CI a machine that lacks one of these is a defect, not a reason to test less.
STRICT = os.environ.get("NEXUS_CI") == "1"
NEEDED = {
    "real": "a test of a real server",
    "namespace": "a test in a network namespace",
    "prometheus": "a test with Prometheus",
    "browser": "a test in a browser",
}


# How long an example takes tells how busy the machine is, and nothing else.
settings.register_profile("nexus", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("nexus")

# A shell that runs the tests in the background has SIGINT ignored, and every program that they start
# would inherit that; a handler of ours is what makes it the default there.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    interpreted = item.get_closest_marker("interpreted")
    if interpreted is not None and is_compiled():
        pytest.skip(f"the compiled build: {interpreted.args[0]}")
    if item.get_closest_marker("real") is None:
        return
    try:
        require_llama()
        find_weights()
    except DemoIncomplete as missing:
        pytest.skip(str(missing))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    needed = [what for marker, what in NEEDED.items() if item.get_closest_marker(marker) is not None]
    if STRICT and report.skipped and needed:
        report.outcome = "failed"
        report.longrepr = f"NEXUS_CI=1 forbids skipping {' or '.join(needed)}: {report.longrepr}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """Write halves of characters out, which no process could send another: tests log and raise them."""
    return sayable((yield))


def sayable(value: Any) -> Any:  # noqa: ANN401  # any part of a report
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {sayable(key): sayable(each) for key, each in value.items()}
    return type(value)(map(sayable, value)) if isinstance(value, list | tuple) else value


@pytest.fixture(scope="session")
def make_llama() -> Iterator[MakeLlama]:
    """A factory: same arguments, same server, started (again) when it is not running."""
    servers: dict[tuple[tuple[str, object], ...], LlamaServer] = {}

    def make(number: int = 0, **settings: object) -> LlamaServer:
        key = (("number", number), *sorted(settings.items()))
        server = servers.setdefault(key, LlamaServer(**settings))  # type: ignore[arg-type]  # passed through
        server.thaw()
        server.start()
        return server

    yield make
    for server in servers.values():
        server.stop()


@pytest.fixture
def llama_server(make_llama: MakeLlama) -> LlamaServer:
    """One real server for chat, completions and embeddings, running whatever the test before did to it."""
    return make_llama(embeddings=True)


@pytest.fixture
def llama_pair(make_llama: MakeLlama) -> tuple[LlamaServer, LlamaServer]:
    """Two real servers with the same model, both running; to be killed, frozen and restarted at will."""
    return make_llama(1), make_llama(2)
