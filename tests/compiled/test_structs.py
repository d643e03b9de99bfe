"""What is made of structs: it does the same, or is refused."""

from __future__ import annotations

import copy
import importlib
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
from compiled.modules import compiled_modules
from compiled.structs import Refused, check_subclasses, convert

from nexus.domain import Attempt, Origin, Requirements, TlsOptions, replace
from nexus.native import is_compiled

NEXUS = Path(__file__).parents[2] / "src" / "nexus"
HEAD = "from __future__ import annotations\nimport msgspec\n"
VALUES = HEAD + (
    "class Value(msgspec.Struct, frozen=True, gc=False):\n"
    '    """A value.\n\n    Attributes:\n        a: one.\n    """\n\n'
    "    a: int\n"
    "    b: tuple[str, ...] = ()\n\n"
    "    @property\n"
    "    def both(self) -> str:\n"
    '        return f"{self.a}{self.b}"\n\n'
    "class Kept(msgspec.Struct, frozen=True, cache_hash=True):\n"
    "    value: Value = Value(1)\n\n"
    "class Other(msgspec.Struct, frozen=True, eq=False):\n"
    "    a: int\n"
    "    memory: dict[str, int] = msgspec.field(default_factory=dict)\n\n"
    "class Open(msgspec.Struct):\n"
    "    a: int\n"
)


def run(source: str, name: str) -> ModuleType:
    module = sys.modules[name] = ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)  # noqa: S102  # what the converter made
    return module


