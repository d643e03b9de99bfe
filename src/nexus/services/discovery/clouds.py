"""Clouds whose keys are often found in an environment.

Law: a key is never used because it is there; money and privacy need a decision. What Nexus does
is to show the lines of configuration that make it.
"""

from __future__ import annotations

from typing import Final

import msgspec


class Cloud(msgspec.Struct, frozen=True):
    """One provider with an OpenAI-compatible API.

    Attributes:
        name: suggested for the backend.
        url: root of the API.
        keys: variables that hold its key, the first one that is set counts.
        base_url: variable that moves the API elsewhere, or empty.
        base_suffix: what follows the value of ``base_url`` to make an API root.
    """

    name: str
    url: str
    keys: tuple[str, ...]
    base_url: str = ""
    base_suffix: str = ""


OPENAI: Final = Cloud("openai", "https://api.openai.com/v1", ("OPENAI_API_KEY",), "OPENAI_BASE_URL")
OLLAMA: Final = Cloud("ollama-cloud", "https://ollama.com/v1", ("OLLAMA_API_KEY",))

CLOUDS: Final = (
    OPENAI,
    # https://platform.claude.com/docs/en/api/openai-sdk; its own SDKs add /v1 to the base URL.
    Cloud(
        "anthropic",
        "https://api.anthropic.com/v1",
        ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
        "ANTHROPIC_BASE_URL",
        "/v1",
    ),
    # https://ai.google.dev/gemini-api/docs/openai
    Cloud("gemini", "https://generativelanguage.googleapis.com/v1beta/openai", ("GEMINI_API_KEY",)),
    # Not a cloud: LM Studio on this computer, which asks for this token when it is set up to.
    Cloud("lmstudio", "http://127.0.0.1:1234/v1", ("LM_API_TOKEN",)),
    OLLAMA,
    Cloud("openrouter", "https://openrouter.ai/api/v1", ("OPENROUTER_API_KEY",)),
    Cloud("groq", "https://api.groq.com/openai/v1", ("GROQ_API_KEY",)),
    Cloud("mistral", "https://api.mistral.ai/v1", ("MISTRAL_API_KEY",)),
    Cloud("deepseek", "https://api.deepseek.com/v1", ("DEEPSEEK_API_KEY",)),
    Cloud("xai", "https://api.x.ai/v1", ("XAI_API_KEY",)),
)


def backend_table(name: str, url: str, key_variable: str = "") -> str:
    """Return the lines of TOML that add a backend.

    Args:
        name: of the backend.
        url: its API's root, checked before: nothing in it needs escaping.
        key_variable: name of the variable that holds its key, or empty.
    """
    lines = ["[[backends]]", f'name = "{name}"', f'url = "{url}"']
    if key_variable:
        lines.append(f'api_key_env = "{key_variable}"')
    return "\n".join(lines)
