from __future__ import annotations

from collections.abc import Callable

import pytest

from nexus.config.fields import leaves
from nexus.config.kinds import FileName, Flag, ListOf, Seconds, Whole
from nexus.config.load import Loaded, load
from nexus.config.schema import Config
from nexus.errors import ConfigError


@pytest.mark.parametrize(
    ("variable", "text", "key", "value"),
    [
        ("NEXUS_HOST", "0.0.0.0", "server.host", "0.0.0.0"),
        ("NEXUS_PORT", " 8000 ", "server.port", 8000),
        ("NEXUS_PORT", "0", "server.port", 0),
        ("NEXUS_LOG_LEVEL", "DEBUG", "logging.level", "debug"),
        ("NEXUS_LOG_FORMAT", "json", "logging.format", "json"),
        ("NEXUS_DISCOVERY", "false", "discovery.enabled", False),
        ("NEXUS_DISCOVERY", "Off", "discovery.enabled", False),
        ("NEXUS_HEALTH_CHECK", "0", "health_check.enabled", False),
        ("NEXUS_HEALTH_CHECK", "yes", "health_check.enabled", True),
        ("NEXUS__TIMEOUTS__CONNECT_SECONDS", "2.5", "timeouts.connect_seconds", 2.5),
        ("NEXUS__ROUTING__STRATEGY", "random", "routing.strategy", "random"),
        ("NEXUS__ROUTING__DEFAULT_MODEL", "llama3:8b", "routing.default_model", "llama3:8b"),
        ("NEXUS__ROUTING__MAX_RETRIES", "0", "routing.max_retries", 0),
        (
            "NEXUS__SERVER__CORS_ORIGINS",
            "https://a, https://b",
            "server.cors_origins",
            ("https://a", "https://b"),
        ),
        ("NEXUS__DISCOVERY__ENABLED", "no", "discovery.enabled", False),
    ],
)
def test_a_variable_sets_a_key(variable: str, text: str, key: str, value: object) -> None:
    loaded = load(None, {variable: text, "NEXUS_API_KEY": "k"})
    section, _, name = key.partition(".")
    assert getattr(getattr(loaded.config, section), name) == value
    assert loaded.origins[key] == f"environment {variable}"
    assert loaded.warnings == ()


def test_the_general_form_reaches_every_scalar_key() -> None:
    for dotted, field in leaves(Config):
        assert field.setting is not None
        kind = field.setting.kind
        if not kind.scalar or isinstance(kind, FileName) or field.default is None:
            continue
        if isinstance(kind, ListOf):
            text = ",".join(field.default)
        elif isinstance(kind, Flag):
            text = str(field.default).lower()
        else:
            text = f"{field.default:g}" if isinstance(kind, Seconds | Whole) else str(field.default)
        variable = f"NEXUS__{dotted.replace('.', '__').upper()}"
        loaded = load(None, {variable: text})
        assert loaded.config == Config()
        assert (dotted in loaded.origins) is bool(text)


