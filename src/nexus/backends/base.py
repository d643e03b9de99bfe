"""What every backend type answers: its models, its liveness and how to read its errors.

An adapter is stateless and shared by all backends of its type; what it wants to remember of one
backend between two polls lives in that backend's :class:`Memory`, which the caller owns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Literal, Protocol

import msgspec

from nexus import __version__
from nexus.domain import BackendSpec, BackendStatus, BackendType, FailureKind, Model
from nexus.http.client import Fetched, HttpClient
from nexus.protocol.envelope import Fix
from nexus.protocol.headers import X_NEXUS_VIA, Header, add_gateway

Root = Literal["native", "api"]
"""Which path prefix of a backend a probe starts from: ``native_root`` or ``api_root``."""

Memory = dict[str, Any]
"""What an adapter remembers of one backend between polls; empty it when the backend changes."""

PROBE_BYTES: Final = 4 * 1024 * 1024


class Probe(Protocol):
    """Asks one backend; adapters do no other I/O.

    Law: a probe costs nothing. No path asked through it may generate a token, load a model, wake
    a server, cost money or flood a log.
    """

    async def get(self, path: str, *, root: Root = "native", headers: Sequence[Header] = ()) -> Fetched:
        """Fetch ``path`` below ``root``.

        Raises:
            UpstreamError: there is no complete reply.
        """
        ...

    async def post(
        self, path: str, body: bytes, *, root: Root = "native", headers: Sequence[Header] = ()
    ) -> Fetched:
        """Send the JSON ``body`` to ``path`` below ``root``.

        Raises:
            UpstreamError: there is no complete reply.
        """
        ...


class HttpProbe:
    """A :class:`Probe` over HTTP, with the backend's own key and headers and nobody else's.

    Args:
        client: the shared HTTP client.
        spec: the backend.
        timeout: seconds for each request as a whole.
        gateway_id: this gateway's id for ``X-Nexus-Via``, so that a backend entry that leads
            back here is noticed; empty leaves the header out.
    """

    __slots__ = ("_client", "_headers", "_spec", "_timeout")

    def __init__(
        self, client: HttpClient, spec: BackendSpec, timeout: float, *, gateway_id: str = ""
    ) -> None:
        self._client = client
        self._spec = spec
        self._timeout = timeout
        headers: list[Header] = [
            (b"Accept", b"application/json"),
            (b"Accept-Encoding", b"identity"),
            (b"User-Agent", b"nexus/" + __version__.encode()),
        ]
        if gateway_id:
            headers.append((X_NEXUS_VIA, add_gateway(None, gateway_id)))
        if spec.key is not None:
            headers.append((b"Authorization", b"Bearer " + spec.key.reveal().encode()))
        headers += [(name.encode(), value.reveal().encode()) for name, value in spec.headers.items()]
        self._headers = tuple(headers)

    async def get(self, path: str, *, root: Root = "native", headers: Sequence[Header] = ()) -> Fetched:
        """See :meth:`Probe.get`."""
        return await self._fetch("GET", path, root, headers, b"")

    async def post(
        self, path: str, body: bytes, *, root: Root = "native", headers: Sequence[Header] = ()
    ) -> Fetched:
        """See :meth:`Probe.post`."""
        json = (b"Content-Type", b"application/json")
        return await self._fetch("POST", path, root, (json, *headers), body)

    async def _fetch(
        self, method: str, path: str, root: Root, headers: Sequence[Header], body: bytes
    ) -> Fetched:
        prefix = self._spec.native_root if root == "native" else self._spec.api_root
        return await self._client.fetch(
            self._spec.origin,
            method,
            prefix + path,
            headers=(*self._headers, *headers),
            body=body,
            timeout=self._timeout,
            max_bytes=PROBE_BYTES,
        )


class Report(msgspec.Struct, frozen=True):
    """What one poll found.

    Attributes:
        status: what the backend is now.
        reason: one sentence for the operator; empty when healthy and unremarkable.
        models: under their native names, in the server's order; ``None`` keeps what is known.
        slots: requests it serves at once, when it says so.
        version: the server's own version, or empty.
        type: the dialect that the replies *prove*, when it is not the adapter's own.
        answered: false when there was no complete reply, so that nothing is known of the server.
    """

    status: BackendStatus
    reason: str = ""
    models: tuple[Model, ...] | None = None
    slots: int | None = None
    version: str = ""
    type: BackendType | None = None
    answered: bool = True


class ErrorReading(msgspec.Struct, frozen=True):
    """What an error reply means, before the first byte of a reply was relayed.

    Attributes:
        kind: the row of the failure table.
        message: the backend's own words, cut and cleaned, or a sentence about the status.
        capability: for ``MISSING_CAPABILITY`` what to learn as known false: a field of
            ``Capabilities`` or ``"surface:<name>"``; ``None`` when the refusal is too narrow to
            learn from (try another backend, learn nothing).
        context_length: for ``CONTEXT_OVERFLOW`` the limit that the backend named, in tokens.
    """

    kind: FailureKind
    message: str
    capability: str | None = None
    context_length: int | None = None


class Adapter(ABC):
    """One backend type: only what differs from the others."""

    type: ClassVar[BackendType]
    cloud: ClassVar[bool] = False
    default_slots: ClassVar[int] = 100
    fixes: ClassVar[frozenset[Fix]] = frozenset()
    counts_max_tokens: ClassVar[bool] = False

    @abstractmethod
    async def poll(self, probe: Probe, memory: Memory | None = None) -> Report:
        """Ask once for liveness and models.

        Args:
            probe: asks the backend.
            memory: this backend's memory; without one, nothing is remembered.

        Returns:
            What was found; trouble of any kind is a status with a reason, never an exception.
        """

    @abstractmethod
    def read_error(
        self,
        status: int,
        body: bytes,
        headers: Sequence[Header] = (),
        *,
        surface: str = "",
        request: bytes = b"",
    ) -> ErrorReading:
        """Read a reply that is not a success: any status but 2xx, or 2xx with an error inside.

        Args:
            status: the HTTP status.
            body: the (first part of the) body, or the payload of an error event.
            headers: of the reply.
            surface: the name of the surface that was asked for.
            request: the body that was sent: words that a backend repeats from it teach nothing.
        """
