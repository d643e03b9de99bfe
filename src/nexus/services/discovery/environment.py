"""What the environment says of inference servers.

Laws: an address on this computer or a private network is looked at, without any key; everything
else (clouds, keys, addresses that cannot be used) is mentioned, never used. No value is echoed
before it proved to be an address without credentials in it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Final

import msgspec

from nexus.config.url import BackendUrl, parse_url
from nexus.domain import DiscoverySource, Origin, replace
from nexus.errors import ConfigError
from nexus.services.discovery.address_watch import AddressWatch, Pace, Surroundings, Target, is_private
from nexus.services.discovery.clouds import CLOUDS, OLLAMA, OPENAI, Cloud, backend_table
from nexus.services.discovery.ollama_host import OllamaHost, parse_ollama_host
from nexus.services.discovery.sightings import Sighting

RESOLVE_SECONDS: Final = 1.0

# RFC 6762 (.local), 6761 (.localhost, .test), 8375 (home.arpa), ICANN's .internal, common routers'
# names, Tailscale's MagicDNS (its addresses are not public, RFC 6598).
_PRIVATE_NAMES: Final = re.compile(
    r"[^.]+|.*\.(localhost|local|localdomain|lan|home|internal|intranet|corp|test|home\.arpa|ts\.net)"
)
_LOOPBACKS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # replaced, not listened on
_UNASKED: Final = "Nexus does not use it by itself; to do so, add to the configuration:"


class Mention(msgspec.Struct, frozen=True):
    """Something in the environment that Nexus leaves alone.

    Attributes:
        variable: its name.
        text: one sentence for people.
        toml: the lines of configuration that would use it; empty when there are none.
    """

    variable: str
    text: str
    toml: str = ""


class Environment(msgspec.Struct, frozen=True):
    """What was read.

    Attributes:
        targets: servers to look at.
        mentions: what is only said.
    """

    targets: tuple[Target, ...] = ()
    mentions: tuple[Mention, ...] = ()

    @property
    def sightings(self) -> tuple[Sighting, ...]:
        """The servers to look at, as the environment names them."""
        return tuple(target.sighting for target in self.targets)


def read_environment(
    environ: Mapping[str, str],
    *,
    is_self: Callable[[str, int], bool] = lambda _host, _port: False,
    configured: Collection[tuple[str, int]] = (),
) -> Environment:
    """Read an environment.

    Args:
        environ: name to value.
        is_self: whether an address is this Nexus's own; what goes with such an address (a key for
            Nexus's own clients) is nobody's business.
        configured: host and port of the backends of the configuration, which need no mention.

    Returns:
        What to look at, and what to say.
    """
    targets: list[Target] = []
    mentions: list[Mention] = []
    for found in (*_ollama(environ), *_openai(environ), *_clouds(environ, is_self, configured)):
        if isinstance(found, Target):
            targets.append(found)
        else:
            mentions.append(found)
    return Environment(tuple(targets), tuple(mentions))


class EnvironmentAddresses(AddressWatch):
    """Reports what the environment names, under the addresses that it has now.

    There is no connect: whoever set the variable says that the server is there, so while it is
    down it is a backend that is down.

    Args:
        around: what all watches share.
        every_seconds: between two look-ups of names.
        environment: what was read.
    """

    def __init__(self, around: Surroundings, every_seconds: float, environment: Environment) -> None:
        pace = Pace(every_seconds, None, RESOLVE_SECONDS)
        super().__init__("environment", environment.targets, pace, around)


def _ollama(environ: Mapping[str, str]) -> Iterator[Target | Mention]:
    value = environ.get("OLLAMA_HOST", "")
    if not value.strip(" \"'"):
        return
    host = parse_ollama_host(value)
    try:
        urls = [_ollama_url(host, name) for name in host.hosts]
    except ConfigError as error:
        yield _unusable("OLLAMA_HOST", error)
        return
    url = urls[0]
    if url.host == "ollama.com":
        if not environ.get("OLLAMA_API_KEY", "").strip():
            yield Mention(
                "OLLAMA_HOST",
                "OLLAMA_HOST names Ollama's cloud. Set OLLAMA_API_KEY and add to the configuration:",
                _toml(OLLAMA),
            )
        return
    yield Target(_sighting("OLLAMA_HOST", url, tuple((other.host, other.port) for other in urls)))


def _ollama_url(host: OllamaHost, name: str) -> BackendUrl:
    """Return where the API of such an Ollama is; raises ConfigError when nobody could connect there."""
    shown = f"[{name}]" if ":" in name else name
    path = f"/{host.path}/v1" if host.path else ""
    return parse_url(f"{host.scheme}://{shown}:{host.port}{path}")


def _openai(environ: Mapping[str, str]) -> Iterator[Target | Mention]:
    value = environ.get(OPENAI.base_url, "").strip()
    if not value:
        return
    try:
        url = _client_url(value)
    except ConfigError as error:
        yield _unusable(OPENAI.base_url, error)
        return
    if _looks_private(url.host):
        sighting = _sighting(OPENAI.base_url, url, ((url.host, url.port),))
        yield Target(sighting, private=True)
    elif not environ.get(OPENAI.keys[0], "").strip():
        table = backend_table(OPENAI.name, _shown(url))
        yield Mention(OPENAI.base_url, _moved(OPENAI.base_url, url), table)


def _clouds(
    environ: Mapping[str, str],
    is_self: Callable[[str, int], bool],
    configured: Collection[tuple[str, int]],
) -> Iterator[Mention]:
    for cloud in CLOUDS:
        key = next((name for name in cloud.keys if environ.get(name, "").strip()), "")
        base = environ.get(cloud.base_url, "").strip() if cloud.base_url else ""
        if not key and (not base or cloud is OPENAI):
            continue
        try:
            url = _client_url(f"{base.rstrip('/')}{cloud.base_suffix}" if base else cloud.url)
        except ConfigError as error:
            if cloud is not OPENAI:
                yield _unusable(cloud.base_url, error)
            continue
        if (url.host, url.port) in configured or is_self(url.host, url.port):
            continue
        variable = key or cloud.base_url
        text = f"{variable} is set. {_UNASKED}" if key else _moved(variable, url)
        yield Mention(variable, text, backend_table(cloud.name, _shown(url), key))


def _moved(variable: str, url: BackendUrl) -> str:
    return f"{variable} names {_shown(url)}. {_UNASKED}"


def _shown(url: BackendUrl) -> str:
    """Return a URL as people write it, without a port that goes without saying."""
    return f"{Origin(url.scheme, url.host, url.port)}{url.api_root}"


def _toml(cloud: Cloud) -> str:
    return backend_table(cloud.name, cloud.url, cloud.keys[0])


def _unusable(variable: str, error: ConfigError) -> Mention:
    return Mention(variable, f"{variable} is not used: {error}")


def _client_url(text: str) -> BackendUrl:
    """Read a base URL; an address to listen on, which some write there, becomes a loopback one."""
    url = parse_url(text)
    return replace(url, host=_LOOPBACKS.get(url.host, url.host))


def _sighting(variable: str, url: BackendUrl, addresses: tuple[tuple[str, int], ...]) -> Sighting:
    return Sighting(
        key=f"env:{variable}",
        source=DiscoverySource.LOCAL,
        found_by=variable,
        addresses=addresses,
        tls=url.scheme == "https",
        path="" if url.api_root == "/v1" else url.api_root,
    )


def _looks_private(host: str) -> bool:
    """Tell whether a host is surely not a public service, as far as its spelling tells."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _PRIVATE_NAMES.fullmatch(host.rstrip(".")) is not None
    return is_private(host)
