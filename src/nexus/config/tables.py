"""The settings of one backend, as its TOML table has them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from nexus.config.formats import GLOB, HEADER_VALUE, MODEL, NAME, TOKEN, VARIABLE
from nexus.config.kinds import Choice, FileName, Flag, ListOf, MapOf, Setting, Tables, Text, Whole
from nexus.domain import BackendType

_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


class ModelTable(msgspec.Struct, frozen=True):
    """What detection cannot know of a model, or gets wrong."""

    name: Annotated[str, Setting("The model, by the name it is offered under.", MODEL, '"llama3.1:8b"')] = ""
    context_length: Annotated[
        int | None, Setting("Tokens that a request may use.", Whole(1, 1_000_000_000), "32768")
    ] = None
    vision: Annotated[bool | None, Setting("Whether it reads images.", Flag(), "false")] = None
    tools: Annotated[bool | None, Setting("Whether it calls tools.", Flag(), "true")] = None
    json: Annotated[bool | None, Setting("Whether it keeps to JSON mode and schemas.", Flag(), "true")] = None
    embeddings: Annotated[bool | None, Setting("Whether it makes embeddings.", Flag(), "false")] = None


class BackendTable(msgspec.Struct, frozen=True):
    """One server behind Nexus."""

    name: Annotated[
        str,
        Setting('Unique name, without "/"; host and port of `url` when left out.', NAME, '"workstation"'),
    ] = ""
    url: Annotated[
        str, Setting("Where it listens: required.", Text("a URL"), '"http://192.168.1.20:11434"')
    ] = ""
    type: Annotated[
        BackendType | None,
        Setting("The server's kind; detected when left out.", Choice(BackendType), '"ollama"'),
    ] = None
    priority: Annotated[int, Setting("Lower is preferred.", Whole(0, 100))] = 50
    api_key_env: Annotated[
        str | None, Setting("Environment variable that holds its key.", VARIABLE, '"WORKSTATION_KEY"')
    ] = None
    slots: Annotated[
        int | None,
        Setting("Requests it serves at once; asked for or assumed when left out.", Whole(1, 1_000_000), "4"),
    ] = None
    headers: Annotated[
        Mapping[str, str],
        Setting(
            "Headers added to every request to it; never shown or logged.",
            MapOf(TOKEN, HEADER_VALUE),
            '{ "X-Team" = "research" }',
        ),
    ] = _EMPTY
    forward_headers: Annotated[
        tuple[str, ...],
        Setting(
            "Client headers that are passed on to it; never credentials.", ListOf(TOKEN), '["X-Session-Id"]'
        ),
    ] = ()
    ca_file: Annotated[
        str | None, Setting("PEM file with the authorities trusted for it.", FileName(), '"ca.pem"')
    ] = None
    tls_verify: Annotated[bool, Setting("Whether its certificate is checked.", Flag())] = True
    models: Annotated[
        Mapping[str, str],
        Setting(
            "Offered name to its own name; the others keep theirs.",
            MapOf(MODEL, MODEL),
            '{ "llama3.1:8b" = "meta-llama/Llama-3.1-8B-Instruct" }',
        ),
    ] = _EMPTY
    only: Annotated[
        tuple[str, ...], Setting("Globs: offer nothing but these models.", ListOf(GLOB), '["llama*"]')
    ] = ()
    exclude: Annotated[
        tuple[str, ...],
        Setting("Globs: do not offer these models.", ListOf(GLOB), '["*embed*"]', key="except"),
    ] = ()
    disable_fixes: Annotated[
        tuple[str, ...],
        Setting(
            "Request fixes that are switched off for it.",
            ListOf(Choice(("max_tokens", "system_role", "stop_array"))),
            '["stop_array"]',
        ),
    ] = ()
    model: Annotated[
        tuple[ModelTable, ...], Setting("Corrections to single models.", Tables("[[backends.model]]"))
    ] = ()
