"""The probe over HTTP: what leaves for a backend, and to which path."""

from __future__ import annotations

from typing import Any, cast

from nexus.backends import HttpProbe
from nexus.domain import BackendSpec, Origin, Secret
from nexus.http.client import Fetched, HttpClient

ORIGIN = Origin("http", "h", 8000)


class Recorder:
    """Stands where the HTTP client does."""

    def __init__(self) -> None:
        self.calls: list[tuple[Origin, str, str, dict[str, Any]]] = []

    async def fetch(self, origin: Origin, method: str, target: str, **options: Any) -> Fetched:  # noqa: ANN401 (any)
        self.calls.append((origin, method, target, options))
        return Fetched(200, [], b"{}")


def probe(spec: BackendSpec, gateway_id: str = "") -> tuple[HttpProbe, Recorder]:
    recorder = Recorder()
    return HttpProbe(cast("HttpClient", recorder), spec, 2.5, gateway_id=gateway_id), recorder


async def test_paths_start_at_their_root() -> None:
    spec = BackendSpec(id="b", name="b", origin=ORIGIN, api_root="/x/v1", native_root="/x")
    http, recorder = probe(spec)
    await http.get("/models", root="api")
    await http.get("/api/tags")
    await http.post("/api/show", b'{"model":"m"}')
    assert [(origin, method, target) for origin, method, target, _ in recorder.calls] == [
        (ORIGIN, "GET", "/x/v1/models"),
        (ORIGIN, "GET", "/x/api/tags"),
        (ORIGIN, "POST", "/x/api/show"),
    ]
    options = recorder.calls[2][3]
    assert (options["timeout"], options["body"]) == (2.5, b'{"model":"m"}')
    assert (b"Content-Type", b"application/json") in options["headers"]


async def test_only_the_backends_own_credentials_leave() -> None:
    spec = BackendSpec(
        id="b", name="b", origin=ORIGIN, key=Secret("sk-own"), headers={"X-Team": Secret("blue")}
    )
    http, recorder = probe(spec, "gw-1")
    await http.get("/models", root="api")
    sent = dict(recorder.calls[0][3]["headers"])
    assert sent[b"Authorization"] == b"Bearer sk-own"
    assert sent[b"X-Team"] == b"blue"
    assert sent[b"X-Nexus-Via"] == b"gw-1"
    assert sent[b"User-Agent"].startswith(b"nexus/")
    assert set(sent) == {
        b"Accept",
        b"Accept-Encoding",
        b"User-Agent",
        b"X-Nexus-Via",
        b"Authorization",
        b"X-Team",
    }


async def test_nothing_secret_without_a_secret() -> None:
    http, recorder = probe(BackendSpec(id="b", name="b", origin=ORIGIN))
    await http.get("/models", root="api")
    assert set(dict(recorder.calls[0][3]["headers"])) == {b"Accept", b"Accept-Encoding", b"User-Agent"}
