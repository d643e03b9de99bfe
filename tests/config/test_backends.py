from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nexus.config.load import Loaded, load
from nexus.domain import BackendSpec, BackendType, ModelOverride, Origin, Secret, TlsOptions

Load = Callable[..., Loaded]
Refusal = Callable[..., str]


def test_a_table_with_everything(load_text: Load, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    loaded = load_text(
        """
        [[backends]]
        name = "gpu box"
        url = "https://Host:8443/api/v1/"
        type = "vllm"
        priority = 0
        api_key_env = "GPU_KEY"
        slots = 4
        headers = { "X-Team" = "research" }
        forward_headers = ["X-Session-Id"]
        ca_file = "ca.pem"
        tls_verify = false
        models = { "llama3.1:8b" = "meta-llama/Llama-3.1-8B-Instruct" }
        only = ["llama*"]
        except = ["*embed*"]
        disable_fixes = ["stop_array", "system_role"]
        [[backends.model]]
        name = "llama3.1:8b"
        context_length = 32768
        vision = false
        """,
        {"GPU_KEY": " sk-1\n"},
    )
    (backend,) = loaded.config.backends
    assert backend == BackendSpec(
        id="gpu box",
        name="gpu box",
        origin=Origin("https", "host", 8443, TlsOptions(verify=False, ca_file=str(tmp_path / "ca.pem"))),
        api_root="/api/v1",
        native_root="/api",
        type=BackendType.VLLM,
        priority=0,
        slots=4,
        key=Secret("sk-1"),
        headers={"X-Team": Secret("research")},
        forward_headers=("x-session-id",),
        models={"llama3.1:8b": "meta-llama/Llama-3.1-8B-Instruct"},
        only=("llama*",),
        exclude=("*embed*",),
        overrides=(ModelOverride("llama3.1:8b", context_length=32768, vision=False),),
        disabled_fixes=frozenset({"stop_array", "system_role"}),
    )
    assert loaded.warnings == ('backend "gpu box": its certificate is not checked (tls_verify = false)',)
    assert "sk-1" not in repr(loaded)
    assert "research" not in repr(loaded)


def test_a_url_is_enough(load_text: Load) -> None:
    (backend,) = load_text("[[backends]]\nurl = '[::1]:8000'").config.backends
    assert backend == BackendSpec("[::1]:8000", "[::1]:8000", Origin("http", "::1", 8000))


def test_inline_tables_do_as_well(load_text: Load) -> None:
    loaded = load_text("backends = [\n { name = 'a', url = 'h' },\n { name = 'b', url = 'i' },\n]")
    assert [backend.name for backend in loaded.config.backends] == ["a", "b"]


@pytest.mark.parametrize("environ", [{}, {"UP_KEY": ""}, {"UP_KEY": "  "}])
def test_a_missing_key_leaves_the_backend_out_visibly(load_text: Load, environ: dict[str, str]) -> None:
    text = "[[backends]]\nname = 'a'\nurl = 'h'\napi_key_env = 'UP_KEY'\n[[backends]]\nname = 'b'\nurl = 'i'"
    loaded = load_text(text, environ)
    assert [backend.name for backend in loaded.config.backends] == ["b"]
    reason = "the variable UP_KEY (api_key_env) is not set or empty"
    assert loaded.left_out == (("a", reason),)
    assert loaded.warnings == (f'backend "a" is left out: {reason}',)


def test_a_key_in_the_place_of_its_variable_is_never_echoed(load_text: Load, refusal: Refusal) -> None:
    text = "[[backends]]\nname = 'a'\nurl = 'h'\napi_key_env = '{}'"
    assert "hunter2" not in str(load_text(text.format("gsk_hunter2")).warnings)
    assert "hunter2" not in refusal(text.format("sk-hunter2"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", 'nexus.toml:1: backends[0]: expected a key "url"'),
        ("nam = 'x'", 'nexus.toml:2: [backends[0]] has no key "nam"; did you mean "name"?'),
        (
            "api_key = 'hunter2'",
            'nexus.toml:2: [backends[0]] has no key "api_key"; did you mean "api_key_env"?',
        ),
        ("fixes = false", 'nexus.toml:2: [backends[0]] has no key "fixes"; did you mean "disable_fixes"?'),
        ("exclude = []", 'nexus.toml:2: [backends[0]] has no key "exclude"'),
        ("name = ''", "nexus.toml:2: backends[0].name: expected a name"),
        ("name = 'a/b'", "nexus.toml:2: backends[0].name: expected a name"),
        ("name = ' a'", "nexus.toml:2: backends[0].name: expected a name"),
        ('name = "a\\u0007"', "nexus.toml:2: backends[0].name: expected a name"),
        (f"name = '{'x' * 65}'", "nexus.toml:2: backends[0].name: expected a name of at most 64"),
        ("name = 7", "nexus.toml:2: backends[0].name: expected a name"),
        ("url = 'http://u:hunter2@h'", "nexus.toml:2: backends[0].url: expected a URL without a user name"),
        ("url = 8000", "nexus.toml:2: backends[0].url: expected a URL, got 8000"),
        ("type = 'olama'", 'got "olama"; did you mean "ollama"?'),
        ("type = 'llama.cpp'", 'did you mean "llamacpp"?'),
        ("priority = 101", "nexus.toml:2: backends[0].priority: expected a whole number from 0 to 100"),
        ("slots = 0", "nexus.toml:2: backends[0].slots: expected a whole number from 1"),
        ("headers = 'x'", "nexus.toml:2: backends[0].headers: expected a table"),
        (
            "headers = { 'a b' = 'hunter2' }",
            'nexus.toml:2: backends[0].headers."a b": expected the name of an HTTP',
        ),
        (
            'headers = { "A" = "hunter2\\r\\nB: c" }',
            "nexus.toml:2: backends[0].headers.A: expected a header value",
        ),
        ("headers = { A = 'hunter2é' }", "nexus.toml:2: backends[0].headers.A: expected a header value"),
        ("headers = { Host = 'x' }", 'expected no "host": Nexus sets'),
        ("headers = { X-Nexus-Via = 'x' }", 'expected no "x-nexus-via": Nexus sets'),
        ("headers = { A = 'x', a = 'y' }", "expected each header once"),
        ("forward_headers = ['Authorization']", "a client's credentials are never passed on"),
        ("forward_headers = ['Cookie']", "a client's credentials are never passed on"),
        ("forward_headers = ['content-length']", 'expected no "content-length"'),
        ("forward_headers = ['X-A', 'x-a']", "expected each header once"),
        ("ca_file = 'missing.pem'", "missing.pem: No such file"),
        ("tls_verify = 'no'", "expected true or false, got a string"),
        ("models = { a = 1 }", "nexus.toml:2: backends[0].models.a: expected a model name, got 1"),
        ("only = 'llama*'", "nexus.toml:2: backends[0].only: expected an array"),
        ("disable_fixes = ['stop']", 'got "stop"; did you mean "stop_array"?'),
        ("model = 1", "nexus.toml:2: backends[0].model: expected tables that begin with [[backends.model]]"),
    ],
)
def test_a_bad_table_names_its_key(refusal: Refusal, line: str, message: str) -> None:
    refused = refusal(f"[[backends]]\n{line}\n" + ("" if line.startswith("url") or not line else "url = 'h'"))
    assert message in refused
    assert "hunter2" not in refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[backends]\nurl = 'h'",
            "nexus.toml:1: backends: expected tables that begin with [[backends]], got a table",
        ),
        ("backends = ['h']", "nexus.toml:1: backends: expected tables that begin with [[backends]]"),
        (
            "[[backends]]\nname = 'a'\nurl = 'h'\n[[backends]]\nname = 'a'\nurl = 'i'",
            'nexus.toml:4: expected unique names; "a" is at nexus.toml:1 already',
        ),
        (
            "[[backends]]\nurl = 'h'\n[[backends.model]]\nvision = true",
            'nexus.toml:3: backends[0].model[0]: expected a key "name"',
        ),
        (
            "[[backends]]\nurl = 'h'\n[[backends.model]]\nname = 'm'\nvison = true",
            'nexus.toml:5: [backends[0].model[0]] has no key "vison"; did you mean "vision"?',
        ),
        (
            "[[backends]]\nurl = 'h'\n[[backends.model]]\nname = 'm'\n[[backends.model]]\nname = 'm'",
            "nexus.toml:5: backends[0].model[1]: expected each model once",
        ),
        (
            "[[backends]]\nurl = 'h'\napi_key_env = 'K'\nheaders = { authorization = 'x' }",
            'nexus.toml:4: backends[0].headers: expected no "Authorization" beside api_key_env',
        ),
    ],
)
def test_bad_shapes_are_refused(refusal: Refusal, text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_a_key_that_cannot_be_a_header_is_refused(refusal: Refusal) -> None:
    message = refusal("[[backends]]\nurl = 'h'\napi_key_env = 'K'", {"K": "a\r\nhunter2: x"})
    assert message.startswith("nexus.toml:3: api_key_env: expected a key of visible ASCII characters")
    assert "hunter2" not in message


def test_variables_and_flags_add_to_the_file_and_replace_by_name(load_text: Load) -> None:
    loaded = load_text(
        "[[backends]]\nname = 'a'\nurl = 'h:1'\npriority = 3\n[[backends]]\nname = 'b'\nurl = 'h:2'",
        {"NEXUS_BACKENDS": "b=h:3, c = http://h:4/v1 ,,h:5/x=y"},
        {"backends": ["http://h:1/", "c=h:6", "h:7"]},
    )
    found = {backend.name: (backend.origin.port, backend.priority) for backend in loaded.config.backends}
    assert found == {"a": (1, 3), "b": (3, 50), "c": (6, 50), "h:5": (5, 50), "h:7": (7, 50)}
    assert loaded.origins["backends.b"] == "environment NEXUS_BACKENDS, entry 1"
    assert loaded.origins["backends.c"] == "flag --backend"


def test_two_paths_of_one_server_get_two_names() -> None:
    loaded = load(None, {}, {"backends": ["h:1/a", "h:1/b", "h:1/a", "h:1/c"]})
    assert [backend.name for backend in loaded.config.backends] == ["h:1", "h:1-2", "h:1-3"]


def test_a_made_name_stays_within_its_bounds() -> None:
    host = ".".join(["a" * 50] * 4)
    names = [
        backend.name
        for backend in load(None, {}, {"backends": [f"{host}:1/a", f"{host}:1/b"]}).config.backends
    ]
    assert len(set(names)) == 2
    assert max(map(len, names)) == 64


def test_doubtful_tables_are_warned_about(load_text: Load) -> None:
    loaded = load_text(
        "[[backends]]\nname = 'a'\nurl = 'h'\ntls_verify = false\n[[backends]]\nname = 'b'\nurl = 'http://h/v1'"
    )
    assert loaded.warnings == (
        'backend "a": ca_file and tls_verify do nothing for http',
        'backends "a" and "b" have one url: their load is counted apart',
    )
