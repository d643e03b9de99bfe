"""From sources to native modules, in a folder of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

from compiled.modules import compiled_modules
from compiled.structs import check_subclasses, convert

_CONFIG: Final = """[mypy]
python_version = {version}
strict = True
warn_unused_ignores = False
warn_return_any = False
warn_redundant_casts = False
follow_imports = silent
ignore_missing_imports = True
"""
# mypycify reads its arguments, and setuptools those of the process: so this runs in one of its own.
_SETUP: Final = """
import sys
from mypyc.build import mypycify
from setuptools import setup
modules = sys.argv[1:]
sys.argv = ["setup.py", "--quiet", "build_ext", "--inplace"]
setup(name="nexus", ext_modules=mypycify(["--config-file=mypy.ini", *modules], opt_level="3"))
"""
# mypyc's slice of bytes asks for a negative size where it ends before it begins; Python gives an empty one.
_SLICES: Final = """#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>
static inline PyObject *nexus_bytes(const char *from, Py_ssize_t size) {
    return PyBytes_FromStringAndSize(from, size < 0 ? 0 : size);
}
#define PyBytes_FromStringAndSize nexus_bytes
"""


class NotCompiled(Exception):
    """The build failed; the message says what to do."""


def build(source: Path, folder: Path) -> dict[str, str]:
    """Compile the request path.

    Args:
        source: the folder that holds ``nexus``.
        folder: an empty one, outside the project, for all that is made.

    Returns:
        Files of ``folder`` by their paths, and their places in a wheel: native modules, and the
        sources of which they were made, so that the lines in tracebacks are true.

    Raises:
        Refused: a module cannot be compiled faithfully.
        NotCompiled: there is no compiler, or mypyc or the compiler found a fault.
    """
    if (missing := what_is_missing()) is not None:
        raise NotCompiled(missing)
    shutil.copytree(source / "nexus", folder / "nexus", ignore=shutil.ignore_patterns("__pycache__"))
    modules = [Path("nexus") / path for path in compiled_modules(folder / "nexus")]
    sources = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.py")
    }
    check_subclasses(sources, [module.as_posix() for module in modules])
    for module in modules:
        path = folder / module
        path.write_text(convert(sources[module.as_posix()], module.as_posix()), encoding="utf-8")
    _compile(modules, folder)
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    made = [*folder.glob(f"*{suffix}")]
    for module in modules:
        native = folder / module.with_name(module.stem + suffix)
        if not native.is_file():
            raise NotCompiled(f"{module} was not compiled, though nothing went wrong")
        made += [folder / module, native]
    return {str(path): path.relative_to(folder).as_posix() for path in made}


def what_is_missing() -> str | None:
    """Return one sentence about what a build needs and this machine lacks, or ``None``."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"No C compiler ({compiler}): install one (Debian, Ubuntu: apt install gcc)."
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "No Python.h: install Python's headers (Debian, Ubuntu: apt install python3-dev)."
    return None


def _compile(modules: list[Path], folder: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "mypy.ini").write_text(_CONFIG.format(version=version))
    header = folder / "slices.h"
    header.write_text(_SLICES)
    flags = f"{os.environ.get('CFLAGS', '')} -include {header}"
    done = subprocess.run(
        [sys.executable, "-c", _SETUP, *map(str, modules)],
        cwd=folder,
        env={**os.environ, "CFLAGS": flags},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise NotCompiled(f"The build failed:\n{done.stdout}")
