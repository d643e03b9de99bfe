"""The settings of logs and traces: what Nexus tells others about its work."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from nexus.config.formats import COMPONENT
from nexus.config.kinds import Choice, Flag, MapOf, Setting, Whole

_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})
_LEVELS: Final = ("debug", "info", "warning", "error")


class LoggingConfig(msgspec.Struct, frozen=True):
    """What Nexus says about its work."""

    level: Annotated[str, Setting("Least level that is logged.", Choice(_LEVELS))] = "info"
    format: Annotated[
        str, Setting("Lines for people or objects for machines.", Choice(("pretty", "json")))
    ] = "pretty"
    enable_content_logging: Annotated[
        bool, Setting("Log what is asked and answered, too, to the component `content`.", Flag())
    ] = False
    content_bytes: Annotated[
        int, Setting("Of either side's words this much is logged.", Whole(1, 1_000_000))
    ] = 2000
    component_levels: Annotated[
        Mapping[str, str],
        Setting("Component to a level of its own.", MapOf(COMPONENT, Choice(_LEVELS)), '"http" = "debug"'),
    ] = _EMPTY


class TracingConfig(msgspec.Struct, frozen=True):
    """A trace of each request, by OpenTelemetry."""

    enabled: Annotated[
        bool,
        Setting(
            "Export traces as the `OTEL_*` variables say; needs `pip install 'nexus-gateway[otel]'`.", Flag()
        ),
    ] = False
