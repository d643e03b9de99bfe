"""The types of server that the fleet speaks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from nexus.testing.dialects.base import Dialect
from nexus.testing.dialects.exo import Exo
from nexus.testing.dialects.generic import Generic
from nexus.testing.dialects.llamacpp import LlamaCpp
from nexus.testing.dialects.lmstudio import LmStudio
from nexus.testing.dialects.localai import LocalAi
from nexus.testing.dialects.names import SURFACES
from nexus.testing.dialects.nexus import Nexus
from nexus.testing.dialects.ollama import Ollama
from nexus.testing.dialects.openai import OpenAi
from nexus.testing.dialects.sglang import Sglang
from nexus.testing.dialects.tgi import Tgi
from nexus.testing.dialects.vllm import Vllm

_ALL: Final = (Ollama, Vllm, LlamaCpp, LmStudio, Exo, Sglang, LocalAi, Tgi, OpenAi, Nexus, Generic)

DIALECTS: Final[Mapping[str, Dialect]] = MappingProxyType({dialect.kind: dialect() for dialect in _ALL})

__all__ = ["DIALECTS", "SURFACES", "Dialect"]
