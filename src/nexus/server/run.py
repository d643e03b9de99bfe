"""Runs one gateway as a process: event loop, signals, exit code."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from nexus.config.load import Loaded
from nexus.domain import Backend, BackendStatus
from nexus.http.limits import raise_open_files
from nexus.observe import logs
from nexus.observe.events import EventLog
from nexus.observe.writer import LineWriter
from nexus.server.compose import Nexus
from nexus.tasks import TaskOwner

_log: Final = EventLog("server")

_T = TypeVar("_T")

Announce = Callable[[str], None]


def run(loaded: Loaded, *, announce: Announce) -> int:
    """Serve until a signal ends it.

    The first SIGTERM or SIGINT drains, a second one ends at once.

    Args:
        loaded: a valid configuration.
        announce: takes lines for the person at the terminal.

    Returns:
        The exit code: 0.

    Raises:
        StartError: the address cannot be bound, or a certificate cannot be read.
    """
    raise_open_files()
    logging = loaded.config.logging
    writer = LineWriter(sys.stderr.fileno())
    logs.configure(writer, logging.level, logging.format, logging.component_levels)
    writer.start()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(loaded, writer, announce))
    finally:
        writer.close()
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415  # does not exist on Windows

    return uvloop.new_event_loop


async def _serve(loaded: Loaded, writer: LineWriter, announce: Announce) -> None:
    nexus = Nexus(loaded, writer, os.environ)
    signals = _Signals()
    signals.install()
    try:
        await nexus.start()
        for line in _greeting(nexus):
            announce(line)
        await _unless(signals.first, nexus.first_round())
        if not signals.first.is_set():
            for line in _fleet(nexus):
                announce(line)
        _settle_memory()
        await signals.first.wait()
        seconds = loaded.config.server.drain_seconds
        running = len(nexus.exchanges.running)
        announce(
            f"Stopping: {running} running requests may take up to {seconds:g} s. Signal again to end now."
            if running
            else "Stopping."
        )
        cut = await _unless(signals.second, nexus.drain(seconds))
        if cut:
            announce(f"Cut {cut} requests that were still running.")
            _log.warning("cut running requests", count=cut)
    finally:
        await nexus.close()


def _settle_memory() -> None:
    """Take what start-up made out of the collector's rounds: it lives as long as the process."""
    gc.collect()
    gc.freeze()


class _Signals:
    """The first signal and the second one, as events."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    def install(self) -> None:
        """Take SIGTERM and SIGINT from now on."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            if sys.platform == "win32":
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self._received))
            else:
                loop.add_signal_handler(number, self._received)

    def _received(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def _unless(event: asyncio.Event, work: Coroutine[Any, Any, _T]) -> _T | None:
    """Do ``work``, but give it up and return ``None`` as soon as ``event`` is set."""
    owner = TaskOwner("serve")
    task, stop = owner.spawn(work, "work"), owner.spawn(event.wait(), "signal")
    try:
        await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        await owner.close()


def _greeting(nexus: Nexus) -> list[str]:
    lines = [f"Nexus listens on {nexus.base_url}", f"Base URL for OpenAI clients: {nexus.base_url}/v1"]
    lines += [f"Warning: {warning}" for warning in nexus.loaded.warnings]
    return lines


def _fleet(nexus: Nexus) -> list[str]:
    backends = nexus.registry.snapshot.backends.values()
    if not backends:
        return [
            "No backend is configured. Name one now:",
            "  nexus serve --backend http://127.0.0.1:11434",
            "or write a nexus.toml ('nexus config init' makes one).",
            "To try Nexus without a server of your own: nexus demo",
        ]
    return [_describe(backend) for backend in backends]


def _describe(backend: Backend) -> str:
    if backend.status is BackendStatus.HEALTHY:
        names = [model.id for model in backend.models]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return f"Found {backend.name} ({backend.type}): {shown or 'no models'}"
    return f"Not usable now: {backend.name} ({backend.type}) is {backend.status}: {backend.reason}"
