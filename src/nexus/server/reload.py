"""Reads the configuration again and brings a running gateway to it.

Laws: an invalid file changes nothing, neither does a reload that a defect of Nexus stops, and the
next reload works; new servers are looked at before anything changes, so that what replaces a
backend serves from the moment the other one leaves; then everything changes in one step without an
``await``, so that every decision sees either the old or the new.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from nexus.config.changes import Changes, applied, described, difference
from nexus.config.load import Loaded
from nexus.config.source import Source
from nexus.domain import BackendSpec, replace
from nexus.errors import ConfigError
from nexus.observe import logs
from nexus.observe.defects import Defects
from nexus.observe.events import EventLog
from nexus.observe.writer import LineWriter
from nexus.server import settings
from nexus.server.administration import admin_door
from nexus.server.compose import Nexus
from nexus.server.fleet import Look, asked
from nexus.server.terminal import Announce
from nexus.services.config_watch import ConfigWatch, watchable
from nexus.tasks import Clock, SystemClock, TaskOwner

_log: Final = EventLog("config")

LOOK_SECONDS: Final = 3.0


class Reloader:
    """Reloads when asked to and when the file changes, one reload at a time.

    Args:
        nexus: what is brought up to date.
        source: where the configuration comes from.
        writer: takes log lines.
        announce: takes lines for the person at the terminal.
        clock: the time.
    """

    def __init__(
        self,
        nexus: Nexus,
        source: Source,
        writer: LineWriter,
        announce: Announce,
        clock: Clock | None = None,
    ) -> None:
        self._nexus = nexus
        self._source = source
        self._writer = writer
        self._announce = announce
        self._tasks = TaskOwner("reload")
        self._wanted = asyncio.Event()
        self._asked = False
        self._defects = Defects(_log, "a reload failed by a defect of Nexus")
        self._watch = ConfigWatch(
            self._watched, self._file_changed, self._file_vanished, clock or SystemClock()
        )

    def start(self) -> None:
        """Serve requests to reload, and watch the file."""
        self._tasks.spawn(self._run(), "reload")
        self._tasks.spawn(self._watch.run(), "watch")

    async def close(self) -> None:
        """End a reload that runs, before it has changed anything, and the watch."""
        await self._tasks.close()

    def ask(self) -> None:
        """Reload as soon as possible, and say so even when nothing has changed."""
        self._asked = True
        self._wanted.set()

    async def reload(self, *, asked: bool = True) -> bool:
        """Read the configuration and apply what differs.

        Args:
            asked: somebody waits for an answer: also say that nothing has changed.

        Returns:
            Whether the configuration is valid.
        """
        try:
            new = self._source.load(self._path())
        except ConfigError as error:
            self._announce(f"Configuration not reloaded, nothing has changed: {error}")
            _log.warning("configuration is wrong, nothing has changed", error=str(error))
            return False
        changes = difference(self._nexus.loaded, new)
        looks = await self._look(changes)
        said = self._nexus.loaded.warnings
        self._apply(new, changes, looks)
        await self._nexus.follow()
        self._tell(new, changes, said, asked=asked)
        return True

    def _path(self) -> Path | None:
        path = self._nexus.loaded.path or self._source.find()
        if path is not None and not watchable(path):
            raise ConfigError(f"{path}: expected a file that can be read twice; start Nexus anew instead")
        return path

    async def _look(self, changes: Changes) -> dict[str, Look]:
        """Ask new servers what they have; one that does not answer in time is checked later."""
        moved = [after for before, after in changes.changed if asked(before) != asked(after)]
        owner = TaskOwner("look")
        tasks = {spec.id: owner.spawn(self._one(spec), spec.id) for spec in (*changes.added, *moved)}
        if not tasks:
            return {}
        try:
            await asyncio.wait(tasks.values(), timeout=LOOK_SECONDS)
            done = {name: task.result() for name, task in tasks.items() if task.done()}
        finally:
            await owner.close()
        return {name: look for name, look in done.items() if look is not None}

    async def _one(self, spec: BackendSpec) -> Look | None:
        return await self._nexus.fleet.look(spec)

    def _apply(self, new: Loaded, changes: Changes, looks: dict[str, Look]) -> None:
        nexus = self._nexus
        config = applied(nexus.loaded.config, changes)
        loaded = replace(new, config=config)
        # Whatever is made of the new configuration is made before anything changes.
        gateway = settings.gateway_settings(loaded, nexus.gateway_id)
        door = admin_door(loaded, nexus.administration.one_time_token)
        timeouts, health = settings.timeouts(loaded), settings.health_settings(loaded)
        for spec in (*changes.added, *(after for _, after in changes.changed)):
            nexus.fleet.put(spec, look=looks.get(spec.id))
        for spec in changes.removed:
            nexus.fleet.remove(spec.id)
        # Only now: what a defect has left undone so far, the next reload does again.
        nexus.loaded = loaded
        nexus.registry.set_rules(loaded.rules)
        nexus.gateway.reconfigure(gateway)
        if nexus.administration.app is not None:
            nexus.administration.app.reconfigure(door)
        nexus.dispatcher.set_timeouts(timeouts)
        nexus.lifecycle.needs_backend = config.server.ready_needs_backend
        if changes.touches("health_check"):
            nexus.health.reconfigure(health, periodic=config.health_check.enabled)
        if changes.touches("logging"):
            logging = config.logging
            logs.configure(self._writer, logging.level, logging.format, logging.component_levels, nexus.mask)
            nexus.observed.request_log.restyle(logging.format)
            settings.tell(nexus.loaded, nexus.dispatcher, nexus.exchanges, nexus.tracer)
        if changes.touches("metrics"):
            metrics = config.metrics
            nexus.observed.metrics.reconfigure(max_series=metrics.max_series, genai=metrics.genai)
        if changes.touches("history"):
            nexus.observed.history.resize(*settings.history_bounds(nexus.loaded))

    def _tell(self, new: Loaded, changes: Changes, said: tuple[str, ...], *, asked: bool) -> None:
        lines = described(changes)
        news = [warning for warning in new.warnings if warning not in said]
        if lines or asked:
            what = (
                f"{len(lines)} {'change' if len(lines) == 1 else 'changes'}"
                if lines
                else "nothing has changed"
            )
            self._announce(f"Configuration reloaded from {new.path or 'flags and environment'}: {what}")
        for line in lines:
            self._announce(f"  {line}")
        for warning in news:
            self._announce(f"Warning: {warning}")
        if lines or news:
            _log.info("configuration reloaded", path=str(new.path or ""), changes=lines, warnings=news)

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            asked, self._asked = self._asked, False
            try:
                await self.reload(asked=asked)
            except Exception as error:  # noqa: BLE001  # logged and told: the next reload may work
                self._defects.happened(error)
                self._announce(
                    "Configuration not reloaded: a defect of Nexus stopped it "
                    f"({type(error).__name__}); the log has the traceback"
                )
            else:
                self._defects.over()

    def _watched(self) -> Path | None:
        """Return the file to look at; ``None`` while there is none or it is not to be watched."""
        loaded = self._nexus.loaded
        if not loaded.config.server.reload:
            return None
        path = loaded.path
        if path is None:
            try:
                path = self._source.find()
            except ConfigError:
                # Whoever asks for a reload is told.
                return None
        return path if path is not None and watchable(path) else None

    def _file_changed(self) -> None:
        self._wanted.set()

    def _file_vanished(self, path: Path) -> None:
        self._announce(f"Warning: {path} has vanished; its configuration stays in force")
        _log.warning("configuration file has vanished, nothing has changed", path=str(path))
