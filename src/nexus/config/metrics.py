"""The settings of the metrics page."""

from __future__ import annotations

from typing import Annotated

import msgspec

from nexus.config.kinds import Flag, Setting, Whole


class MetricsConfig(msgspec.Struct, frozen=True):
    """What `/metrics` counts."""

    genai: Annotated[
        bool, Setting("Also count under the names of OpenTelemetry's conventions (`gen_ai_...`).", Flag())
    ] = False
    ask_stream_usage: Annotated[
        bool,
        Setting(
            "Ask backends for the tokens of streams: adds `stream_options` to streamed chats and completions "
            "that have none. Clients then get one more chunk, with the usage and without choices.",
            Flag(),
        ),
    ] = False
    max_series: Annotated[
        int,
        Setting(
            "Series that requests may make; what is beyond is counted under `other`.", Whole(100, 10_000_000)
        ),
    ] = 10_000
