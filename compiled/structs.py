"""Turns structs of msgspec into plain classes, which mypyc compiles to native ones.

mypyc makes of a struct a class without its keywords: ``frozen`` and ``gc`` are dropped without a
word, and every attribute is looked up by name. So each struct of a compiled module becomes a class
that says in plain Python what the struct does:

* ``__init__`` with the fields in their order, by position or name, with their defaults;
* fields of a frozen struct are ``Final``: mypy refuses to assign to them, and a native class has
  no setter for them, so that assigning raises ``AttributeError`` as before;
* equality by type and fields, unless ``eq=False``; a hash of the fields when frozen, kept when
  ``cache_hash``; ``TypeError`` for the hash of what is equal by fields and can change;
* ``__struct_fields__``, the names;
* ``repr``, unless it has its own, ``copy`` and pickling, and ``__replace__``, which
  :func:`nexus.domain.replace` asks for.

What it does not do is be a struct: msgspec neither encodes nor decodes it, and says so. Modules
whose structs must be real ones are left out (see ``modules``).

Everything else that a struct can have is refused with an error: this must never guess.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Final, TypeGuard

_FROZEN: Final = "frozen"
_KEYWORDS: Final = frozenset({_FROZEN, "eq", "gc", "cache_hash"})
# What the class would be given here a second time.
_GENERATED: Final = frozenset(
    {"__init__", "__post_init__", "__eq__", "__ne__", "__hash__", "__replace__", "__reduce__"}
)
# Calls that may as well be made twice.
_CHANGE_NOTHING: Final = frozenset({"len", "find", "end"})
_EMPTY_MAKERS: Final = frozenset({"dict", "list", "set"})
_NAMES: Final = "from typing import Any as _Any, ClassVar as _ClassVar, Final as _Final, final as _final"


class Refused(Exception):
    """A module holds what cannot be converted faithfully."""


def convert(source: str, name: str) -> str:
    """Return the source of a module with its structs as plain classes.

    Args:
        source: of the module.
        name: for errors.

    Raises:
        Refused: a struct, or another class, has a feature whose meaning compiling would lose.
    """
    tree = ast.parse(source)
    lines = source.split("\n")
    structs = _structs(tree)
    _refuse_starred_super(tree, name)
    _refuse_called_bounds(tree, name)
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        _refuse_second_names(node, name)
        if node in structs:
            continue
        # What a TypedDict is told is for the checker alone.
        if node.keywords and "TypedDict" not in map(ast.unparse, node.bases):
            raise Refused(f"{name}:{node.lineno}: class {node.name} has keywords, which mypyc drops")
    # From the last to the first, so that the places of those before it stay true.
    for node in structs:
        if node not in tree.body:
            raise Refused(f"{name}:{node.lineno}: struct {node.name} is not at the top of its module")
        _Struct(node, name).write(lines)
    if structs:
        _add_names(tree, lines, name)
    return "\n".join(lines)


def check_subclasses(sources: Mapping[str, str], converted: Iterable[str]) -> None:
    """Refuse a class anywhere that is made from a struct which is converted.

    Args:
        sources: of all modules, by name.
        converted: names of the modules whose structs are.

    Raises:
        Refused: there is one.
    """
    trees = {name: ast.parse(source) for name, source in sources.items()}
    structs = {node.name for name in converted for node in _structs(trees[name])}
    for name, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                for base in node.bases:
                    if ast.unparse(base).rpartition(".")[2] in structs:
                        raise Refused(
                            f"{name}:{node.lineno}: {node.name} is made from a struct that is converted"
                        )


def _structs(tree: ast.Module) -> list[ast.ClassDef]:
    """Return the structs of a module, the last one first."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    structs = [node for node in found if any("Struct" in ast.unparse(base) for base in node.bases)]
    return sorted(structs, key=lambda node: node.lineno, reverse=True)


