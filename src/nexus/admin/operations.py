"""What can be done to the backends of a running Nexus, whoever asks for it.

Laws held here: where a backend came from says what may be done to it; a change that cannot outlive
the process says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from nexus.admin import reading
from nexus.admin.backends import Backends, Examine
from nexus.admin.metadata import Resolve, refuse_metadata
from nexus.admin.places import Places
from nexus.config.kinds import Mismatch, suggestion
from nexus.config.manual import Manual, manual_spec, read_manual
from nexus.domain import Backend, BackendSpec, BackendStatus, DiscoverySource, replace
from nexus.errors import Conflict, NotFound, Unprocessable
from nexus.observe.events import EventLog
from nexus.registry import BackendView, Registry
from nexus.services.kept_backends import KeptBackends

_log: Final = EventLog("admin")

_NAME_BYTES: Final = 64
_DISCOVERED: Final = "kept until Nexus ends or finds the backend anew"
_STATIC: Final = "kept until Nexus ends or the backend's entry in its configuration changes"


class Operations:
    """Lists, adds, changes, removes and checks backends.

    Args:
        registry: what is shown.
        backends: what is acted through.
        examine: what a new server is judged by.
        resolve: finds the addresses of a name.
        kept: the backends that were added, for the next start.
        environ: where keys are.
    """

    def __init__(
        self,
        registry: Registry,
        backends: Backends,
        *,
        examine: Examine,
        resolve: Resolve,
        kept: KeptBackends,
        environ: Mapping[str, str],
    ) -> None:
        self._registry = registry
        self._backends = backends
        self._examine = examine
        self._resolve = resolve
        self._kept = kept
        self._environ = environ
        self._places = Places(registry)
        self._manual: dict[str, Manual] = {}

    def restore(self) -> None:
        """Add what was kept; what the configuration has by now is left to it, and the log says so."""
        for manual in self._kept.load():
            try:
                spec = manual_spec(manual, self._environ)
                self._manual[manual.name] = manual
                self._enter(manual, spec)
            except (Conflict, Mismatch) as error:
                _log.warning("left an added backend out", backend=manual.name, reason=str(error))

    def follow_configuration(self) -> None:
        """Leave to the configuration what it has by now, by any name; bring back what it has let go."""
        for spec in self._places.doubled():
            if not self._backends.leaving(spec.id):
                _log.info("an added backend gives way to the configuration", backend=spec.name)
                self._backends.remove(spec.id)
        for manual in tuple(self._manual.values()):
            if self._registry.get(manual.name) is None:
                with suppress(Conflict, Mismatch):
                    self._enter(manual, manual_spec(manual, self._environ))
                    _log.info("an added backend is back, its place is free again", backend=manual.name)

    def _enter(self, manual: Manual, spec: BackendSpec) -> None:
        self._places.refuse_taken(manual)
        self._backends.put(spec)
        if manual.draining:
            self._backends.drain(spec.id, draining=True)

    def views(self) -> list[dict[str, Any]]:
        """Return every backend as it may be shown, in the order in which they came."""
        return [self._shown(view) for view in self._registry.views()]

    def view(self, reference: str) -> dict[str, Any]:
        """Return one backend as it may be shown.

        Raises:
            NotFound: there is none of this id or name.
        """
        return self._view(self._find(reference).id)

    async def add(self, raw: object) -> dict[str, Any]:
        """Add a backend for this run and the next ones.

        Args:
            raw: a decoded JSON object with the fields of ``config.manual.FIELDS``.

        Returns:
            Its view after one check.

        Raises:
            InvalidRequest: a field is unknown, missing or impossible.
            Conflict: the name or the address is taken.
            Unprocessable: it leads to a metadata service, has no key, or is no inference server.
        """
        manual, named = reading.understood(read_manual, raw)
        if not named:
            manual = replace(manual, name=self._places.free_name(manual))
        with self._places.reserved(manual):
            url = manual.parsed
            await refuse_metadata(url.host, url.port, self._resolve)
            try:
                spec = manual_spec(manual, self._environ)
            except Mismatch as error:
                raise Unprocessable(str(error), param="api_key_env") from None
            verdict = await self._examine(spec)
            if verdict is not None and not verdict.serves and manual.type is None:
                raise Unprocessable(
                    f"Something answers there, and it is no inference server: {verdict.evidence}. "
                    'Correct "url", or say with "type" what it is.',
                    param="url",
                )
            # While the server was asked, the configuration may have brought the same one.
            self._places.refuse_taken(manual)
            self._backends.put(spec, None if verdict is None else verdict.type)
            self._manual[manual.name] = manual
        _log.info("backend was added", backend=manual.name, url=manual.url)
        note = await self._kept.keep(manual)
        await self._backends.check(spec.id)
        return self._view(spec.id, note)

    async def change(self, reference: str, raw: object) -> dict[str, Any]:
        """Change priority, slots, or whether a backend takes requests.

        Args:
            reference: id or name.
            raw: a decoded JSON object with some of ``priority``, ``slots``, ``drain``, ``enabled``.

        Raises:
            InvalidRequest: a field is unknown or impossible, or cannot be changed.
            NotFound: there is no such backend.
            Conflict: it is being removed.
        """
        backend = self._find(reference)
        if self._backends.leaving(backend.id):
            raise Conflict(f"'{backend.name}' is being removed, as soon as its last request has ended.")
        values, draining = reading.understood(reading.changes, raw)
        spec = replace(backend.spec, **values)
        if spec != backend.spec:
            self._backends.put(spec)
        if draining is not None:
            self._backends.drain(backend.id, draining=draining)
        said = values if draining is None else values | {"draining": draining}
        if said:
            _log.info("backend was changed", backend=backend.name, **said)
        return self._view(backend.id, await self._remember(backend, said))

    async def remove(self, reference: str, *, drain: bool) -> tuple[bool, dict[str, Any]]:
        """Remove a backend that was added, now and for the next start.

        Args:
            reference: id or name.
            drain: let its running requests end first.

        Returns:
            Whether it is gone already, and its last view.

        Raises:
            NotFound: there is no such backend.
            Conflict: it was not added: it would come back by itself.
        """
        backend = self._find(reference)
        if backend.spec.source is DiscoverySource.STATIC:
            raise Conflict(
                f"'{backend.name}' is in the configuration: remove it there. "
                "Until then it can be drained, which sends it no new requests."
            )
        if backend.spec.source is not DiscoverySource.MANUAL:
            raise Conflict(
                f"'{backend.name}' was found ({backend.spec.found_by or backend.spec.source}) and would be "
                "found again: drain it, which sends it no new requests."
            )
        view = self._view(backend.id)
        # First, or it would be back as soon as its place is free.
        self._manual.pop(backend.name, None)
        self._backends.remove(backend.id, drain=drain)
        gone = self._registry.get(backend.id) is None
        _log.info("backend was removed", backend=backend.name, in_flight=view["in_flight"])
        note = await self._kept.forget(backend.name)
        if self._registry.get(backend.id) is not None:
            view = self._view(backend.id)
        return gone, view | ({"note": note} if note else {})

    async def check(self, reference: str) -> dict[str, Any]:
        """Ask a backend now.

        Returns:
            Its view after that, with this one check's result under ``check``: a status changes
            only when several checks in a row agree.

        Raises:
            NotFound: there is no such backend, or no longer.
        """
        backend = self._find(reference)
        await self._backends.check(backend.id)
        now = self._registry.get(backend.id) or backend
        look = await self._backends.look(replace(now.spec, type=now.type))
        if self._registry.get(backend.id) is None:
            raise NotFound(f"'{backend.name}' was removed while it was checked.")
        result = {"status": BackendStatus.UNHEALTHY.value, "reason": "it does not answer"}
        if look is not None:
            result = {"status": look.report.status.value, "reason": look.report.reason}
        return self._view(backend.id) | {"check": result}

    # --- who is there ----------------------------------------------------------------------

    def _find(self, reference: str) -> Backend:
        backends = self._registry.snapshot.backends
        found = backends.get(reference)
        if found is None:
            found = next((one for one in backends.values() if one.name == reference), None)
        if found is None:
            near = suggestion(reference[:_NAME_BYTES], (one.name for one in backends.values()))
            raise NotFound(f"There is no backend '{reference[:200]}'{near if backends else ''}.")
        return found

    def _view(self, backend_id: str, note: str = "") -> dict[str, Any]:
        view = next((view for view in self._registry.views() if view.id == backend_id), None)
        if view is None:
            raise NotFound("The backend was removed meanwhile.")
        return self._shown(view) | ({"note": note} if note else {})

    def _shown(self, view: BackendView) -> dict[str, Any]:
        shown: dict[str, Any] = msgspec.to_builtins(view)
        return shown | {"leaving": self._backends.leaving(view.id)}

    # --- what outlives the process ---------------------------------------------------------

    async def _remember(self, backend: Backend, said: dict[str, Any]) -> str:
        """Keep a change where it can be kept; else return how long it holds."""
        manual = self._manual.get(backend.name)
        if not said:
            return ""
        if backend.spec.source is DiscoverySource.STATIC:
            return f"The change is {_STATIC}."
        if manual is None or backend.spec.source is not DiscoverySource.MANUAL:
            return f"The change is {_DISCOVERED}."
        manual = self._manual[backend.name] = replace(manual, **said)
        return await self._kept.keep(manual)
