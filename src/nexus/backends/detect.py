"""Which dialect a server of unknown type speaks.

Laws held here: the first question is ``GET /v1/models``, which every server understands, logs
quietly and answers without generating; the next questions are asked only where an answer hinted
at them, and the first proof ends it. A port is never evidence, and neither is a status alone:
several servers imitate others, and one answers 200 to everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from nexus.backends import shapes
from nexus.backends.base import Probe
from nexus.backends.listing import proven_type, read_rows
from nexus.backends.lmstudio import says_express
from nexus.backends.openai_compat import optional
from nexus.backends.vllm import version_of
from nexus.domain import BackendType, Origin
from nexus.errors import UpstreamError
from nexus.http.client import Fetched
from nexus.protocol.headers import find

_LOCALAI_FAKE: Final = "0.9.0"
"""The version that LocalAI claims when it imitates Ollama."""

_OPENAI_HOST: Final = "api.openai.com"


class Verdict(msgspec.Struct, frozen=True):
    """What a server is.

    Attributes:
        type: the dialect to speak with it.
        evidence: one sentence that says why, for the operator.
        version: the server's own, or empty.
        proven: false when ``GENERIC`` only means that nothing was recognised: worth asking again
            after the next change of status.
    """

    type: BackendType
    evidence: str
    version: str = ""
    proven: bool = True


class _Seen(msgspec.Struct, frozen=True):
    """The reply to the first question."""

    reply: Fetched
    rows: list[shapes.Row] | None

    @property
    def owners(self) -> set[str]:
        """Every ``owned_by`` in the list."""
        return {owner for row in self.rows or () if (owner := shapes.text(row.get("owned_by")))}

    @property
    def lacks_owner(self) -> bool:
        """Whether the list has rows and one of them has no owner."""
        return any("owned_by" not in row for row in self.rows or ())


_Step = Callable[[Probe, _Seen], Awaitable[Verdict | None]]


async def detect(probe: Probe) -> Verdict | None:
    """Find the dialect of one server.

    Args:
        probe: asks it, with the key it was configured with.

    Returns:
        The proven dialect, else ``GENERIC`` with what was seen; ``None`` when the server did not
        answer the first question, so that a poll should say why.
    """
    try:
        reply = await probe.get("/models", root="api")
    except UpstreamError:
        return None
    seen = _Seen(reply, read_rows(reply.body) if reply.status == 200 else None)
    for step in _STEPS:
        if (verdict := await step(probe, seen)) is not None:
            return verdict
    return _nothing_recognised(seen)


def known_host(origin: Origin) -> Verdict | None:
    """Name the dialect of a public API by its host, so that it is never probed to find out."""
    if origin.host.lower().rstrip(".") == _OPENAI_HOST:
        return Verdict(BackendType.OPENAI, f"its host is {_OPENAI_HOST}")
    return None


async def _by_first_reply(probe: Probe, seen: _Seen) -> Verdict | None:
    """Steps 1 and 2: a ``Server`` header, then an ``owned_by`` that only one server writes."""
    proven = proven_type(seen.reply, seen.rows)
    if proven is BackendType.GENERIC:
        return Verdict(proven, "its Server header names another Nexus")
    if proven is BackendType.LLAMACPP:
        props = shapes.mapping(await optional(probe, "/props"))
        return Verdict(proven, "its replies say `Server: llama.cpp`", shapes.text(props.get("build_info")))
    if proven is BackendType.VLLM:
        version = version_of(await optional(probe, "/version"))
        return Verdict(proven, 'its models are owned_by "vllm"', version)
    if proven is not None:
        return Verdict(proven, f'its models are owned_by "{proven.value}"')
    return None


async def _lmstudio(probe: Probe, seen: _Seen) -> Verdict | None:
    """Step 3: a Node server may be LM Studio, whose greeting is the proof."""
    if not says_express(seen.reply.headers):
        return None
    greeting = shapes.mapping(await optional(probe, "/lmstudio-greeting"))
    if greeting.get("lmstudio") is True:
        return Verdict(BackendType.LMSTUDIO, "/lmstudio-greeting greets as LM Studio")
    return None


async def _localai(probe: Probe, seen: _Seen) -> Verdict | None:
    """Step 4: rows without an owner, or a Bearer challenge, may be LocalAI."""
    challenge = (find(seen.reply.headers, b"www-authenticate") or b"").strip().lower()
    challenged = seen.reply.status == 401 and challenge.startswith(b"bearer")
    return await _ask_localai(probe) if challenged or seen.lacks_owner else None


async def _ask_localai(probe: Probe) -> Verdict | None:
    version = version_of(await optional(probe, "/.well-known/localai.json"))
    if not version:
        return None
    evidence = "/.well-known/localai.json is LocalAI's: spoken to as generic"
    return Verdict(BackendType.GENERIC, evidence, version)


async def _tgi(probe: Probe, seen: _Seen) -> Verdict | None:
    """Step 5: a row that is owned by itself may be text-generation-inference."""
    if not any(
        row.get("owned_by") == row.get("id") and shapes.name(row.get("id")) for row in seen.rows or ()
    ):
        return None
    info = shapes.mapping(await optional(probe, "/info"))
    if not shapes.text(info.get("router")).startswith("text-generation-router"):
        return None
    version = shapes.text(info.get("version"))
    return Verdict(BackendType.GENERIC, "/info names TGI's router; spoken to as generic", version)


async def _ollama(probe: Probe, seen: _Seen) -> Verdict | None:
    """Step 6: Ollama, unless it is one of those that imitate it.

    ``owned_by`` "library" is its own default namespace; with any other owner, or an empty list,
    the greeting at ``/`` must agree, since other servers have ``/api/version``, too.
    """
    listed = seen.reply.status == 404 if seen.rows is None else not seen.lacks_owner
    version = version_of(await optional(probe, "/api/version")) if listed else ""
    if not version:
        return None
    if version == _LOCALAI_FAKE and (impostor := await _ask_localai(probe)) is not None:
        return impostor
    if seen.owners == {"library"}:
        evidence = '/api/version answers and its models are owned_by "library"'
        return Verdict(BackendType.OLLAMA, evidence, version)
    if await _greets_as_ollama(probe):
        evidence = '/api/version answers and / says "Ollama is running"'
        return Verdict(BackendType.OLLAMA, evidence, version)
    return None


async def _greets_as_ollama(probe: Probe) -> bool:
    try:
        root = await probe.get("/")
    except UpstreamError:
        return False
    return root.status == 200 and root.body.strip() == b"Ollama is running"


async def _vllm_behind_key(probe: Probe, seen: _Seen) -> Verdict | None:
    """Step 7: vLLM refuses with a bare string, and leaves ``/version`` open."""
    if seen.reply.status != 401 or _stated(seen.reply.body) != "Unauthorized":
        return None
    version = version_of(await optional(probe, "/version"))
    if not version:
        return None
    return Verdict(BackendType.VLLM, "it refuses the key as vLLM does, and /version answers", version)


def _stated(body: bytes) -> object:
    return shapes.mapping(shapes.decode(body)).get("error")


def _nothing_recognised(seen: _Seen) -> Verdict:
    """Step 8: what an OpenAI-compatible server is when nothing proves more."""
    if seen.rows is None:
        evidence = f"/models answers {seen.reply.status} without a model list, and nothing names the server"
    elif seen.owners:
        evidence = f"it lists models in the OpenAI shape, owned_by {', '.join(sorted(seen.owners)[:3])}"
    else:
        evidence = "it lists models in the OpenAI shape, and nothing names the server"
    return Verdict(BackendType.GENERIC, evidence, proven=False)


_STEPS: Final[tuple[_Step, ...]] = (_by_first_reply, _lmstudio, _localai, _tgi, _ollama, _vllm_behind_key)
