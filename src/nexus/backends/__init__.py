"""One adapter a backend type; a new type is one file and one line in ``ADAPTERS``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from nexus.backends.base import Adapter, ErrorReading, HttpProbe, Memory, Probe, Report
from nexus.backends.exo import ExoAdapter
from nexus.backends.llamacpp import LlamaCppAdapter
from nexus.backends.lmstudio import LMStudioAdapter
from nexus.backends.localai import LocalAIAdapter
from nexus.backends.nexus import NexusAdapter
from nexus.backends.offering import offered
from nexus.backends.ollama import OllamaAdapter
from nexus.backends.openai import OpenAIAdapter
from nexus.backends.openai_compat import GenericAdapter
from nexus.backends.sglang import SGLangAdapter
from nexus.backends.tgi import TgiAdapter
from nexus.backends.vllm import VllmAdapter
from nexus.domain import BackendType

ADAPTERS: Final[Mapping[BackendType, Adapter]] = MappingProxyType(
    {
        BackendType.OLLAMA: OllamaAdapter(),
        BackendType.VLLM: VllmAdapter(),
        BackendType.LLAMACPP: LlamaCppAdapter(),
        BackendType.LMSTUDIO: LMStudioAdapter(),
        BackendType.EXO: ExoAdapter(),
        BackendType.SGLANG: SGLangAdapter(),
        BackendType.LOCALAI: LocalAIAdapter(),
        BackendType.TGI: TgiAdapter(),
        BackendType.OPENAI: OpenAIAdapter(),
        BackendType.NEXUS: NexusAdapter(),
        BackendType.GENERIC: GenericAdapter(),
    }
)

__all__ = [
    "ADAPTERS",
    "Adapter",
    "ErrorReading",
    "HttpProbe",
    "Memory",
    "Probe",
    "Report",
    "offered",
]