def _refuse_starred_super(tree: ast.Module, module: str) -> None:
    """Refuse ``super().method(*arguments)``, of which mypyc makes a call with one tuple."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func).startswith("super().")
            and (
                any(isinstance(one, ast.Starred) for one in node.args)
                or any(one.arg is None for one in node.keywords)
            )
        ):
            raise Refused(f"{module}:{node.lineno}: `{ast.unparse(node)}` would be compiled wrongly")


def _refuse_called_bounds(tree: ast.Module, module: str) -> None:
    """Refuse ``values[called():]``: where it does not know their type, mypyc calls twice."""
    slices = [
        node.slice
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice)
    ]
    for bounds in slices:
        for node in ast.walk(bounds):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            if name not in _CHANGE_NOTHING:
                raise Refused(f"{module}:{node.lineno}: `{ast.unparse(node)}` might be called twice")


def _refuse_second_names(node: ast.ClassDef, module: str) -> None:
    """Refuse a method with a second name, which a native class fails to find when it is made."""
    methods = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
    for one in node.body:
        if isinstance(one, ast.Assign) and isinstance(one.value, ast.Name) and one.value.id in methods:
            raise Refused(f"{module}:{one.lineno}: {node.name}.{one.value.id} has a second name")


def _add_names(tree: ast.Module, lines: list[str], name: str) -> None:
    """Import what the generated code uses, on a line that is there: none moves by it."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            lines[node.lineno - 1] += f"; {_NAMES}"
            return
    raise Refused(f"{name}: has structs and no `from __future__ import annotations`")