@pytest.mark.parametrize(
    "variable", ["NEXUS_PORT", "NEXUS__TIMEOUTS__IDLE_SECONDS", "NEXUS_BACKENDS", "NEXUS_API_KEY"]
)
@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_is_unset(variable: str, text: str) -> None:
    assert load(None, {variable: text}) == Loaded(config=Config())


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("PORT", "http", 'server.port: expected a whole number from 0 to 65535, got "http"'),
        ("PORT", "1_0", 'server.port: expected a whole number from 0 to 65535, got "1_0"'),
        ("PORT", "٨", "server.port: expected a whole number"),
        ("PORT", "9" * 99, "server.port: expected a whole number"),
        ("PORT", "70000", "server.port: expected a whole number from 0 to 65535, got 70000"),
        ("HOST", "a b", "server.host: expected an address or a host name"),
        ("LOG_LEVEL", "verbose", "logging.level: expected one of"),
        (
            "LOG_FORMAT",
            "prety",
            'logging.format: expected one of "pretty", "json", got "prety"; did you mean "pretty"?',
        ),
        ("DISCOVERY", "maybe", 'discovery.enabled: expected true or false, got "maybe"'),
        ("_TIMEOUTS__IDLE_SECONDS", "nan", "timeouts.idle_seconds: expected seconds, more than 0, got nan"),
        ("_TIMEOUTS__IDLE_SECONDS", "5s", 'timeouts.idle_seconds: expected seconds, more than 0, got "5s"'),
        (
            "_TIMEOUT__IDLE_SECONDS",
            "5",
            "there is no setting of this name; did you mean NEXUS__TIMEOUTS__IDLE_SECONDS?",
        ),
        ("_SERVER__PROT", "5", "there is no setting of this name; did you mean NEXUS__SERVER__PORT?"),
        ("_ROUTING__ALIASES", "a=b", "there is no setting of this name"),
        ("_QQQQQQQ", "1", "there is no setting of this name; NEXUS__SERVER__PORT is one"),
        ("_SERVER__MAX_BUFFERED_MB", "50", "server.max_buffered_mb: expected at least max_body_mb, 100"),
        ("_BACKENDS__0__URL", "x", 'expected backends in NEXUS_BACKENDS="name=url,..."'),
        ("API_KEY", "two words", "expected keys of visible ASCII"),
    ],
)
def test_a_bad_variable_names_itself_and_what_was_expected(variable: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {f"NEXUS_{variable}": text})
    assert str(caught.value).startswith(f"environment NEXUS_{variable}: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=http://h,b=ftp://h", "entry 2: expected a URL such as"),
        ("a=h,a=i", 'entry 2: expected unique names; "a" is at environment NEXUS_BACKENDS, entry 1 already'),
        ("a=", "entry 1: expected a URL such as"),
        ("a\tb=h", "entry 1: expected a name of at most 64 characters"),
    ],
)
def test_a_bad_backend_names_its_entry(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"NEXUS_BACKENDS": text})
    assert str(caught.value).startswith(f"environment NEXUS_BACKENDS, {message}")


def test_two_variables_may_not_disagree() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"NEXUS_PORT": "1", "NEXUS__SERVER__PORT": "2"})
    place, _, rest = str(caught.value).partition(": ")
    assert place == "environment NEXUS__SERVER__PORT"
    assert rest == "server.port: expected one value; environment NEXUS_PORT sets another"


@pytest.mark.parametrize(
    "text",
    ["http://u:hunter2@h", "u:hunter2@h", "n=http://hunter2@h", "hunter2:x=y@h", "n=http://h?k=hunter2"],
)
def test_credentials_in_backends_are_never_echoed(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"NEXUS_BACKENDS": text})
    assert "hunter2" not in str(caught.value)


def test_two_variables_may_agree() -> None:
    assert load(None, {"NEXUS_PORT": "1", "NEXUS__SERVER__PORT": "1"}).config.server.port == 1


def test_unknown_variables_are_warned_about_with_the_nearest_name() -> None:
    warnings = load(None, {"NEXUS_PROT": "1", "NEXUS_QQQQQ": "1", "OTHER": "1", "NEXUS_CI": "1"}).warnings
    assert warnings == (
        "environment NEXUS_PROT: Nexus reads no variable of this name; did you mean NEXUS_PORT?",
        "environment NEXUS_QQQQQ: Nexus reads no variable of this name",
    )


def test_variables_that_the_file_names_are_known(load_text: Callable[..., Loaded]) -> None:
    text = "[[backends]]\nurl = 'h'\napi_key_env = 'NEXUS_UP'\n[server]\napi_keys_env = 'NEXUS_DOWN'"
    assert load_text(text, {"NEXUS_UP": "a", "NEXUS_DOWN": "b"}).warnings == ()


def test_what_kubernetes_sets_for_a_service_of_our_name_is_left_alone() -> None:
    environ = {
        "NEXUS_PORT": "tcp://10.0.0.1:6398",
        "NEXUS_PORT_6398_TCP": "tcp://10.0.0.1:6398",
        "NEXUS_PORT_6398_TCP_ADDR": "10.0.0.1",
        "NEXUS_SERVICE_HOST": "10.0.0.1",
        "NEXUS_SERVICE_PORT_HTTP": "6398",
    }
    loaded = load(None, environ)
    assert loaded.config == Config()
    (warning,) = loaded.warnings
    assert warning.startswith("environment NEXUS_PORT: left alone")
