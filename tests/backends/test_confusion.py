"""The confusion matrix: every kind of server with its impostors, on random ports, judged from raw bytes.

What each server was asked is a part of the verdict: nothing that generates, loads, wakes or floods a log.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest
from tests.backends.impostors import GREETING, IMPOSTORS, KNOWN, MODELS, NOTHING, VERSION, rows
from tests.backends.probing import probing
from tests.backends.raw import MOST_SENT, answer, fixture, serving
from tests.conftest import MakeLlama
from tests.support.recorder import recording

from nexus.backends.detect import Verdict, detect
from nexus.domain import BackendType
from nexus.testing import FakeFleet, FakeModel

T = BackendType


class Kind(NamedTuple):
    """What a server of the fleet is taken for in one state, and all that it was asked."""

    type: BackendType | None
    asked: tuple[str, ...]
    proven: bool = True


def unsure(*asked: str) -> Kind:
    """It serves, and nothing says what it is."""
    return Kind(T.GENERIC, asked, proven=False)


PLAIN = {
    "ollama": Kind(T.OLLAMA, (MODELS, VERSION)),
    "vllm": Kind(T.VLLM, (MODELS, "/version")),
    "llamacpp": Kind(T.LLAMACPP, (MODELS, "/props")),
    "lmstudio": Kind(T.LMSTUDIO, (MODELS, "/lmstudio-greeting")),
    "exo": Kind(T.EXO, (MODELS,)),
    "sglang": Kind(T.SGLANG, (MODELS,)),
    "localai": Kind(T.LOCALAI, (MODELS, KNOWN)),
    "tgi": Kind(T.TGI, (MODELS, "/info")),
    "openai": unsure(MODELS, VERSION),
    "nexus": Kind(T.NEXUS, (MODELS, "/health")),
    "generic": unsure(MODELS, VERSION),
}
KEYED = PLAIN | {
    "ollama": unsure(MODELS),
    "vllm": Kind(T.VLLM, (MODELS, "/version")),
    "llamacpp": Kind(T.LLAMACPP, (MODELS,)),
    "exo": unsure(MODELS),
    "sglang": unsure(MODELS, "/version"),
    "openai": unsure(MODELS),
    "generic": unsure(MODELS),
}
EMPTY = PLAIN | {
    "ollama": Kind(T.OLLAMA, (MODELS, VERSION, GREETING)),
    "vllm": unsure(MODELS, VERSION),
    "exo": unsure(MODELS, VERSION),
    "sglang": unsure(MODELS, VERSION),
    "localai": Kind(T.LOCALAI, (MODELS, VERSION, KNOWN)),
    "tgi": unsure(MODELS, VERSION),
}
NOT_NOW = Kind(None, (MODELS,))
LOADING = PLAIN | {
    "vllm": NOT_NOW,
    "llamacpp": Kind(T.LLAMACPP, (MODELS,)),
    "sglang": NOT_NOW,
    "tgi": NOT_NOW,
    "openai": NOT_NOW,
    "generic": NOT_NOW,
}
STATES = {"plain": PLAIN, "keyed": KEYED, "right key": PLAIN, "empty": EMPTY, "loading": LOADING}


def test_every_kind_of_the_fleet_is_in_the_matrix() -> None:
    assert set(PLAIN) == {kind.value for kind in BackendType}


@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize("state", STATES)
async def test_the_fleet(kind: str, state: str) -> None:
    expected = STATES[state][kind]
    async with FakeFleet() as fleet:
        fake = await fleet.add(
            kind,
            models=[] if state == "empty" else [FakeModel("m"), FakeModel("cold", loaded=False)],
            key="sk-right" if "key" in state else None,
        )
        fake.set_loading(state == "loading")
        async with probing(fake.url, "sk-right" if state == "right key" else "") as probe:
            verdict = await detect(probe)
        assert fake.side_effects == []
        assert {request.method for request in fake.requests} == {"GET"}
        asked = tuple(request.path for request in fake.requests)
    assert asked == expected.asked
    assert (verdict and verdict.type) == expected.type
    if verdict is not None:
        assert (verdict.proven, verdict.serves) == (expected.proven, True)
        assert len(verdict.steps) == len(asked)


async def test_a_router_of_llamacpp_loads_nothing() -> None:
    async with FakeFleet() as fleet:
        fake = await fleet.add("llamacpp", models=[FakeModel("cold", loaded=False)], router=True)
        async with probing(fake.url) as probe:
            verdict = await detect(probe)
        assert verdict is not None
        assert verdict.type is T.LLAMACPP
        assert fake.side_effects == []


async def examined(url: str) -> Verdict | None:
    async with probing(url) as probe:
        return await detect(probe)


@pytest.mark.parametrize("name", IMPOSTORS)
async def test_impostors(name: str) -> None:
    case = IMPOSTORS[name]
    async with serving(case.replies, case.default) as server:
        verdict = await examined(server.url)
    assert verdict is not None
    assert (verdict.type, verdict.proven, verdict.serves) == (case.type, case.proven, True), verdict
    assert server.asked == [f"GET {path}" for path in case.asked]


def page(status: str, *headers: str, body: str = "<html>a page</html>") -> bytes:
    return answer(body, status, "text/html", *headers)


ENDLESS = b"\x00endless"
HTML = page("200 OK", body="<!doctype html><title>It works</title>")
NO_PAGE = page("404 Not Found", "Server: nginx/1.27.0")
SILENCE: bytes | None = None
GIGABYTE = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n" + ENDLESS
NEVER_ENDING = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{" + ENDLESS
STRANGERS: dict[str, tuple[dict[str, bytes], bytes, tuple[str, ...]]] = {
    "a web server": ({"/": HTML}, NO_PAGE, (MODELS, VERSION)),
    "404 to everything": ({}, NOTHING, (MODELS, VERSION)),
    "200 and HTML to everything": ({}, HTML, (MODELS,)),
    "200 and JSON to everything": ({}, answer('{"status":"ok","version":"1.0"}'), (MODELS,)),
    "200 and nothing to everything": ({}, answer(""), (MODELS,)),
    "an API with a list of its own": ({}, answer('{"data":[{"name":"pear"}],"version":"2"}'), (MODELS,)),
    "a redirect": ({}, page("302 Found", "Location: /login"), (MODELS,)),
    "a redirect elsewhere": ({}, page("308 Moved", "Location: http://192.0.2.1/"), (MODELS,)),
    "a password": ({}, page("401 Unauthorized", "WWW-Authenticate: Basic realm=x"), (MODELS,)),
    "forbidden": ({}, page("403 Forbidden"), (MODELS,)),
    "Ollama, called by a foreign name": ({}, fixture("ollama/foreign-host"), (MODELS,)),
    "another method": ({}, page("405 Method Not Allowed"), (MODELS,)),
    "SSH": ({}, b"SSH-2.0-OpenSSH_9.9\r\nInvalid SSH identification string.\r\n", (MODELS,)),
    "TLS on a plain port": ({}, b"\x15\x03\x01\x00\x02\x02\x46", (MODELS,)),
    "HTTP/2 only": ({}, b"\x00\x00\x12\x04\x00\x00\x00\x00\x00", (MODELS,)),
    "a reply that announces a gigabyte": ({}, GIGABYTE, (MODELS,)),
    "a reply that never ends": ({}, NEVER_ENDING, (MODELS,)),
    "a head that never ends": ({}, b"HTTP/1.1 200 OK\r\nX-Pad: " + ENDLESS, (MODELS,)),
}


@pytest.mark.parametrize("name", STRANGERS)
async def test_what_is_no_inference_server(name: str) -> None:
    replies, default, asked = STRANGERS[name]
    began = time.monotonic()
    async with serving(replies, default) as server:
        verdict = await examined(server.url)
    assert verdict is not None
    assert (verdict.type, verdict.proven, verdict.serves) == (T.GENERIC, False, False), verdict
    assert server.asked == [f"GET {path}" for path in asked]
    assert server.sent < MOST_SENT
    assert time.monotonic() - began < 10


QUIET: dict[str, bytes | None] = {
    "silence": SILENCE,
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "a port that is forwarded to nobody": b"",
    "a proxy in front of a server that is not up": page("502 Bad Gateway"),
    "a server that starts": answer('{"message":"starting"}', "503 Service Unavailable"),
    "a server that counts questions": answer("{}", "429 Too Many Requests"),
}


@pytest.mark.parametrize("name", QUIET)
async def test_who_says_nothing_yet_is_asked_again_later(name: str) -> None:
    async with serving({}, QUIET[name]) as server:
        began = time.monotonic()
        assert await examined(server.url) is None
        assert time.monotonic() - began < 10
    assert server.asked == [f"GET {MODELS}"]


@pytest.mark.parametrize("late", [VERSION, GREETING])
async def test_silence_at_a_later_question_is_an_answer_missing(late: str) -> None:
    replies = {MODELS: rows("alice"), VERSION: answer('{"version":"0.33.0"}')}
    replies.pop(late, None)
    async with serving(replies, SILENCE) as server:
        verdict = await examined(server.url)
    assert verdict is not None
    assert (verdict.type, verdict.proven, verdict.serves) == (T.GENERIC, False, True)
    assert "no answer within 2 s" in verdict.steps[-1]


@pytest.mark.real
async def test_a_real_server_generates_nothing_for_it(make_llama: MakeLlama) -> None:
    server = make_llama()
    async with recording(server.host, server.port) as recorder:
        verdict = await examined(recorder.url)
    assert verdict is not None
    assert (verdict.type, verdict.proven, verdict.serves) == (T.LLAMACPP, True, True)
    assert verdict.version
    asked = [
        line for sent in recorder.requests for line in bytes(sent).split(b"\r\n") if b" HTTP/1.1" in line
    ]
    assert asked == [b"GET /v1/models HTTP/1.1", b"GET /props HTTP/1.1"]
