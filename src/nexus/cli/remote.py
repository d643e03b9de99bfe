"""Asking the running server: what ``models``, ``backends`` and ``health`` have in common."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

import click

from nexus.cli.lazy import Refused
from nexus.config.load import Loaded, default_path, load

TIMEOUT_SECONDS: Final = 10.0
MAX_BYTES: Final = 64 * 1024 * 1024
# An address to listen on everywhere is none to connect to.
_EVERYWHERE: Final[Mapping[str, str]] = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - read, not bound


class Unanswered(click.ClickException):
    """The server did not give what was asked for: one sentence on what to do, exit code 1.

    Attributes:
        status: of an answer that Nexus gave on purpose, or 0.
    """

    exit_code = 1

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Server(NamedTuple):
    """Where the running server is.

    Attributes:
        url: scheme, host and port.
        tls: how its certificate is checked; None for http.
        key: what it is shown as the client's key, or as the administration's token.
        asks_for: how a missing or wrong key is given, for the person who is told of it.
        timeout: seconds for each step of an answer.
    """

    url: SplitResult
    tls: ssl.SSLContext | None
    key: str | None
    asks_for: str = "a key: give --api-key KEY or set NEXUS_API_KEY"
    timeout: float = TIMEOUT_SECONDS

    def get(self, path: str) -> dict[str, Any]:
        """Ask for ``path`` and return the JSON object it answers.

        Raises:
            Unanswered: nothing answers, not in time, not with 200, or it is not Nexus.
        """
        return self.ask("GET", path)

    def ask(
        self, method: str, path: str, content: Mapping[str, object] | bytes | None = None
    ) -> dict[str, Any]:
        """Send ``content`` as JSON (bytes as they are), if there is any, and return the answered object.

        Raises:
            Unanswered: nothing answers, not in time, not with success, or it is not Nexus.
        """
        headers = self.headers("application/json")
        sent = None
        if content is not None:
            headers["Content-Type"] = "application/json"
            sent = content if isinstance(content, bytes) else json.dumps(content).encode()
        with self.explained(), closing(self.connection()) as connection:
            connection.request(method, path, sent, headers)
            response = connection.getresponse()
            return self.read(response.status, response.read(MAX_BYTES))

    def headers(self, accept: str) -> dict[str, str]:
        """Return the fields of a request that wants ``accept``, the key among them."""
        return {"Accept": accept} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say of whatever goes wrong on the way what it means and what to do.

        Raises:
            Unanswered: it went wrong.
        """
        try:
            yield
        except TimeoutError:
            raise Unanswered(f"{self.name} did not answer within {self.timeout:.0f} s.") from None
        except ssl.SSLError as error:
            raise Unanswered(f"{self.name} does not show a certificate to trust: {error.reason}.") from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise Unanswered(
                f"Nothing answers at {self.name} ({reason}). Start it with: nexus serve   "
                "or say where it runs with --url."
            ) from None
        except http.client.HTTPException:
            raise self.not_nexus() from None

    def not_nexus(self) -> Unanswered:
        """The error for an answer that Nexus would not give."""
        return Unanswered(f"What answers at {self.name} is not Nexus. Say where it runs with --url.")

    @property
    def name(self) -> str:
        """Its URL."""
        return self.url.geturl()

    def connection(self) -> http.client.HTTPConnection:
        """Return a connection to it that is not open yet."""
        host = self.url.hostname or ""
        if self.tls is None:
            return http.client.HTTPConnection(host, self.url.port or 80, timeout=self.timeout)
        port = self.url.port or 443
        return http.client.HTTPSConnection(host, port, timeout=self.timeout, context=self.tls)

    def read(self, status: int, body: bytes) -> dict[str, Any]:
        """Return the object of a successful answer, or raise what another one says."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            raise self.not_nexus() from None
        if not isinstance(answer, dict):
            raise self.not_nexus()
        if status == 401:
            raise Unanswered(f"{self.name} wants {self.asks_for}.", status)
        if not 200 <= status <= 299:
            error = answer.get("error")
            if not isinstance(error, dict):
                raise self.not_nexus()
            raise Unanswered(f"{self.name} answered {status}: {error.get('message')}", status)
        return answer


def server_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add ``--url``, ``--api-key`` and ``--json`` (as ``as_json``) to a command."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts."),
        click.option(
            "--api-key",
            envvar="NEXUS_API_KEY",
            metavar="KEY",
            help="Key for the server (better set NEXUS_API_KEY: arguments are seen by others).",
        ),
        click.option("--url", metavar="URL", help="Where Nexus runs; as configured when left out."),
    ):
        command = option(command)
    return command


def connect(url: str | None, api_key: str | None) -> Server:
    """Find the server that ``--url`` names, else the configured one.

    Raises:
        Refused: the URL cannot be one.
        ConfigError: there is no ``--url`` and the configuration is wrong.
    """
    if url is not None:
        parts = _parsed(url)
        return Server(parts, ssl.create_default_context() if parts.scheme == "https" else None, api_key)
    loaded = load(default_path(os.environ, Path.cwd()), os.environ)
    own_key = loaded.client_keys[0].reveal() if loaded.client_keys else None
    return Server(_configured(loaded), _own_tls(loaded), api_key or own_key)


def _configured(loaded: Loaded) -> SplitResult:
    server = loaded.config.server
    host = _EVERYWHERE.get(server.host, server.host)
    netloc = f"[{host}]:{server.port}" if ":" in host else f"{host}:{server.port}"
    return SplitResult("https" if server.tls_cert else "http", netloc, "", "", "")


def _own_tls(loaded: Loaded) -> ssl.SSLContext | None:
    """Trust exactly the configured certificate; it need not name the address that is listened on."""
    certificate = loaded.config.server.tls_cert
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(certificate)
    except OSError as error:
        raise Refused(f"{certificate} (server.tls_cert) cannot be read: {error.strerror or error}") from None
    return context


def _parsed(url: str) -> SplitResult:
    problem = f"--url: expected something like http://127.0.0.1:6398, got {url!r}"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        raise Refused(problem) from None
    if parts.username is not None or parts.password is not None:
        raise Refused("--url: a user name or password does not belong there; keys go into --api-key")
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise Refused(problem)
    if parts.query or parts.fragment or parts.path.rstrip("/") not in {"", "/v1"}:
        raise Refused(f"{problem}: leave the path out")
    return SplitResult(parts.scheme, parts.netloc, "", "", "")
