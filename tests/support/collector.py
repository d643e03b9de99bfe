"""A local OTLP/HTTP receiver of traces."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """What was exported.

    Attributes:
        url: for ``OTEL_EXPORTER_OTLP_ENDPOINT``.
        spans: in the order in which they came.
        resource: attributes of whoever exported.
        headers: of the newest export.
        status: answered to exports.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Span] = []
        self.resource: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        self.status = 200

    def named(self, kind: Span.SpanKind.ValueType) -> list[Span]:
        return [span for span in self.spans if span.kind == kind]


def attributes(pairs: Any) -> dict[str, Any]:  # noqa: ANN401 - protobuf's own container
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:  # noqa: ANN401 - any attribute's value
    return getattr(pair.value, pair.value.WhichOneof("value") or "string_value")


@contextmanager
def collector() -> Iterator[Collector]:
    """Receive exports on a free port until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            found.headers = {name.lower(): value for name, value in self.headers.items()}
            if self.path == "/v1/traces" and found.status == 200:
                for batch in ExportTraceServiceRequest.FromString(body).resource_spans:
                    found.resource = attributes(batch.resource.attributes)
                    found.spans += [span for scope in batch.scope_spans for span in scope.spans]
            self.send_response(found.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()
