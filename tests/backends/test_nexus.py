"""Another Nexus, from its own HTTP API."""

from __future__ import annotations

import msgspec
import pytest
from tests.backends.replies import (
    HEALTHY,
    NOT_FOUND,
    REFUSED,
    UNAUTHORIZED,
    UNHEALTHY,
    Script,
    ScriptedProbe,
    only,
    poll,
    synthetic,
)

from nexus.backends import ADAPTERS
from nexus.backends.detect import detect
from nexus.domain import BackendType, Capabilities, FailureKind, Model
from nexus.protocol.surfaces import SURFACES, surfaces_of
from nexus.testing import fixtures

KIND = BackendType.NEXUS
GATEWAY = synthetic(
    {"status": "healthy", "version": "0.1.0", "gateway_id": "peer", "in_flight": 3, "slots": 8},
    Server="nexus",
)


def row(name: str = "m", **fields: object) -> dict[str, object]:
    return {"id": name, "owned_by": "vllm", "available": True, "backends": ["far"], "via": ["peer"], **fields}


def listed(*rows: dict[str, object], **headers: str) -> Script:
    return synthetic({"object": "list", "data": list(rows)}, **headers)


def peer(*rows: dict[str, object], health: Script = GATEWAY) -> ScriptedProbe:
    return ScriptedProbe({"/v1/models": listed(*rows, Server="nexus"), "/health": health})


async def models(*rows: dict[str, object]) -> dict[str, Model]:
    report = await poll(KIND, peer(*rows))
    assert (report.status, report.type) == (HEALTHY, None)
    return {model.id: model for model in report.models or ()}


async def test_its_models_come_with_all_that_it_knows_of_them() -> None:
    capabilities = dict.fromkeys(Capabilities.__struct_fields__, None) | {"json": True, "vision": False}
    probe = peer(row(context_length=4096, created=7, capabilities=capabilities))
    report = await poll(KIND, probe)
    assert (report.version, report.slots) == ("0.1.0", 5)
    model = only(report)
    assert (model.context_length, model.owned_by, model.created, model.via) == (4096, "vllm", 7, ("peer",))
    assert model.capabilities == Capabilities(json=True, vision=False)
    assert probe.asked == ["/v1/models", "/health"]


async def test_what_it_cannot_serve_now_is_not_offered() -> None:
    assert set(await models(row("up"), row("down", available=False), row("odd", available="no"))) == {
        "up",
        "odd",
    }


async def test_every_way_begins_with_the_peer() -> None:
    found = await models(
        row("a"), row("b", via=["peer", "c"]), row("c", via=["c"]), row("d", via=[]), {"id": "e"}
    )
    assert {name: model.via for name, model in found.items()} == {
        "a": ("peer",),
        "b": ("peer", "c"),
        "c": ("peer", "c"),
        "d": ("peer",),
        "e": ("peer",),
    }


@pytest.mark.parametrize(
    "via",
    [
        "peer",
        {"peer": 1},
        [None],
        ["peer", 1],
        ["peer", ""],
        ["peer", "a\r\nb"],
        ["peer", "a,b"],
        ["peer", "x" * 65],
        ["peer", "c", "peer"],
        ["c", "peer"],
        ["peer", *(f"g{number}" for number in range(8))],
        [f"g{number}" for number in range(8)],
    ],
)
async def test_a_way_that_cannot_be_one_loses_its_model(via: object) -> None:
    assert set(await models(row("good"), row("bad", via=via))) == {"good"}


async def test_its_slots_are_what_others_leave_free() -> None:
    for in_flight, slots, free in [
        (0, 4, 4),
        (4, 4, 1),
        (900, 4, 1),
        (-3, 4, 4),
        (1, 0, None),
        (1, "4", None),
    ]:
        health = synthetic({"gateway_id": "peer", "in_flight": in_flight, "slots": slots})
        assert (await poll(KIND, peer(row(), health=health))).slots == free


async def test_its_id_is_remembered_while_its_health_page_is_out_of_reach() -> None:
    memory: dict[str, object] = {}
    assert only(await poll(KIND, peer(row(via=["c"])), memory)).via == ("peer", "c")
    for health in (REFUSED, NOT_FOUND, synthetic(b"<html>")):
        assert only(await poll(KIND, peer(row(via=["c"]), health=health), memory)).via == ("peer", "c")


async def test_a_health_page_without_an_id_is_of_something_else() -> None:
    report = await poll(KIND, peer(row(), health=synthetic({"status": "ok"})))
    assert report.type is BackendType.GENERIC


