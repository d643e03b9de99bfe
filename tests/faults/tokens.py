"""Pieces that mean something to the parsers behind a fuzzed input."""

from __future__ import annotations

from typing import Final

JSON_TOKENS: Final = [
    b"{", b"}", b"[", b"]", b'"', b":", b",", b"\\", b"\\u0000", b"\\ud800", b"null", b"true", b"-0",
    b"1e999", b"NaN", b"9" * 400, b'"model":"m",', b'"mod\\u0065l":"m",', b'"stream":true,',
    b'"messages":null,', b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\x00", b"[" * 3000, b'{"a":' * 2000,
    b'"tools":[[]],', b'"stop":[1],', b'"max_tokens":-1,', b'"input":{},', b"\xc3", b" ", b"\n", b"/*",
    b"'",
]  # fmt: skip
HEAD_TOKENS: Final = [
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b";", b",", b"\xff", b"\x7f", b"%00", b"%2F", b"//",
    b"..", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
    b"Expect: 100-continue\r\n", b"Host: evil.test\r\n", b"Origin: http://evil.test\r\n",
    b"Upgrade: h2c\r\nConnection: upgrade\r\n", b"Content-Encoding: gzip\r\n",
    b"X-Request-Id: \xff\x01\r\n", b"X-Nexus-Via: a, a, ,,\xff\r\n", b"traceparent: \xe9\r\n",
    b"Authorization: Bearer \xff\r\n", b"Accept: *\r\n", b"HTTP/1.0", b"HTTP/2.0", b"?", b"#", b"\r\n\r\n",
    b"OPTIONS ", b"HEAD ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]  # fmt: skip
WIRE_TOKENS: Final = [
    b"\r\n", b"\n", b"\r", b"\n\n", b"\r\n\r\n", b"\x00", b"\xff", b"data: ", b"data:", b": x\n\n",
    b"event: error\n", b"data: [DONE]\n\n", b'data: {"error":{"message":"x"}}\n\n', b'{"error":"x"}',
    b'"error":', b"0\r\n\r\n", b"ffffffff\r\n", b"-1\r\n", b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip\r\n", b"Content-Encoding: gzip\r\n",
    b"Connection: X-Nexus-Backend\r\n", b"Retry-After: 99999999999999999999\r\n", b"Retry-After: \xff\r\n",
    b"Content-Type: text/event-stream\r\n", b"Content-Type: \xe9\r\n", b"Location: \x01\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"1 999 ", b" 503 ", b" 400 ",
    b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"[" * 2000, b'{"error":' * 500, b"x" * 70_000,
    b'"usage":{"prompt_tokens":1e400}', b'"usage":{"completion_tokens":-5}', b'"finish_reason":"stop"',
    b"context length is 99999999999999999999999",
]  # fmt: skip
