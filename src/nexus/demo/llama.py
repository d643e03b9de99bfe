"""The parent's handle on a real llama.cpp server, as used by ``nexus demo`` and by the tests."""

from __future__ import annotations

import http.client
import signal
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec

from nexus.demo.child import Child
from nexus.demo.llama_worker import Settings, Started
from nexus.demo.weights import find_weights, require_llama
from nexus.domain import replace
from nexus.errors import StartError
from nexus.tasks import Clock, SystemClock

START_SECONDS: Final = 60.0


class LlamaServer:
    """A real llama.cpp server in a process of its own, which is started, killed, frozen and restarted.

    All methods block; from a coroutine, call them through ``asyncio.to_thread``. The process ends
    with this one, however this one ends.

    Args:
        model: the GGUF to serve; the demo's own when left out.
        alias: the name it is offered under.
        port: 0 picks a free one at the first start, which every later start takes again.
        context: tokens in all, shared between the slots.
        slots: requests worked on at once.
        embeddings: serve embeddings too, beside chat and completions.
        api_key: required from clients when set.
    """

    def __init__(
        self,
        model: Path | None = None,
        *,
        alias: str = "smollm2-135m",
        port: int = 0,
        context: int = 4096,
        slots: int = 2,
        embeddings: bool = False,
        api_key: str = "",
        clock: Clock | None = None,
    ) -> None:
        self._model = model
        self._settings = Settings(
            model="",
            alias=alias,
            port=port,
            context=context,
            slots=slots,
            embeddings=embeddings,
            api_key=api_key,
        )
        self._clock = clock if clock is not None else SystemClock()
        self._child: Child | None = None
        self._url = ""
        self._healthy_once = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def alias(self) -> str:
        """The name under which it offers its model."""
        return self._settings.alias

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``, known from the first start on."""
        if not self._url:
            raise RuntimeError("this server has not been started yet")
        return self._url

    @property
    def host(self) -> str:
        """The address it listens on."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port it listens on."""
        return urlsplit(self.url).port or 0

    @property
    def address(self) -> tuple[str, int]:
        """Host and port, as sockets take them."""
        return self.host, self.port

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._child is None:
            raise RuntimeError("this server is not running")
        return self._child.pid

    @property
    def running(self) -> bool:
        """Whether its process lives (a frozen one does)."""
        return self._child is not None and self._child.exit_code is None

    def start(self) -> None:
        """Start it and wait until it is healthy; nothing happens when it runs already.

        Raises:
            DemoIncomplete: llama.cpp or the weights are not installed; says the command to run.
            StartError: it did not become healthy; says why.
        """
        self.launch()
        self.wait_healthy()

    def launch(self) -> None:
        """Start its process without waiting; follow with :meth:`wait_healthy`.

        Raises:
            DemoIncomplete: llama.cpp or the weights are not installed; says the command to run.
        """
        if self.running:
            return
        self._release()
        require_llama()
        model = self._model if self._model is not None else find_weights()
        if not model.is_file():
            raise StartError(f"There is no model file at {model}")
        self._settings = replace(self._settings, model=str(model.absolute()))
        line = msgspec.json.encode(self._settings) + b"\n"
        self._healthy_once = False
        self._child = Child("nexus.demo.llama_worker", first_line=line)

    def wait_healthy(self, timeout: float = START_SECONDS) -> None:
        """Wait up to ``timeout`` seconds until it answers ``GET /health`` with 200.

        Raises:
            StartError: it ended, or did not become healthy in time.
        """
        child = self._child
        if child is None:
            raise RuntimeError("this server has not been started yet")
        if self._healthy_once:
            return
        deadline = self._clock.now() + timeout
        line = child.read_line(timeout)
        if not line:
            raise self._failed(child, f"it did not come up within {timeout:.0f} s")
        started = msgspec.json.decode(line, type=Started)
        if started.error:
            raise self._failed(child, started.error)
        self._url = started.url
        self._settings = replace(self._settings, port=self.port)
        while not self._healthy():
            if self._clock.now() > deadline or child.exit_code is not None:
                raise self._failed(child, f"it was not healthy within {timeout:.0f} s")
            child.wait(0.02)
        self._healthy_once = True

    def kill(self) -> None:
        """``kill -9``, and return when the process is gone."""
        if self._child is not None:
            self._child.kill()

    def stop(self) -> None:
        """End it and let go of everything that belongs to it."""
        self._release()

    def restart(self) -> None:
        """End it if it runs, and start it again on the same port.

        Raises:
            StartError: as :meth:`start`.
        """
        self._release()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        if self._child is not None:
            self._child.freeze()

    def thaw(self) -> None:
        """SIGCONT: go on where :meth:`freeze` stopped it."""
        if self._child is not None:
            self._child.send(signal.SIGCONT)

    def _release(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _healthy(self) -> bool:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _failed(self, child: Child, reason: str) -> StartError:
        code = child.exit_code
        ended = "" if code is None else f" (its process ended with {code})"
        tail = child.log_tail()
        self._release()
        return StartError(
            f"llama.cpp did not start with {self._settings.model}{ended}: {reason}"
            + (f"\n{tail}" if tail else "")
        )
