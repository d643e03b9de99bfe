"""Which dialect a server of unknown type speaks, and whether it serves models at all.

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
from nexus.backends.failures import target_of
from nexus.backends.listing import gateway_name, proven_type, read_rows
from nexus.backends.lmstudio import says_express
from nexus.backends.localai import WELL_KNOWN
from nexus.backends.questions import Questions, trouble
from nexus.backends.tgi import is_router
from nexus.backends.vllm import version_of
from nexus.domain import BackendType, Origin, replace
from nexus.errors import ResponseTooLarge, UpstreamError, UpstreamProtocolError
from nexus.http.client import Fetched
from nexus.protocol.headers import find

_LOCALAI_FAKE: Final = "0.9.0"
"""The version that LocalAI claims when it imitates Ollama."""

_OPENAI_HOST: Final = "api.openai.com"
_LATER: Final = frozenset({408, 425, 429})
_LOOP: Final = 508
"""What a gateway says to a question that has passed it: nobody but us asks with our own id."""
_DENIED: Final = frozenset({401, 403})


class Verdict(msgspec.Struct, frozen=True):
    """What a server is.

    Attributes:
        type: the dialect to speak with it.
        evidence: one sentence that says why, for the operator.
        version: the server's own, or empty.
        proven: false when ``GENERIC`` only means that nothing was recognised: worth asking again
            after the next change of status.
        serves: false when something answers, and it is no inference server.
        steps: each question asked and what its answer said, in order.
    """

    type: BackendType
    evidence: str
    version: str = ""
    proven: bool = True
    serves: bool = True
    steps: tuple[str, ...] = ()


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


_Step = Callable[[Questions, _Seen], Awaitable[Verdict | None]]


async def detect(
    probe: Probe, *, api_root: str = "/v1", native_root: str = "", steps: list[str] | None = None
) -> Verdict | None:
    """Find the dialect of one server.

    Args:
        probe: asks it, with the key it was configured with.
        api_root: the prefix that the probe puts before API paths, for ``steps``.
        native_root: the same for native paths.
        steps: takes a line for each question, also when there is no verdict.

    Returns:
        The proven dialect, else ``GENERIC`` with what was seen; ``None`` when nobody answered, or
        only that it cannot now (5xx, 429), so that asking again may help and a poll should say why.
    """
    questions = Questions(probe, {"api": api_root, "native": native_root})
    if steps is not None:
        questions.steps = steps
    verdict = await _verdict(questions)
    return None if verdict is None else replace(verdict, steps=tuple(questions.steps))


def known_host(origin: Origin) -> Verdict | None:
    """Name the dialect of a public API by its host, so that it is never probed to find out."""
    if origin.host.lower().rstrip(".") == _OPENAI_HOST:
        return Verdict(BackendType.OPENAI, f"its host is {_OPENAI_HOST}")
    return None


async def _verdict(questions: Questions) -> Verdict | None:
    try:
        reply = await questions.ask("/models", root="api")
    except (UpstreamProtocolError, ResponseTooLarge) as error:
        evidence = f"what it answers is no model list: {trouble(error)}"
        return Verdict(BackendType.GENERIC, evidence, proven=False, serves=False)
    except UpstreamError:
        return None
    rows = read_rows(reply.body) if reply.status == 200 else None
    if rows and not any(shapes.name(row.get("id")) for row in rows):
        rows = None
    seen = _Seen(reply, rows)
    for step in _STEPS_OF_NODE if says_express(reply.headers) else _STEPS:
        if (verdict := await step(questions, seen)) is not None:
            return verdict
    if reply.status >= 500 or reply.status in _LATER:
        return None
    return _nothing_recognised(seen)


async def _nexus(questions: Questions, seen: _Seen) -> Verdict | None:
    """Before all else a gateway, which repeats the owners of what is behind it.

    Its header, or behind a proxy the ways in its rows, are the hint; its id at ``/health``, by
    which it can be part of a chain, is the proof.
    """
    named = proven_type(seen.reply) is BackendType.GENERIC
    if not named and not any("via" in row for row in seen.rows or ()):
        return None
    health = shapes.mapping(await questions.json("/health"))
    if gateway_name(health.get("gateway_id")):
        ours = seen.reply.status == _LOOP
        evidence = "it is this very Nexus" if ours else "/health has the id of a Nexus"
        return Verdict(BackendType.NEXUS, evidence, shapes.text(health.get("version")), serves=not ours)
    return Verdict(BackendType.GENERIC, "its Server header names an older Nexus") if named else None


async def _by_first_reply(questions: Questions, seen: _Seen) -> Verdict | None:
    """Steps 1 and 2: a ``Server`` header, then an ``owned_by`` that only one server writes."""
    proven = proven_type(seen.reply, seen.rows)
    if proven is BackendType.LLAMACPP:
        # A server that loads or wants a key answers this like everything else: with neither.
        known = await questions.json("/props") if seen.reply.status == 200 else None
        version = shapes.text(shapes.mapping(known).get("build_info"))
        by_header = (find(seen.reply.headers, b"server") or b"").strip().lower() == b"llama.cpp"
        said = "its replies say `Server: llama.cpp`" if by_header else 'its models are owned_by "llamacpp"'
        return Verdict(proven, said, version)
    if proven is BackendType.VLLM:
        version = version_of(await questions.json("/version"))
        return Verdict(proven, 'its models are owned_by "vllm"', version)
    if proven is not None:
        return Verdict(proven, f'its models are owned_by "{proven.value}"')
    return None


async def _lmstudio(questions: Questions, seen: _Seen) -> Verdict | None:  # noqa: ARG001 (the form of every step)
    """Step 3: a Node server may be LM Studio, whose greeting is the proof."""
    greeting = shapes.mapping(await questions.json("/lmstudio-greeting"))
    if greeting.get("lmstudio") is True:
        return Verdict(BackendType.LMSTUDIO, "/lmstudio-greeting greets as LM Studio")
    return None


async def _localai(questions: Questions, seen: _Seen) -> Verdict | None:
    """Step 4: rows without an owner, or a Bearer challenge, may be LocalAI."""
    challenge = (find(seen.reply.headers, b"www-authenticate") or b"").strip().lower()
    challenged = seen.reply.status == 401 and challenge.startswith(b"bearer")
    return await _ask_localai(questions) if challenged or seen.lacks_owner else None


async def _ask_localai(questions: Questions) -> Verdict | None:
    version = version_of(await questions.json(WELL_KNOWN))
    if not version:
        return None
    return Verdict(BackendType.LOCALAI, f"{WELL_KNOWN} answers with its version", version)


async def _tgi(questions: Questions, seen: _Seen) -> Verdict | None:
    """Step 5: a row that is owned by itself may be text-generation-inference."""
    if not any(
        row.get("owned_by") == row.get("id") and shapes.name(row.get("id")) for row in seen.rows or ()
    ):
        return None
    info = shapes.mapping(await questions.json("/info"))
    if not is_router(info):
        return None
    return Verdict(BackendType.TGI, "/info names its router", shapes.text(info.get("version")))


async def _ollama(questions: Questions, seen: _Seen) -> Verdict | None:
    """Step 6: Ollama, unless it is one of those that imitate it.

    ``owned_by`` "library" is its own default namespace; with any other owner, or an empty list,
    the greeting at ``/`` must agree, since other servers have ``/api/version``, too.
    """
    listed = seen.reply.status == 404 if seen.rows is None else not seen.lacks_owner
    version = version_of(await questions.json("/api/version")) if listed else ""
    if not version:
        return None
    if version == _LOCALAI_FAKE and (impostor := await _ask_localai(questions)) is not None:
        return impostor
    if seen.owners == {"library"}:
        evidence = '/api/version answers and its models are owned_by "library"'
        return Verdict(BackendType.OLLAMA, evidence, version)
    if await _greets_as_ollama(questions):
        evidence = '/api/version answers and / says "Ollama is running"'
        return Verdict(BackendType.OLLAMA, evidence, version)
    return None


async def _greets_as_ollama(questions: Questions) -> bool:
    try:
        root = await questions.ask("/")
    except UpstreamError:
        return False
    return root.status == 200 and root.body.strip() == b"Ollama is running"


async def _vllm_behind_key(questions: Questions, seen: _Seen) -> Verdict | None:
    """Step 7: vLLM refuses with a bare string, and leaves ``/version`` open."""
    if seen.reply.status != 401 or _stated(seen.reply.body) != "Unauthorized":
        return None
    version = version_of(await questions.json("/version"))
    if not version:
        return None
    return Verdict(BackendType.VLLM, "it refuses the key as vLLM does, and /version answers", version)


def _stated(body: bytes) -> object:
    return shapes.mapping(shapes.decode(body)).get("error")


def _nothing_recognised(seen: _Seen) -> Verdict:
    """Step 8: what an OpenAI-compatible server is when nothing proves more, or that it is none."""
    status = seen.reply.status
    serves = seen.rows is not None
    if 300 <= status < 400:
        evidence = f"/models redirects ({status}) to {target_of(seen.reply.headers)}"
    elif seen.rows is None:
        evidence = f"/models answers {status} without a model list, and nothing names the server"
        if status == 403 and not seen.reply.body.strip():
            evidence = "it refuses (403) without a word, as Ollama does when it is called by a foreign name"
        elif status in _DENIED and _refuses_as_api(seen.reply):
            serves, evidence = True, f"it refuses the key ({status}) as an API does, and nothing names it"
    elif seen.owners:
        evidence = f"it lists models in the OpenAI shape, owned_by {', '.join(sorted(seen.owners)[:3])}"
    else:
        evidence = "it lists models in the OpenAI shape, and nothing names the server"
    return Verdict(BackendType.GENERIC, evidence, proven=False, serves=serves)


def _refuses_as_api(reply: Fetched) -> bool:
    """Tell an API's refusal from a web server's page: an error in JSON, or a Bearer challenge."""
    challenge = (find(reply.headers, b"www-authenticate") or b"").strip().lower()
    payload = shapes.mapping(shapes.decode(reply.body))
    return challenge.startswith(b"bearer") or not payload.keys().isdisjoint({"error", "detail", "message"})


_STEPS_OF_NODE: Final[tuple[_Step, ...]] = (_nexus, _by_first_reply, _lmstudio)
"""LM Studio logs an error for each path that it does not have: a Node server is asked one only."""

_STEPS: Final[tuple[_Step, ...]] = (_nexus, _by_first_reply, _localai, _tgi, _ollama, _vllm_behind_key)
"""In this order: impostors before those whom they imitate."""
