"""The configurations of everything that the benchmark starts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Final

MODEL: Final = "m"
CHAT: Final = "/v1/chat/completions"
BODY_BYTES: Final = 350

REPLY: Final = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1795417906,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello there, how can I help you today?"},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40},
    }
)
MODELS: Final = json.dumps(
    {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "bench"}]}
)

# Both servers log nothing and keep connections: a benchmark of nginx at its best.
_NGINX: Final = Template(
    """worker_processes 1;
worker_rlimit_nofile $files;
daemon off;
pid $folder/$name.pid;
error_log $folder/$name.err;
events { worker_connections 16384; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_body_temp_path $folder/$name.1;
  proxy_temp_path $folder/$name.2;
  fastcgi_temp_path $folder/$name.3;
  uwsgi_temp_path $folder/$name.4;
  scgi_temp_path $folder/$name.5;
$servers
}
"""
)

_PROXY: Final = Template(
    """  upstream backends {
$backends
    keepalive 256;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:$port backlog=4096;
    location / {
      proxy_pass http://backends;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 300s;
    }
  }"""
)

_REPLIES: Final = Template(
    """  server {
$listen
    default_type application/json;
    location $chat { return 200 '$reply'; }
    location /v1/models { return 200 '$models'; }
    location / { return 404 '{"error": {"message": "not found"}}'; }
  }"""
)


def chat_body(*, stream: bool = False) -> bytes:
    """Return a chat request of exactly ``BODY_BYTES`` bytes."""
    body = {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant that answers briefly and clearly."},
            {"role": "user", "content": "Please tell me in one short sentence what you can do for me today."},
        ],
        "max_tokens": 64,
        "temperature": 0.7,
        "stream": stream,
        "user": "",
    }
    body["user"] = "x" * (BODY_BYTES - len(json.dumps(body)))
    return json.dumps(body).encode()


def chat_request(port: int, *, stream: bool = False, close: bool = False) -> bytes:
    """Return the whole request as it goes to ``port``."""
    body = chat_body(stream=stream)
    end = "Connection: close\r\n" if close else ""
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n{end}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def upstream_nginx(folder: Path, ports: Sequence[int], files: int) -> Path:
    """Write an nginx that answers at once on every port, and return its file."""
    listen = "\n".join(f"    listen 127.0.0.1:{port} backlog=4096;" for port in ports)
    servers = _REPLIES.substitute(listen=listen, chat=CHAT, reply=REPLY, models=MODELS)
    return _write_nginx(folder, "upstream", servers, files)


def proxy_nginx(folder: Path, port: int, backends: Sequence[int], files: int) -> Path:
    """Write an nginx that relays ``port`` to ``backends``, and return its file."""
    lines = "\n".join(f"    server 127.0.0.1:{backend};" for backend in backends)
    return _write_nginx(folder, "proxy", _PROXY.substitute(port=port, backends=lines), files)


def nexus_toml(folder: Path, port: int, backends: Sequence[int]) -> Path:
    """Write a gateway with default features and these backends, and return its file.

    Discovery is off: a server that happens to run on the machine would be part of what is measured.
    """
    parts = [f'[server]\nport = {port}\n\n[discovery]\nenabled = false\n\n[logging]\nformat = "json"\n']
    parts += [
        f'[[backends]]\nname = "b{number}"\nurl = "http://127.0.0.1:{backend}"\ntype = "generic"\n'
        for number, backend in enumerate(backends, 1)
    ]
    return _write(folder / "nexus.toml", "\n".join(parts))


def browsing_toml(folder: Path, port: int, service_type: str, servers: int) -> Path:
    """Write a gateway that finds announced servers and nothing else, and return its file.

    Checks are off after the first one: what they cost is not what looking costs.
    """
    text = (
        f"[server]\nport = {port}\n\n[discovery]\nprobe_local = false\n"
        f'service_types = ["{service_type}"]\nallow = ["127.0.0.0/8"]\nmax_backends = {servers}\n\n'
        '[health_check]\nenabled = false\n\n[logging]\nformat = "json"\n'
    )
    return _write(folder / "browsing.toml", text)


def litellm_yaml(folder: Path, backends: Sequence[int]) -> Path:
    """Write the same fleet for LiteLLM's proxy, and return its file."""
    rows = [
        f"  - model_name: {MODEL}\n    litellm_params:\n      model: openai/{MODEL}\n"
        f"      api_base: http://127.0.0.1:{backend}/v1\n      api_key: none\n"
        for backend in backends
    ]
    return _write(folder / "litellm.yaml", "model_list:\n" + "".join(rows))


def _write_nginx(folder: Path, name: str, servers: str, files: int) -> Path:
    text = _NGINX.substitute(folder=folder, name=name, servers=servers, files=files)
    return _write(folder / f"{name}.conf", text)


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
