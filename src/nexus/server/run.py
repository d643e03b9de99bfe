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
from nexus.config.source import Source
from nexus.http.limits import raise_open_files
from nexus.observe import logs
from nexus.observe.events import EventLog
from nexus.observe.mask import Mask
from nexus.observe.writer import LineWriter
from nexus.server import settings
from nexus.server.compose import Nexus
from nexus.server.greeting import Newcomers, fleet, opening
from nexus.server.reload import Reloader
from nexus.server.terminal import Announce, Terminal
from nexus.tasks import TaskOwner

_log: Final = EventLog("server")

_T = TypeVar("_T")

_OBJECTS_BETWEEN_ROUNDS: Final = 10_000


def run(loaded: Loaded, source: Source, *, announce: Announce) -> int:
    """Serve until a signal ends it.

    The first SIGTERM or SIGINT drains, a second one ends at once. SIGHUP reads the configuration
    again.

    Args:
        loaded: a valid configuration.
        source: where it came from.
        announce: takes lines for the person at the terminal.

    Returns:
        The exit code: 0.

    Raises:
        StartError: the address cannot be bound, or a certificate cannot be read.
    """
    raise_open_files()
    logging = loaded.config.logging
    writer = LineWriter(sys.stderr.fileno())
    mask = Mask(lambda: settings.secrets(loaded, os.environ))
    logs.configure(writer, logging.level, logging.format, logging.component_levels, mask)
    logs.catch_strays()
    writer.start()
    terminal = Terminal(announce)
    terminal.start()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(loaded, source, writer, mask, terminal.say))
    finally:
        terminal.close()
        writer.close()
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415  # does not exist on Windows

    return uvloop.new_event_loop


async def _serve(loaded: Loaded, source: Source, writer: LineWriter, mask: Mask, announce: Announce) -> None:
    nexus = Nexus(loaded, writer, os.environ, mask=mask)
    reloader = Reloader(nexus, source, writer, announce)
    signals = _Signals(reloader.ask)
    signals.install()
    try:
        await nexus.start()
        for line in opening(nexus):
            announce(line)
        await _unless(signals.first, nexus.first_look())
        if not signals.first.is_set():
            for line in fleet(nexus):
                announce(line)
            Newcomers(nexus, announce)
            reloader.start()
        _settle_memory()
        await signals.first.wait()
        await reloader.close()
        await _stop(nexus, signals, announce)
    finally:
        await reloader.close()
        await nexus.close()


async def _stop(nexus: Nexus, signals: _Signals, announce: Announce) -> None:
    seconds = nexus.loaded.config.server.drain_seconds
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


def _settle_memory() -> None:
    """Take what start-up made out of the collector's rounds: it lives as long as the process."""
    gc.collect()
    gc.freeze()
    # Every wave of requests makes a thousand objects that die with it, in no cycle: to look through them
    # each time took six per cent of the work. What does form cycles, such as errors, waits a little longer.
    gc.set_threshold(_OBJECTS_BETWEEN_ROUNDS, 10, 10)


class _Signals:
    """The first signal that ends and the second one, as events; and the one that reloads."""

    def __init__(self, reload: Callable[[], None]) -> None:
        self._reload = reload
        self.first = asyncio.Event()
        self.second = asyncio.Event()

    def install(self) -> None:
        """Take SIGTERM, SIGINT and SIGHUP from now on."""
        loop = asyncio.get_running_loop()
        if sys.platform != "win32":
            loop.add_signal_handler(signal.SIGHUP, self._reload)
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