class _Struct:
    """One struct, understood."""

    def __init__(self, node: ast.ClassDef, module: str) -> None:
        self._node = node
        self._module = module
        self._keywords = self._read_keywords()
        self._fields = [self._field(one) for one in node.body if self._is_field(one)]
        if [ast.unparse(base) for base in node.bases] != ["msgspec.Struct"]:
            raise self._refused(node, "its only base must be `msgspec.Struct`")
        if node.decorator_list:
            raise self._refused(node, "it is decorated")
        if not self._fields:
            raise self._refused(node, "it has no fields")

    def write(self, lines: list[str]) -> None:
        """Put the class in the struct's place."""
        node = self._node
        end = node.end_lineno or node.lineno
        lines[end:end] = ["", *(f"    {line}" if line else "" for line in self._methods())]
        frozen = self._is(_FROZEN)
        for field, annotation, _ in reversed(self._fields):
            first, last = field.lineno, field.end_lineno or field.lineno
            text = f"_Final[{annotation}]" if frozen else annotation
            lines[first - 1 : last] = [f"    {_name(field)}: {text}", *[""] * (last - first)]
        names = " ".join(f"{_name(field)!r}," for field, _, _ in self._fields)
        lines[end] = f"    __struct_fields__: _ClassVar[tuple[str, ...]] = ({names})"
        if self._is("cache_hash"):
            lines[end] += "; _hash: _Final[int]"
        first, last = node.lineno, node.body[0].lineno
        lines[first - 1 : last - 1] = [f"@_final\nclass {node.name}:"]

    def _refused(self, node: ast.stmt, why: str) -> Refused:
        return Refused(f"{self._module}:{node.lineno}: struct {self._node.name}: {why}")

    def _is(self, keyword: str, *, default: bool = False) -> bool:
        return self._keywords.get(keyword, default)

    def _read_keywords(self) -> dict[str, bool]:
        found = {}
        for keyword in self._node.keywords:
            value = keyword.value
            if keyword.arg not in _KEYWORDS or not isinstance(value, ast.Constant):
                raise self._refused(self._node, f"`{ast.unparse(keyword)}` is not understood")
            found[keyword.arg] = bool(value.value)
        if found.get("cache_hash") and not found.get(_FROZEN):
            raise self._refused(self._node, "`cache_hash` without `frozen`")
        return found

    def _is_field(self, statement: ast.stmt) -> TypeGuard[ast.AnnAssign]:
        """Tell fields from methods and docstrings; there may be nothing else."""
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            if "ClassVar" in ast.unparse(statement.annotation):
                raise self._refused(statement, "a class variable is not understood")
            return True
        if isinstance(statement, ast.FunctionDef):
            if statement.name in _GENERATED:
                raise self._refused(statement, f"it has a `{statement.name}` of its own")
            return False
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            return False
        raise self._refused(statement, f"`{ast.unparse(statement)}` is not understood")

    def _field(self, statement: ast.AnnAssign) -> tuple[ast.AnnAssign, str, str | None]:
        """Return a field, its annotation and the text of its default."""
        default = statement.value
        text = None if default is None else ast.unparse(default)
        if isinstance(default, ast.Call) and ast.unparse(default.func) == "msgspec.field":
            text = self._factory(statement, default)
        elif isinstance(default, ast.Dict | ast.List | ast.Set) or (
            isinstance(default, ast.Call) and ast.unparse(default.func) in _EMPTY_MAKERS
        ):
            raise self._refused(statement, "a default that can change is not understood")
        return statement, ast.unparse(statement.annotation), text

    def _factory(self, statement: ast.AnnAssign, call: ast.Call) -> str:
        """Return the default of a field that has a fresh empty one each time, as a mark."""
        maker = ast.unparse(call.keywords[0].value) if call.keywords else ""
        if (
            call.args
            or [one.arg for one in call.keywords] != ["default_factory"]
            or maker not in _EMPTY_MAKERS
        ):
            raise self._refused(statement, f"`{ast.unparse(call)}` is not understood")
        return f"{maker}()"

    def _methods(self) -> list[str]:
        return [*self._init(), *self._comparison(), *self._description()]

    def _init(self) -> list[str]:
        parameters, body = [], []
        for field, annotation, default in self._fields:
            name = _name(field)
            fresh = default is not None and default.removesuffix("()") in _EMPTY_MAKERS
            if default is None:
                parameters.append(f"{name}: {annotation}")
            elif fresh:
                parameters.append(f"{name}: {annotation} | None = None")
            else:
                parameters.append(f"{name}: {annotation} = {default}")
            body.append(
                f"    self.{name} = " + (f"{default} if {name} is None else {name}" if fresh else name)
            )
        if self._is("cache_hash"):
            values = " ".join(f"{_name(field)}," for field, _, _ in self._fields)
            body.append(f"    self._hash = hash(({values}))")
        return [f"def __init__(self, {', '.join(parameters)}) -> None:", *body, ""]

    def _comparison(self) -> list[str]:
        if not self._is("eq", default=True):
            return []
        name = self._node.name
        same = " and ".join(f"self.{_name(field)} == other.{_name(field)}" for field, _, _ in self._fields)
        if self._is("cache_hash"):
            hashing = "return self._hash"
        elif self._is(_FROZEN):
            hashing = f"return hash({self._values()})"
        else:
            hashing = f"raise TypeError(\"unhashable type: '{name}'\")"
        return [
            "def __eq__(self, other: object) -> bool:",
            f"    return self is other or (isinstance(other, {name}) and {same})",
            "",
            "def __hash__(self) -> int:",
            f"    {hashing}",
            "",
        ]

    def _description(self) -> list[str]:
        name = self._node.name
        names = [_name(field) for field, _, _ in self._fields]
        shown = ", ".join(f"{one}={{self.{one}!r}}" for one in names)
        values = ", ".join(f"{one!r}: self.{one}" for one in names)
        own = any(isinstance(one, ast.FunctionDef) and one.name == "__repr__" for one in self._node.body)
        described = [] if own else ["def __repr__(self) -> str:", f'    return f"{name}({shown})"', ""]
        return [
            *described,
            f'def __replace__(self, **changes: _Any) -> "{name}":',
            f"    values: dict[str, _Any] = {{{values}}}",
            "    values.update(changes)",
            f"    return {name}(**values)",
            "",
            "def __reduce__(self) -> _Any:",
            f"    return {name}, {self._values()}",
            "",
        ]

    def _values(self) -> str:
        return "(" + " ".join(f"self.{_name(field)}," for field, _, _ in self._fields) + ")"


def _name(field: ast.AnnAssign) -> str:
    return ast.unparse(field.target)
