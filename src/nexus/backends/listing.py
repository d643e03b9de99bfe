"""Model lists in the OpenAI shape, with the fields that many servers add to it.

Sources: the recorded replies of llama.cpp and vLLM; the list formats of OpenRouter
(https://openrouter.ai/docs/api-reference/list-available-models), Mistral, Anthropic, Together and
LocalAI.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from nexus.backends import shapes
from nexus.domain import BackendType, Capabilities, Model
from nexus.http.client import Fetched
from nexus.protocol.headers import MAX_GATEWAYS, find

_USABLE: Final = (
    "meta.n_ctx",
    "max_model_len",
    "loaded_context_length",
    "context_length",
    "context_window",
    "inputTokenLimit",
    "max_input_tokens",
)
"""What a server says that it accepts now, most specific first."""

_TRAINED: Final = ("max_context_length", "meta.n_ctx_train")
"""What the weights could do: shown, never a reason to exclude."""

_OWNERS: Final = {
    "llamacpp": BackendType.LLAMACPP,
    "vllm": BackendType.VLLM,
    "sglang": BackendType.SGLANG,
    "exo": BackendType.EXO,
}

_WORDS: Final = {
    "vision": "vision",
    "image_input": "vision",
    "audio": "audio",
    "tools": "tools",
    "tool_use": "tools",
    "function_calling": "tools",
    "structured_outputs": "json",
    "json_mode": "json",
    "chat": "chat",
    "completion_chat": "chat",
    "embeddings": "embeddings",
    "embedding": "embeddings",
}

_GATEWAY: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")

_KINDS: Final = {
    "embedding": {"embeddings": True, "chat": False},
    "embeddings": {"embeddings": True, "chat": False},
    "vlm": {"vision": True, "chat": True},
    "llm": {"chat": True},
    "chat": {"chat": True},
}


def rows_of(payload: object) -> list[shapes.Row] | None:
    """Return the rows of a model list, or ``None`` when ``payload`` is not one.

    ``{"data": null}`` is an empty list (a Go server without models), and a bare array of objects
    is a list (Together).
    """
    if isinstance(payload, dict) and "data" in payload:
        data = payload["data"]
        if data is None:
            return []
        return list(shapes.rows(data)) if isinstance(data, list) else None
    if isinstance(payload, list):
        found = [row for row in shapes.rows(payload) if shapes.name(row.get("id"))]
        return found or None
    return None


def read_rows(body: bytes) -> list[shapes.Row] | None:
    """Decode ``body`` and return its :func:`rows_of`."""
    return rows_of(shapes.decode(body))


def unique(models: Iterable[Model | None]) -> tuple[Model, ...]:
    """Return the models once each by native id, first wins, at most ``shapes.MAX_ROWS``."""
    found: dict[str, Model] = {}
    for model in models:
        if model is not None:
            found.setdefault(model.native_id, model)
    return tuple(found.values())[: shapes.MAX_ROWS]


def models_of(rows: Iterable[shapes.Row], read: Callable[[shapes.Row], Model | None]) -> tuple[Model, ...]:
    """Return what ``read`` makes of each row, unusable ones left out."""
    return unique(read(row) for row in rows)


def model_of(row: shapes.Row) -> Model | None:
    """Read one row; ``None`` without a usable id."""
    model_id = shapes.name(row.get("id"))
    if not model_id:
        return None
    return Model(
        id=model_id,
        native_id=model_id,
        context_length=shapes.first_count(row, _USABLE),
        context_assumed=shapes.first_count(row, _TRAINED),
        capabilities=capabilities_of(row),
        owned_by=shapes.text(row.get("owned_by")),
        created=shapes.count(row.get("created"), shapes.MAX_SECONDS) or 0,
        # Kept for every type: a gateway that is taken for something else must not be part of a circle.
        via=ways_of(row) or (),
    )


def gateway_name(value: object) -> str:
    """Return a gateway's id that can travel in ``X-Nexus-Via``, else ``""``."""
    return value if isinstance(value, str) and _GATEWAY.fullmatch(value) else ""


def ways_of(row: shapes.Row) -> tuple[str, ...] | None:
    """Return the gateways on the way to a model, nearest first.

    Returns:
        Nothing for a row that names none; ``None`` when what it says cannot be a way: too long,
        the same gateway twice, ids that are none.
    """
    stated = row.get("via")
    if stated is None:
        return ()
    if not isinstance(stated, list) or len(stated) > MAX_GATEWAYS:
        return None
    via = tuple(map(gateway_name, stated))
    return via if all(via) and len(set(via)) == len(via) else None


def capabilities_of(row: shapes.Row) -> Capabilities:
    """Read what a row *states*; its name is never evidence."""
    known: dict[str, bool] = {}
    _add_modalities(row, known)
    if (parameters := shapes.strings(row.get("supported_parameters"))) is not None:
        known["tools"] = "tools" in parameters
        known["json"] = bool(parameters & {"response_format", "structured_outputs"})
    known.update(_KINDS.get(shapes.text(row.get("type")), {}))
    known.update(_stated(row.get("capabilities")))
    return msgspec.convert(known, Capabilities)


def _add_modalities(row: shapes.Row, known: dict[str, bool]) -> None:
    architecture = shapes.mapping(row.get("architecture"))
    for holder in (row, architecture):
        if (inputs := shapes.strings(holder.get("input_modalities"))) is not None:
            known["vision"] = "image" in inputs
            known["audio"] = "audio" in inputs
        outputs = shapes.strings(holder.get("output_modalities"))
        if outputs is not None and outputs & {"embedding", "embeddings"}:
            known["embeddings"] = True
            known["chat"] = "text" in outputs


def _stated(capabilities: object) -> dict[str, bool]:
    """Read a list (what it names is true, the rest unknown) or an object of flags."""
    if isinstance(capabilities, dict):
        flags = {
            _WORDS[key]: shapes.mapping(value).get("supported", value)
            for key, value in capabilities.items()
            if key in _WORDS
        }
        return {key: value for key, value in flags.items() if isinstance(value, bool)}
    words = shapes.strings(capabilities) or frozenset()
    return {_WORDS[word]: True for word in words if word in _WORDS}


def proven_type(reply: Fetched, rows: Sequence[shapes.Row] | None = None) -> BackendType | None:
    """Return the dialect that a reply proves by itself, or ``None``.

    The ``Server`` header of llama.cpp is on every reply, errors included; a gateway such as Nexus
    relays ``owned_by`` from the backends behind it, so its own header goes first.
    """
    server = (find(reply.headers, b"server") or b"").strip().lower()
    if server == b"nexus":
        return BackendType.GENERIC
    if server == b"llama.cpp":
        return BackendType.LLAMACPP
    owners = {shapes.text(row.get("owned_by")) for row in rows or ()}
    if len(owners) == 1:
        return _OWNERS.get(owners.pop())
    return None
