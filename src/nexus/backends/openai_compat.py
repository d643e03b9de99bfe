"""What every server with an OpenAI surface has in common, and the type for those without a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from nexus.backends import failures, shapes
from nexus.backends.base import Adapter, ErrorReading, Memory, Probe, Report, Root
from nexus.backends.listing import model_of, models_of, proven_type, read_rows
from nexus.backends.wordings import Words
from nexus.domain import BackendStatus, BackendType, FailureKind, Model
from nexus.errors import UpstreamError
from nexus.http.client import Fetched
from nexus.protocol.headers import Header, find


class OpenAICompatible(Adapter):
    """Reads ``GET /models`` and the error shapes that servers share.

    A type overrides :meth:`model` for fields of its own rows, :meth:`examine` for a round of its
    own, and ``words`` for errors that only it spells that way.
    """

    words: ClassVar[Words] = ()

    async def poll(self, probe: Probe, memory: Memory | None = None) -> Report:
        """See :meth:`Adapter.poll`."""
        memory = {} if memory is None else memory
        try:
            return await self.examine(probe, memory)
        except UpstreamError as error:
            # Another version may come back in its place.
            memory.clear()
            return Report(BackendStatus.UNHEALTHY, unreachable(error), answered=False)

    async def examine(self, probe: Probe, memory: Memory) -> Report:  # noqa: ARG002 (types with a memory use it)
        """Make the round; an ``UpstreamError`` that leaves it means unreachable."""
        return await self.listed(probe)

    async def listed(self, probe: Probe, path: str = "/models") -> Report:
        """Read the OpenAI model list into a report."""
        reply = await probe.get(path, root="api")
        if reply.status != 200:
            return self.refused(reply)
        rows = read_rows(reply.body)
        if rows is None:
            return self.misfit(reply)
        proven = proven_type(reply, rows)
        return Report(
            BackendStatus.HEALTHY,
            models=models_of(rows, self.model),
            type=proven if proven is not self.type else None,
        )

    def model(self, row: shapes.Row) -> Model | None:
        """Read one row of the list; ``None`` leaves it out."""
        return model_of(row)

    def read_error(
        self,
        status: int,
        body: bytes,
        headers: Sequence[Header] = (),
        *,
        surface: str = "",
        request: bytes = b"",
    ) -> ErrorReading:
        """See :meth:`Adapter.read_error`."""
        return failures.read(status, body, headers, surface=surface, request=request, words=self.words)

    def refused(self, reply: Fetched) -> Report:
        """Turn a probe's status other than 200 into a report."""
        reading = self.read_error(reply.status, reply.body, reply.headers)
        status, reason = _verdict(reading, reply)
        proven = proven_type(reply)
        return Report(status, reason, type=proven if proven is not self.type else None)

    def misfit(self, reply: Fetched) -> Report:
        """Report a 200 whose body is not what was asked for."""
        proven = BackendType.LMSTUDIO if failures.is_lmstudio(reply.body) else proven_type(reply)
        if (stated := failures.stated_in(reply.body)) is not None:
            reason = f"answered 200 with an error instead of its models: {stated}"
        else:
            reason = "what it answers is not a model list: is the path of its `url` right?"
        return Report(BackendStatus.UNHEALTHY, reason, type=proven if proven is not self.type else None)


class GenericAdapter(OpenAICompatible):
    """Any OpenAI-compatible server without a type of its own."""

    type = BackendType.GENERIC


async def optional(probe: Probe, path: str, root: Root = "native") -> object:
    """Fetch what is good to have: the decoded body of a 200, else ``None``."""
    try:
        reply = await probe.get(path, root=root)
    except UpstreamError:
        return None
    return shapes.decode(reply.body) if reply.status == 200 else None


def unreachable(error: UpstreamError) -> str:
    """Return one sentence for an attempt without a reply."""
    return shapes.text(str(error), 300) or type(error).__name__


def _verdict(reading: ErrorReading, reply: Fetched) -> tuple[BackendStatus, str]:
    said, status, kind = reading.message, reply.status, reading.kind
    if kind is FailureKind.BUSY and status == 503 and find(reply.headers, b"retry-after") is not None:
        kind = FailureKind.LOADING
    if kind is FailureKind.BUSY and status == 429:
        return BackendStatus.HEALTHY, f"up, but limits how often it is asked (429): {said}"
    if kind is FailureKind.CREDENTIALS and status == 403 and not reply.body.strip():
        return BackendStatus.UNAUTHORIZED, _WORDLESS
    if kind is FailureKind.REDIRECT:
        target = failures.target_of(reply.headers)
        return BackendStatus.UNHEALTHY, f"redirects ({status}) to {target}: correct its `url`"
    if kind in _WRONG_PATH:
        return BackendStatus.UNHEALTHY, f"has no model list ({status}): is the path of its `url` right?"
    verdict, sentence = _VERDICTS.get(kind, (BackendStatus.UNHEALTHY, "answered {status}: {said}"))
    return verdict, sentence.format(status=status, said=said)


_WRONG_PATH: Final = (FailureKind.MISSING_CAPABILITY, FailureKind.UNKNOWN_MODEL)

_WORDLESS: Final = (
    "refuses (403) without a word, as Ollama does when it is called by a foreign name: have the proxy "
    "send `Host: localhost:11434`, or set OLLAMA_HOST=0.0.0.0 on the server"
)

REFUSES_CREDENTIALS: Final = "refuses the credentials"
"""How the reason begins when a key may help."""

_VERDICTS: Final = {
    FailureKind.CREDENTIALS: (
        BackendStatus.UNAUTHORIZED,
        REFUSES_CREDENTIALS + " ({status}): {said}",
    ),
    FailureKind.BILLING: (BackendStatus.UNAUTHORIZED, "refuses for billing ({status}): {said}"),
    FailureKind.LOADING: (BackendStatus.LOADING, "loading: {said}"),
    FailureKind.LOOP: (BackendStatus.UNHEALTHY, "its `url` leads back to this gateway"),
}
