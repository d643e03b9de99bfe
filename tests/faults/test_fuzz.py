"""Fuzz through a whole gateway: no traceback, no 500, and no connection in doubt.

A fixed number of seeded examples; what is in ``corpus`` runs first. An example that fails is
written below the test's folder: put it into the corpus together with its fix.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.faults.chaos_client import Got
from tests.faults.fuzzing import CORPUS, Harness, converse, harness, kept, mutated
from tests.faults.rows import KINDS, TOOLS, image_message
from tests.faults.tokens import HEAD_TOKENS, JSON_TOKENS, WIRE_TOKENS
from tests.faults.verdict import carried, verdict_of
from tests.support.gateway import backend_toml

from nexus import testing
from nexus.testing import FakeFleet, FakeModel

CAPTURES: Final = Path(__file__).parents[1] / "captures"
SEED: Final = 20261123
CHAT: Final = "/v1/chat/completions"
FOR_ALL: Final = "[timeouts]\nfirst_byte_seconds = 2\nidle_seconds = 2\n[health_check]\nenabled = false\n"


def request(path: str, body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST %b HTTP/1.1" % path.encode(), b"Host: localhost", *headers]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body), b"", body])


async def one_backend(fleet: FakeFleet) -> str:
    model = FakeModel("m", vision=True, tools=True, embeddings=True, context=10**9)
    return backend_toml(await fleet.add("vllm", models=[model], name="b"))


# -- request bodies

BODIES: Final[list[tuple[str, Any]]] = [
    (CHAT, {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}),
    (CHAT, {"model": "m", "messages": [{"role": "developer", "content": "né"}], "stream": True, "stop": "x"}),
    (CHAT, {"model": "m", "messages": image_message(), "max_completion_tokens": 7}),
    (CHAT, {"model": "m", "messages": [], "tools": TOOLS, "response_format": {"type": "json_object"}}),
    ("/v1/completions", {"model": "m", "prompt": ["a", "b"], "max_tokens": 3}),
    ("/v1/embeddings", {"model": "m", "input": [1, 2, 3], "encoding_format": "base64"}),
    (
        "/v1/responses",
        {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]},
    ),
    ("/v1/messages", {"model": "m", "max_tokens": 4, "messages": [{"role": "user", "content": "x"}]}),
    ("/v1/messages/count_tokens", {"model": "m", "messages": [{"role": "user", "content": "x"}]}),
]


def _body_cases() -> list[tuple[str, bytes]]:
    rng = random.Random(SEED)
    cases = [(path, file.read_bytes()) for file in kept("bodies") for path, _ in BODIES]
    for _ in range(1500):
        path, value = rng.choice(BODIES)
        cases.append((path, mutated(rng, json.dumps(value).encode(), JSON_TOKENS, (1, 1, 2, 4))))
    return cases


async def _try_body(run: Harness, path: str, body: bytes) -> int:
    answers, closed = await converse(run.gateway, request(path, body))
    assert not closed, "the framing was kept, so the connection lives on"
    assert answers.statuses[-1] == 200
    assert len(answers.statuses) == 2
    status = answers.statuses[0]
    # 502: the backend answered with an error of its own that Nexus does not relay.
    assert status in (200, 400, 404, 413, 415, 422, 502, 503), answers.pieces[0]
    if status >= 400:
        json.loads(b"".join(answers.pieces[0]))
    return status


def test_bodies(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with harness(tmp_path, one_backend, FOR_ALL) as run:
        statuses: Counter[int] = Counter()

        async def all_of_them() -> None:
            for path, body in _body_cases():
                try:
                    statuses[await _try_body(run, path, body)] += 1
                except BaseException:
                    (tmp_path / "failing").write_bytes(body)
                    print(f"{path}: {tmp_path / 'failing'}")  # noqa: T201 - shown on failure
                    raise

        run.run(all_of_them())
        run.is_clean(caplog)
        assert {200, 400, 404} <= statuses.keys(), statuses


JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["user", "image_url", "text", "json_schema", "data:image/png;base64,", "http://x"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "image_url", "url", "input_audio", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FIELDS: Final = st.dictionaries(
    st.sampled_from(
        [
            "messages",
            "prompt",
            "input",
            "stream",
            "tools",
            "max_tokens",
            "max_completion_tokens",
            "stop",
            "system",
            "response_format",
            "stream_options",
            "n",
            "functions",
            "modalities",
            "instructions",
            "text",
            "encoding_format",
        ]
    ),
    JSON,
    max_size=6,
)


def test_odd_shapes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every field of every shape; with lists of messages, so that the body comes through."""
    with harness(tmp_path, one_backend, FOR_ALL) as run:

        @settings(
            max_examples=150,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(
            fields=FIELDS,
            messages=st.lists(JSON, max_size=3),
            path=st.sampled_from([row[0] for row in BODIES]),
        )
        def example(fields: dict[str, Any], messages: list[Any], path: str) -> None:
            text = json.dumps({"messages": messages, **fields, "model": "m"})
            run.run(_try_body(run, path, text.encode("utf-8", "surrogatepass")))

        example()
        run.is_clean(caplog)


# -- heads

HEADS: Final = [
    request(CHAT, json.dumps(BODIES[0][1]).encode(), b"Content-Type: application/json", b"X-Request-Id: a"),
    request(CHAT, json.dumps(BODIES[1][1]).encode(), b"traceparent: 00-0-0-01", b"X-Nexus-Via: one, two"),
    b"GET /v1/models/a%2Fb%3Ac HTTP/1.1\r\nHost: 127.0.0.1:80\r\nOrigin: http://localhost\r\n\r\n",
    b"OPTIONS /v1/models HTTP/1.1\r\nHost: [::1]\r\nAccess-Control-Request-Headers: x\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: application/openmetrics-text;q=\x30.1\r\n\r\n",
    b"GET /health?verbose=1 HTTP/1.1\r\nHost: localhost\r\nForwarded: for=1\r\n\r\n",
]


def _head_cases() -> list[bytes]:
    rng = random.Random(SEED)
    cases = [file.read_bytes() for file in kept("heads")]
    for _ in range(900):
        head, _, body = rng.choice(HEADS).partition(b"\r\n\r\n")
        cases.append(mutated(rng, head, HEAD_TOKENS, (1, 1, 2, 3, 6)) + b"\r\n\r\n" + body)
    return cases


async def _try_head(run: Harness, sent: bytes) -> None:
    answers, closed = await converse(run.gateway, sent)
    assert 500 not in answers.statuses
    assert all(100 <= status < 600 for status in answers.statuses)
    assert closed or (answers.statuses[-1] == 200 and answers.complete)


def test_heads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with harness(tmp_path, one_backend, FOR_ALL + '[server]\ncors_origins = ["http://localhost"]\n') as run:

        async def all_of_them() -> None:
            cases = _head_cases()
            for at in range(0, len(cases), 30):
                await asyncio.gather(*(_noted(tmp_path, run, case) for case in cases[at : at + 30]))

        run.run(all_of_them())
        run.is_clean(caplog)


async def _noted(folder: Path, run: Harness, sent: bytes) -> None:
    try:
        await _try_head(run, sent)
    except BaseException:
        (folder / "failing").write_bytes(sent)
        print(folder / "failing", sent[:300])  # noqa: T201 - shown on failure
        raise


# -- what backends answer

EXAMPLES: Final = 1200


def _reply_cases() -> list[bytes]:
    rng = random.Random(SEED)
    recorded = [path.read_bytes() for path in sorted(CAPTURES.glob("*/*.resp"))]
    recorded = [data for data in recorded if 0 < len(data) < 50_000]
    cases = [file.read_bytes() for file in kept("replies")] + recorded
    cases += [mutated(rng, rng.choice(recorded), WIRE_TOKENS, (1, 1, 2, 3, 8)) for _ in range(EXAMPLES)]
    return cases


async def one_of_each(fleet: FakeFleet) -> str:
    return backend_toml(*[await fleet.add(kind, models=[kind], name=kind) for kind in KINDS])


def _unlearn(run: Harness) -> None:
    """What one example taught must not keep the next from its backend."""
    registry = run.gateway.nexus.registry
    for record in registry._records.values():
        record._learned.clear()
        record._corrected.clear()
        registry._rebuild(record)
        for stats in record._pairs.values():
            stats.busy_until = 0.0


def test_replies(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with harness(tmp_path, one_of_each, FOR_ALL) as run:
        verdicts: Counter[str] = Counter()

        async def all_of_them() -> None:
            for at, wire in enumerate(_reply_cases()):
                backend = run.fleet.backends[at % len(KINDS)]
                try:
                    verdicts[await _try_reply(run, backend, wire, stream=at % 3 > 0)] += 1
                except BaseException:
                    (tmp_path / "failing").write_bytes(wire)
                    print(f"{backend.name}: {tmp_path / 'failing'}")  # noqa: T201 - shown on failure
                    raise

        run.run(all_of_them())
        run.is_clean(caplog)
        kinds = {
            "relayed 200",
            "relayed 400",
            "error 502",
            "event upstream_closed",
            "event upstream_incomplete",
        }
        assert kinds <= verdicts.keys(), verdicts


async def _try_reply(run: Harness, backend: testing.FakeBackend, wire: bytes, *, stream: bool) -> str:
    _unlearn(run)
    backend.next(testing.Garbage(wire))
    asked = len(backend.surface_requests)
    body = json.dumps(
        {"model": backend.name, "messages": [{"role": "user", "content": "x"}], "stream": stream}
    )
    answers, closed = await converse(run.gateway, request(CHAT, body.encode()))
    assert len(backend.surface_requests) > asked
    first = b"".join(answers.pieces[0])
    got = Got(answers.statuses[0], first, complete=not closed)
    verdict = verdict_of(got, [carried(wire)])
    assert verdict, (got.status, got.body[-300:], carried(wire))
    if not closed:
        assert answers.statuses[1:] == [200], "the connection's next request works"
    return verdict


def test_the_corpus_is_there() -> None:
    assert {path.name for path in CORPUS.iterdir() if path.is_dir()} == {"bodies", "heads", "replies"}
