"""Everything that one scenario runs against: an upstream, nginx before it, and Nexus before it."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench import configs, machine
from bench.processes import BenchError, Running, children, free_ports

BACKENDS = 3


class Place(msgspec.Struct, frozen=True):
    """Where requests can be sent.

    Attributes:
        name: ``direct``, ``nginx``, ``nexus`` or a peer's.
        port: on loopback.
        pid: the process whose work is measured; ``None`` for the upstream itself.
        exact: replies have one length, so that every byte can be accounted for.
    """

    name: str
    port: int
    pid: int | None
    exact: bool = True


class Stage(msgspec.Struct, frozen=True):
    """Running servers.

    Attributes:
        folder: for files of this scenario.
        backends: ports of the upstream.
        direct, nginx, nexus: the places to compare.
    """

    folder: Path
    backends: tuple[int, ...]
    direct: Place
    nginx: Place
    nexus: Place

    @property
    def places(self) -> tuple[Place, ...]:
        """All three, in the order of a round."""
        return self.direct, self.nginx, self.nexus


def nginx(name: str, config: Path, core: int) -> Running:
    """Return an nginx that is not started yet."""
    folder = config.parent
    errors = str(folder / f"{name}.err")
    command = [machine.where("nginx") or "nginx", "-e", errors, "-p", str(folder), "-c", str(config)]
    return Running(f"nginx ({name})", command, core=core, output=folder / f"{name}.out")


def nexus(folder: Path, config: Path, *, launcher: Sequence[str] = ("-m", "nexus")) -> Running:
    """Return a gateway, by its real entry point and with its log in a file, that is not started yet."""
    command = [sys.executable, *launcher, "serve", "-c", str(config)]
    # What a person keeps on this computer is not part of what is measured.
    own = {"NEXUS_STATE_DIR": str(folder / "state")}
    return Running("nexus", command, core=machine.GATEWAY_CORE, output=folder / "nexus.log", environ=own)


def worker(master: Running) -> int:
    """Return the process id of an nginx's one worker."""
    found = children(master.pid)
    if len(found) != 1:
        raise BenchError(f"{master.name} has {len(found)} workers instead of one")
    return found[0]


def ready(gateway: Running, port: int, backends: int = BACKENDS) -> float:
    """Wait until all backends are healthy in the eyes of the gateway; return the seconds."""
    return gateway.answers(port, "/health", contains=f'"healthy":{backends},'.encode())


@contextlib.contextmanager
def workshop() -> Iterator[Path]:
    """Give a folder that is gone afterwards, and that nginx's own user can read."""
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@contextlib.contextmanager
def instant_stage(files: int, *, launcher: Sequence[str] = ("-m", "nexus")) -> Iterator[Stage]:
    """Run an upstream without delay, nginx and Nexus."""
    with workshop() as folder, contextlib.ExitStack() as stack:
        backends = free_ports(BACKENDS)
        config = configs.upstream_nginx(folder, backends, files)
        upstream = stack.enter_context(nginx("upstream", config, machine.LOAD_CORE))
        upstream.answers(backends[0], "/v1/models")
        yield _gateways(stack, folder, backends, files, launcher)


@contextlib.contextmanager
def streaming_stage(files: int, *, rate: float, chunks: int) -> Iterator[Stage]:
    """Run an upstream that streams ``chunks`` chunks at ``rate`` a second, nginx and Nexus."""
    with workshop() as folder, contextlib.ExitStack() as stack:
        backends = free_ports(BACKENDS)
        numbers = [str(port) for port in backends]
        command = [sys.executable, "-m", "bench.sse_upstream", str(rate), str(chunks), *numbers]
        upstream = stack.enter_context(
            Running("upstream", command, core=machine.LOAD_CORE, output=folder / "upstream.out")
        )
        upstream.answers(backends[0], "/v1/models")
        yield _gateways(stack, folder, backends, files, ("-m", "nexus"))


def _gateways(
    stack: contextlib.ExitStack, folder: Path, backends: Sequence[int], files: int, launcher: Sequence[str]
) -> Stage:
    proxy_port, nexus_port = free_ports(2)
    config = configs.proxy_nginx(folder, proxy_port, backends, files)
    proxy = stack.enter_context(nginx("proxy", config, machine.GATEWAY_CORE))
    gateway = stack.enter_context(
        nexus(folder, configs.nexus_toml(folder, nexus_port, backends), launcher=launcher)
    )
    proxy.answers(proxy_port, "/v1/models")
    ready(gateway, nexus_port)
    return Stage(
        folder=folder,
        backends=tuple(backends),
        direct=Place("direct", backends[0], None),
        nginx=Place("nginx", proxy_port, worker(proxy)),
        nexus=Place("nexus", nexus_port, gateway.pid),
    )
