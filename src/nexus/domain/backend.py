"""What Nexus knows of a backend and of the models it serves."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

from nexus.domain.capabilities import UNKNOWN_CAPABILITIES, Capabilities
from nexus.domain.origin import Origin
from nexus.domain.secret import Secret

_NO_HEADERS: Final[Mapping[str, Secret]] = MappingProxyType({})
_NO_NAMES: Final[Mapping[str, str]] = MappingProxyType({})


class BackendType(StrEnum):
    """The wire dialect of a server."""

    OLLAMA = "ollama"
    VLLM = "vllm"
    LLAMACPP = "llamacpp"
    LMSTUDIO = "lmstudio"
    EXO = "exo"
    SGLANG = "sglang"
    LOCALAI = "localai"
    TGI = "tgi"
    OPENAI = "openai"
    NEXUS = "nexus"
    GENERIC = "generic"


class BackendStatus(StrEnum):
    """What the last checks said.

    Only ``HEALTHY`` backends are candidates. ``UNAUTHORIZED`` means up, but refusing our key.
    """

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    LOADING = "loading"
    UNAUTHORIZED = "unauthorized"
    UNHEALTHY = "unhealthy"


class DiscoverySource(StrEnum):
    """How Nexus came to know a backend."""

    STATIC = "static"
    MANUAL = "manual"
    LOCAL = "local"
    """On this computer: a usual port, or an address in the environment."""
    PEER = "peer"
    """An address that the configuration asks to probe."""
    MDNS = "mdns"


class Model(msgspec.Struct, frozen=True):
    """One model as one backend offers it.

    Attributes:
        id: the name that clients use.
        native_id: the backend's own spelling, which goes upstream.
        context_length: tokens that a request may use, *reported by the server for the loaded
            or configured state*; ``None`` when nobody said, and then it excludes nothing.
        context_assumed: a trained or default context, for display only.
        capabilities: tri-state flags.
        loaded: in memory now; ``None`` when the server does not say.
        owned_by: the server's own ``owned_by``, or empty.
        created: Unix seconds, 0 when unknown.
        remote: served by somebody else's computer behind a local server (Ollama ``:cloud``).
        via: ids of the gateways between us and the model, nearest first; empty for a server that
            runs it itself.
    """

    id: str
    native_id: str
    context_length: int | None = None
    context_assumed: int | None = None
    capabilities: Capabilities = UNKNOWN_CAPABILITIES
    loaded: bool | None = None
    owned_by: str = ""
    created: int = 0
    remote: bool = False
    via: tuple[str, ...] = ()


class BackendSpec(msgspec.Struct, frozen=True):
    """What a person or a discovery said of a backend: everything but what checks learn.

    Attributes:
        id: stable and unique; a static backend's is its name.
        name: what people see, also in ``X-Nexus-Backend``.
        origin: where it listens.
        api_root: path prefix of the OpenAI surfaces, without a trailing slash (``"/v1"``).
        native_root: path prefix of the native probes (``""`` for a bare host).
        type: the dialect; ``None`` asks for detection.
        priority: lower is preferred, 0 to 100.
        slots: requests it serves at once; ``None`` leaves it to the adapter.
        key: sent as ``Authorization: Bearer`` to this backend only.
        headers: added to every request to it; values are secret, they may be credentials.
        forward_headers: names of client headers that go to it, lower case.
        models: offered name to native name; an empty mapping offers all under their own names.
        only: globs over offered names; empty means all.
        exclude: globs over offered names that are left out.
        overrides: what detection cannot know or gets wrong, by offered name.
        disabled_fixes: names of request fixes switched off for it.
        source: who named it.
        found_by: where exactly, in a phrase for people; empty for the configuration file.
    """

    id: str
    name: str
    origin: Origin
    api_root: str = "/v1"
    native_root: str = ""
    type: BackendType | None = None
    priority: int = 50
    slots: int | None = None
    key: Secret | None = None
    headers: Mapping[str, Secret] = _NO_HEADERS
    forward_headers: tuple[str, ...] = ()
    models: Mapping[str, str] = _NO_NAMES
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    overrides: tuple[ModelOverride, ...] = ()
    disabled_fixes: frozenset[str] = frozenset()
    source: DiscoverySource = DiscoverySource.STATIC
    found_by: str = ""

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Everything that must not be quoted from this backend's own words."""
        keys = (self.key,) if self.key is not None else ()
        return (*keys, *self.headers.values())


class ModelOverride(msgspec.Struct, frozen=True):
    """A ``[[backends.model]]`` table: what the operator knows better than detection."""

    name: str
    context_length: int | None = None
    vision: bool | None = None
    tools: bool | None = None
    json: bool | None = None
    embeddings: bool | None = None


class Backend(msgspec.Struct, frozen=True):
    """A registered backend at one moment; replaced, never changed.

    Attributes:
        spec: what was configured or announced.
        type: the dialect in force (``GENERIC`` until detection has spoken).
        status: what the last checks said.
        reason: one sentence for the operator about the status.
        since: wall-clock seconds at which the status began.
        models: what it offers, in the server's order, after mapping, globs and overrides.
        slots: requests it serves at once: configured, else reported, else assumed for its type.
        draining: takes no new requests.
        version: the server's own version, or empty.
        cloud: shown as ``X-Nexus-Backend-Type: cloud``.
        surfaces: names of the surfaces that it serves natively.
        counts_max_tokens: refuses a request whose prompt and ``max_tokens`` together exceed the
            context, instead of replying as far as it reaches.
    """

    spec: BackendSpec
    type: BackendType
    status: BackendStatus = BackendStatus.UNKNOWN
    reason: str = ""
    since: float = 0.0
    models: tuple[Model, ...] = ()
    slots: int = 100
    draining: bool = False
    version: str = ""
    cloud: bool = False
    surfaces: frozenset[str] = frozenset()
    counts_max_tokens: bool = False

    @property
    def id(self) -> str:
        """The stable identity."""
        return self.spec.id

    @property
    def name(self) -> str:
        """The name that people see."""
        return self.spec.name