async def test_what_refuses_is_told_apart() -> None:
    said = {"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}}
    refusing = {"/v1/models": synthetic(said, 401, Server="nexus"), "/health": GATEWAY}
    report = await poll(KIND, ScriptedProbe(refusing))
    assert (report.status, report.type) == (UNAUTHORIZED, None)
    own = {"/v1/models": synthetic({"error": {"message": "loop"}}, 508, Server="nexus"), "/health": GATEWAY}
    report = await poll(KIND, ScriptedProbe(own))
    assert (report.status, report.type) == (UNHEALTHY, None)
    assert "leads back to this gateway" in report.reason
    other = ScriptedProbe({"/v1/models": listed({"id": "m"}, Server="llama.cpp")})
    assert (await poll(KIND, other)).type is BackendType.LLAMACPP


async def test_ways_are_kept_whatever_the_gateway_is_taken_for() -> None:
    for kind in (BackendType.GENERIC, BackendType.VLLM, BackendType.OPENAI):
        assert only(await poll(kind, peer(row(via=["peer", "c"])))).via == ("peer", "c")


def test_it_has_every_surface() -> None:
    assert surfaces_of(KIND) == frozenset(SURFACES)


def reading(code: str, *, waiting: bool = False, surface: str = "chat") -> tuple[FailureKind, str | None]:
    rows = [{"backend": "far", "model": "m", "code": code, "message": "no", "waiting_may_help": waiting}]
    body = {"error": {"message": "No backend can serve 'm' now.", "context": {"rejections": rows}}}
    found = ADAPTERS[KIND].read_error(503, msgspec.json.encode(body), surface=surface)
    return found.kind, found.capability


def test_a_refusal_that_waiting_will_not_help_is_no_load() -> None:
    assert reading("vision") == (FailureKind.MISSING_CAPABILITY, "vision")
    assert reading("surface", surface="messages") == (FailureKind.MISSING_CAPABILITY, "surface:messages")
    assert reading("gateways") == (FailureKind.MISSING_CAPABILITY, None)
    assert reading("keyed_backend") == (FailureKind.MISSING_CAPABILITY, None)
    assert reading("context_length") == (FailureKind.CONTEXT_OVERFLOW, None)
    assert reading("unhealthy", waiting=True) == (FailureKind.BUSY, None)


def test_its_other_errors_are_read_as_what_they_are() -> None:
    expected = {
        "loop": FailureKind.LOOP,
        "loading": FailureKind.BUSY,
        "busy": FailureKind.BUSY,
        "server-error": FailureKind.SERVER_ERROR,
        "unknown-model": FailureKind.UNKNOWN_MODEL,
        "unauthorized": FailureKind.CREDENTIALS,
    }
    for name, kind in expected.items():
        reply = fixtures.load("nexus", name)
        read = ADAPTERS[KIND].read_error(reply.status, reply.body, reply.headers, surface="chat")
        assert read.kind in (kind, FailureKind.LOADING if name == "loading" else kind), name


@pytest.mark.parametrize("body", [b"", b"null", b'{"error":null}', b'{"error":{"context":[]}}', b"[" * 5000])
def test_a_refusal_that_cannot_be_read_is_a_busy_server(body: bytes) -> None:
    assert ADAPTERS[KIND].read_error(503, body, surface="chat").kind is FailureKind.BUSY


WITH_WAYS = listed(row())
DETECTED: dict[str, tuple[dict[str, Script], BackendType]] = {
    "over vLLM": ({"/v1/models": listed(row(), Server="nexus"), "/health": GATEWAY}, KIND),
    "empty": ({"/v1/models": listed(Server="nexus"), "/health": GATEWAY}, KIND),
    "with a key": ({"/v1/models": synthetic({}, 401, Server="nexus"), "/health": GATEWAY}, KIND),
    "this very one": ({"/v1/models": synthetic({}, 508, Server="nexus"), "/health": GATEWAY}, KIND),
    "behind a proxy": ({"/v1/models": WITH_WAYS, "/health": GATEWAY}, KIND),
    "of old": ({"/v1/models": listed(row(), Server="nexus")}, BackendType.GENERIC),
    "an id that is none": (
        {"/v1/models": WITH_WAYS, "/health": synthetic({"gateway_id": "two words"})},
        BackendType.VLLM,
    ),
    "a repository manager of that name": (
        {"/v1/models": synthetic(b"<html>", 404, Server="Nexus/3.70.1-02 (OSS)"), "/health": GATEWAY},
        BackendType.GENERIC,
    ),
}


@pytest.mark.parametrize("case", DETECTED)
async def test_a_gateway_is_one_by_its_header_and_its_id(case: str) -> None:
    replies, kind = DETECTED[case]
    verdict = await detect(ScriptedProbe(replies))
    assert verdict is not None
    assert verdict.type is kind
    assert verdict.version == ("0.1.0" if kind is KIND else "")
    assert verdict.serves == (case not in ("this very one", "a repository manager of that name"))
