"""What a server is that somebody thinks of adding: asked once, nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus.admin.backends import Backends, Examine
from nexus.admin.metadata import Resolve, refuse_metadata
from nexus.admin.reading import understood
from nexus.config.kinds import Mismatch
from nexus.config.manual import manual_spec, read_manual
from nexus.domain import replace
from nexus.errors import Unprocessable


class Detection:
    """Says what answers at a URL.

    Args:
        backends: asks a server.
        examine: judges it.
        resolve: finds the addresses of a name.
        environ: where keys are.
    """

    def __init__(
        self, backends: Backends, *, examine: Examine, resolve: Resolve, environ: Mapping[str, str]
    ) -> None:
        self._backends = backends
        self._examine = examine
        self._resolve = resolve
        self._environ = environ

    async def detect(self, raw: object) -> dict[str, Any]:
        """Ask a server what it is and what it serves.

        Args:
            raw: a decoded JSON object with the fields with which a backend is added.

        Raises:
            InvalidRequest: a field is unknown, missing or impossible.
            Unprocessable: it leads to a metadata service, or its key is not there.
        """
        manual, _ = understood(read_manual, raw)
        url = manual.parsed
        await refuse_metadata(url.host, url.port, self._resolve)
        try:
            spec = manual_spec(manual, self._environ)
        except Mismatch as error:
            raise Unprocessable(str(error), param="api_key_env") from None
        shown: dict[str, Any] = {"url": str(url), "reachable": False, "serves": False, "type": None}
        shown |= {"version": "", "evidence": "Nothing answers there.", "status": None, "models": []}
        verdict = await self._examine(spec)
        if verdict is None:
            return shown
        shown |= {"reachable": True, "serves": verdict.serves, "type": verdict.type.value}
        shown |= {"version": verdict.version, "evidence": verdict.evidence}
        if verdict.serves:
            look = await self._backends.look(replace(spec, type=verdict.type))
            if look is not None:
                shown["status"] = look.report.status.value
                shown["models"] = [model.id for model in look.report.models or ()]
                shown["version"] = look.report.version or verdict.version
        return shown
