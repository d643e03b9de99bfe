"""Which modules are compiled: those that a request passes, but for a few."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

PACKAGES: Final = ("domain", "protocol", "http", "registry", "routing", "routing/policies", "gateway")
MODULES: Final = (
    "errors.py",
    "stepping.py",
    "observe/error_type.py",
    "observe/histogram.py",
    "observe/history.py",
    "observe/hub.py",
    "observe/metrics.py",
    "observe/request_log.py",
    "observe/series.py",
    "observe/served.py",
    "observe/traffic.py",
)
"""Beside all modules of those packages."""

_DECODED: Final = "msgspec decodes its structs, or encodes them, which takes real ones"
_SELDOM: Final = "not on the way of a request; nothing would be gained"

LEFT_OUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "domain/capabilities.py": "its struct is a mapping of names elsewhere: `__struct_fields__`, `asdict`",
        "domain/explanation.py": _DECODED,
        "domain/rejection.py": "a struct that msgspec encodes is a subclass of its own",
        "domain/usage.py": _DECODED,
        "domain/weights.py": "the configuration's section is a subclass of it",
        "gateway/model_list.py": _SELDOM,
        "http/accept.py": _SELDOM,
        "http/asgi.py": _SELDOM,
        "http/fetch.py": _SELDOM,
        "http/proxy.py": _SELDOM,
        "http/resolve.py": _SELDOM,
        "protocol/counted.py": _DECODED,
        "protocol/error_text.py": _DECODED,
        "protocol/json_spans.py": "its structs have an order",
        "protocol/quote.py": _SELDOM,
        "protocol/shapes.py": _DECODED,
        "protocol/stream_events.py": _DECODED,
        "registry/routing_view.py": _DECODED,
        "registry/views.py": _DECODED,
        "registry/wishes.py": _SELDOM,
    }
)
"""Modules of those packages that stay as they are, each with its reason."""


def compiled_modules(package: Path) -> list[Path]:
    """Return the modules to compile, relative to ``package``, the folder of ``nexus``.

    Raises:
        FileNotFoundError: a module that is named here is not there.
    """
    found = [Path(name) for name in MODULES]
    for folder in PACKAGES:
        found += [path.relative_to(package) for path in sorted((package / folder).glob("*.py"))]
    for name in (*MODULES, *LEFT_OUT):
        if not (package / name).is_file():
            raise FileNotFoundError(f"{name} is named in compiled/modules.py and is not there")
    return [path for path in found if path.name != "__init__.py" and path.as_posix() not in LEFT_OUT]
