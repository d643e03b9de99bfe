"""LocalAI, from the facts about its wire and its fake."""

from __future__ import annotations

import msgspec
from tests.backends.probing import probing
from tests.backends.replies import (
    HEALTHY,
    LOADING,
    NOT_FOUND,
    REFUSED,
    UNAUTHORIZED,
    Script,
    ScriptedProbe,
    only,
    poll,
    synthetic,
)

from nexus.backends import ADAPTERS
from nexus.backends.localai import SHOWS_A_ROUND
from nexus.domain import BackendType, Capabilities
from nexus.protocol.surfaces import surfaces_of
from nexus.testing import FakeFleet, FakeModel

KIND = BackendType.LOCALAI
READY = synthetic({"status": "ok"})
SHOWN = synthetic({"model_info": {"general.context_length": 8192}})
KNOWN = synthetic({"version": "v4.9.0 (82c191a)"})


def described(*rows: dict[str, object]) -> Script:
    return synthetic({"object": "list", "data": list(rows)})


def row(
    name: str, *uses: str, inputs: tuple[str, ...] = ("text",), outputs: tuple[str, ...] = ("text",)
) -> dict[str, object]:
    return {
        "id": name, "object": "model", "capabilities": list(uses),
        "input_modalities": list(inputs), "output_modalities": list(outputs),
    }  # fmt: skip


def server(*rows: dict[str, object]) -> dict[str, Script]:
    return {
        "/readyz": READY,
        "/v1/models/capabilities": described(*rows),
        "/api/show": SHOWN,
        "/.well-known/localai.json": KNOWN,
    }


async def test_uses_and_modalities_are_read_as_stated() -> None:
    probe = ScriptedProbe(
        server(
            row("vlm", "chat", "vision", "tools", inputs=("text", "image")),
            row("embedder", "embeddings"),
            row("whisper", "transcript", inputs=("audio",)),
            row("bare"),
        )
    )
    report = await poll(KIND, probe, {})
    known = {model.id: model.capabilities for model in report.models or ()}
    assert (report.status, report.version, report.type) == (HEALTHY, "v4.9.0 (82c191a)", None)
    assert known["vlm"] == Capabilities(vision=True, audio=False, tools=True, chat=True)
    assert known["embedder"] == Capabilities(vision=False, audio=False, embeddings=True, chat=False)
    assert known["whisper"] == Capabilities(vision=False, audio=True, chat=False)
    assert known["bare"] == Capabilities(vision=False, audio=False)
    asked = [msgspec.json.decode(body)["model"] for body in probe.posted]
    assert asked == ["vlm", "embedder", "bare"]


async def test_contexts_are_asked_once_a_model_and_a_few_a_round() -> None:
    names = [f"m{number}" for number in range(SHOWS_A_ROUND + 3)]
    probe = ScriptedProbe(server(*(row(name, "chat") for name in names)))
    memory: dict[str, object] = {}
    for expected in (SHOWS_A_ROUND, len(names), len(names)):
        report = await poll(KIND, probe, memory)
        assert sum(model.context_length == 8192 for model in report.models or ()) == expected
    assert len(probe.posted) == len(names)
    assert probe.asked.count("/.well-known/localai.json") == 1


async def test_a_model_without_a_configured_context_is_not_asked_again() -> None:
    memory: dict[str, object] = {}
    probe = ScriptedProbe(server(row("m", "chat")) | {"/api/show": synthetic({"model_info": {}})})
    for _ in range(2):
        assert only(await poll(KIND, probe, memory)).context_length is None
    assert len(probe.posted) == 1


async def test_a_server_without_the_described_list_is_read_from_the_plain_one() -> None:
    plain = synthetic({"object": "list", "data": [{"id": "m", "object": "model"}]})
    probe = ScriptedProbe(server() | {"/v1/models/capabilities": NOT_FOUND, "/v1/models": plain})
    memory: dict[str, object] = {}
    for _ in range(2):
        model = only(await poll(KIND, probe, memory))
        assert (model.id, model.capabilities, model.context_length) == ("m", Capabilities(), 8192)
    assert probe.asked.count("/v1/models/capabilities") == 1


async def test_starting_loading_and_refusing_are_told_apart() -> None:
    starting = ScriptedProbe({"/readyz": synthetic({"status": "starting"}, 503)})
    assert (await poll(KIND, starting)).status is LOADING
    assert starting.asked == ["/readyz"]
    busy = synthetic(
        {"error": {"message": "x"}, "loading": {"state": "loading", "progress": 0.5}}, 503, Retry_After="3"
    )
    assert (await poll(KIND, ScriptedProbe(server() | {"/v1/models/capabilities": busy}))).status is LOADING
    denied = synthetic({"error": {"message": "no key"}}, 401, WWW_Authenticate="Bearer")
    assert (
        await poll(KIND, ScriptedProbe(server() | {"/v1/models/capabilities": denied}))
    ).status is UNAUTHORIZED


async def test_what_only_adds_may_fail() -> None:
    probe = ScriptedProbe(
        server(row("m", "chat")) | {"/api/show": REFUSED, "/.well-known/localai.json": REFUSED}
    )
    report = await poll(KIND, probe, {})
    assert (report.status, report.version, only(report).context_length) == (HEALTHY, "", None)


async def test_the_fake_is_read_whole() -> None:
    models = [FakeModel("m", context=4096, vision=True), FakeModel("e", chat=False, embeddings=True)]
    async with FakeFleet() as fleet:
        fake = await fleet.add("localai", models=models, key="k")
        async with probing(fake.url, "k") as probe:
            report = await ADAPTERS[KIND].poll(probe, {})
        old = await fleet.add("localai", models=models, version="v3.0.0")
        async with probing(old.url) as probe:
            older = await ADAPTERS[KIND].poll(probe, {})
    first, second = report.models or ()
    assert (first.context_length, first.capabilities.vision, second.capabilities.chat) == (4096, True, False)
    assert [model.context_length for model in older.models or ()] == [4096, 8192]


def test_what_follows_from_the_type() -> None:
    assert surfaces_of(KIND) == {"chat", "completions", "embeddings", "responses", "messages"}
    assert (ADAPTERS[KIND].fixes, ADAPTERS[KIND].default_slots) == (frozenset(), 1)