@pytest.fixture(params=["struct", "class"])
def made(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """Each test runs on the structs and on what is made of them."""
    source = VALUES if request.param == "struct" else convert(VALUES, "values")
    name = f"values_{request.param}"
    yield run(source, name)
    del sys.modules[name]


def test_no_struct_is_left() -> None:
    made = run(convert(VALUES, "values"), "values")
    for name in ("Value", "Kept", "Other", "Open"):
        assert getattr(made, name).__bases__ == (object,)


def test_fields_by_place_by_name_and_by_default(made: ModuleType) -> None:
    assert made.Value(3).b == ()
    assert made.Value(a=3, b=("x",)).both == made.Value(3, ("x",)).both == "3('x',)"
    with pytest.raises(TypeError):
        made.Value()
    with pytest.raises(TypeError):
        made.Value(1, (), 2)
    with pytest.raises(TypeError):
        made.Value(1, c=2)


def test_equal_by_type_and_fields(made: ModuleType) -> None:
    assert made.Value(1) == made.Value(1) != made.Value(2)
    assert made.Value(1) != made.Open(1)
    assert made.Value(1) != 1
    assert hash(made.Value(1)) == hash(made.Value(1))
    assert {made.Kept(made.Value(1)): "x"}[made.Kept()] == "x"
    assert hash(made.Kept()) == hash(made.Kept())


def test_what_can_change_has_no_hash(made: ModuleType) -> None:
    one = made.Open(1)
    one.a = 2
    assert one == made.Open(2)
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


def test_identity_where_that_was_asked_for(made: ModuleType) -> None:
    one = made.Other(1)
    assert one == one  # noqa: PLR0124  # that is the question
    assert one != made.Other(1)
    assert len({one, made.Other(1)}) == 2


def test_a_fresh_default_is_nobody_elses(made: ModuleType) -> None:
    made.Other(1).memory["x"] = 1
    assert made.Other(1).memory == {}


def test_shown_copied_and_pickled(made: ModuleType) -> None:
    value = made.Value(1, ("x",))
    assert repr(value) == "Value(a=1, b=('x',))"
    assert copy.copy(value) == copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301  # our own
    assert replace(value, a=2) == made.Value(2, ("x",))
    with pytest.raises(TypeError):
        replace(value, c=2)


def test_a_method_of_its_own_for_showing_stays() -> None:
    source = (
        HEAD + "class A(msgspec.Struct):\n    a: int\n    def __repr__(self) -> str:\n        return 'A'\n"
    )
    assert repr(run(convert(source, "own"), "own").A(1)) == "A"


def test_fields_of_what_is_frozen_are_final() -> None:
    lines = convert(VALUES, "values").splitlines()
    assert "    a: _Final[int]" in lines
    assert any(line.endswith("; _hash: _Final[int]") for line in lines)
    assert lines[lines.index("class Open:") + 1] == "    a: int"


def test_frozen_values_refuse_to_be_changed() -> None:
    """Of the build that is tested: structs here, native classes in the compiled one."""
    for value, field in (
        (Origin("http", "box", 1), "host"),
        (TlsOptions(), "verify"),
        (Requirements("chat", "m"), "model"),
        (Attempt("b", "b", "m"), "seconds"),
    ):
        before = getattr(value, field)
        with pytest.raises(AttributeError):
            setattr(value, field, "other")
        with pytest.raises(AttributeError):
            delattr(value, field)
        with pytest.raises(AttributeError):
            setattr(value, "unheard_of", 1)  # noqa: B010  # for it has none
        assert getattr(value, field) == before


@pytest.mark.parametrize(
    "struct",
    [
        "class A(msgspec.Struct, kw_only=True):\n    a: int\n",
        "class A(msgspec.Struct, order=True):\n    a: int\n",
        "class A(msgspec.Struct, frozen=FROZEN):\n    a: int\n",
        "class A(msgspec.Struct, cache_hash=True):\n    a: int\n",
        "class A(msgspec.Struct, tag='x'):\n    a: int\n",
        "class A(msgspec.Struct, Base):\n    a: int\n",
        "class A(Struct):\n    a: int\n",
        "class A(msgspec.Struct):\n    pass\n",
        "class A(msgspec.Struct):\n    a: list[int] = []\n",
        "class A(msgspec.Struct):\n    a: set[int] = set()\n",
        "class A(msgspec.Struct):\n    a: int = msgspec.field(name='b')\n",
        "class A(msgspec.Struct):\n    a: int = msgspec.field(default_factory=make)\n",
        "class A(msgspec.Struct):\n    a: ClassVar[int] = 1\n",
        "class A(msgspec.Struct):\n    a: int\n    def __post_init__(self) -> None: ...\n",
        "class A(msgspec.Struct):\n    a: int\n    def __eq__(self, other: object) -> bool: ...\n",
        "class A(msgspec.Struct):\n    a: int\n    b = 1\n",
        "@decorated\nclass A(msgspec.Struct):\n    a: int\n",
        "def f() -> None:\n    class A(msgspec.Struct):\n        a: int\n",
        "class A(Base, metaclass=Odd):\n    pass\n",
        "class A:\n    def f(self) -> None: ...\n    g = f\n",
        "class A(B):\n    def f(self, *all: int) -> None:\n        super().f(*all)\n",
        "def f(view: memoryview) -> memoryview:\n    return view[write(view) :]\n",
    ],
)
def test_what_is_not_understood_is_refused(struct: str) -> None:
    with pytest.raises(Refused, match=r"module\.py:\d+: "):
        convert(HEAD + struct, "module.py")


def test_a_struct_made_from_a_converted_one_is_refused() -> None:
    sources = {"a.py": VALUES, "b.py": "from a import Value\nclass More(Value):\n    c: int\n"}
    check_subclasses(sources, [])
    with pytest.raises(Refused, match="More"):
        check_subclasses(sources, ["a.py"])


@pytest.mark.parametrize("module", compiled_modules(NEXUS), ids=str)
def test_every_module_of_the_list(module: Path) -> None:
    source = (NEXUS / module).read_text()
    converted = convert(source, module.as_posix())
    compile(converted, str(module), "exec")
    assert "(msgspec.Struct" not in converted.replace("isinstance(value, msgspec.Struct", "")
    name = ".".join(("nexus", *module.with_suffix("").parts))
    path = importlib.import_module(name).__file__ or ""
    assert path.endswith(".py") is not is_compiled()


def test_nobody_is_made_from_them() -> None:
    sources = {path.relative_to(NEXUS).as_posix(): path.read_text() for path in NEXUS.rglob("*.py")}
    check_subclasses(sources, [module.as_posix() for module in compiled_modules(NEXUS)])


def test_what_is_no_struct_cannot_be_encoded_unnoticed() -> None:
    made = run(convert(VALUES, "values"), "values")
    with pytest.raises(TypeError, match="unsupported"):
        msgspec.json.encode(made.Value(1))
