"""The one-way arrows between packages, and the rules every file keeps."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "etp_ir": ROOT / "etp_ir",
    "etp": ROOT / "etp",
    "etp_backends": ROOT / "backends" / "etp_backends",
}

# What the modules below a dotted name may import besides the standard library. The longest
# matching name adds to what its parents may.
ALLOWED = {
    "etp_ir": {"etp_ir", "attrs", "numpy"},
    "etp_backends": {"etp_backends", "etp_ir", "attrs", "numpy", "array_api_compat"},
    "etp_backends.jax": {"jax", "jaxlib"},
    "etp_backends.numpy": {"scipy"},
    "etp_backends.cupy": {"cupy", "cupyx"},
    "etp": {"etp", "etp_ir", "attrs", "numpy"},
    "etp.compiler": {"networkx"},
    "etp.compiler.report": {"rich"},
    "etp.fit": {"rich"},
    "etp.plotting": {"matplotlib"},
    "etp.study": {"rich", "matplotlib"},
    "etp.tasks": {"sklearn"},
    "etp.cli": {"typer", "rich"},
}
# Reached by name and at run time only: never while the importing module loads, and never by
# naming one backend's folder.
LAZY = {"etp": {"etp_backends"}}
FOLDERS = {p.name for p in PACKAGES["etp_backends"].iterdir() if p.is_dir()}

LINES = 400


@frozen
class Import:
    """One imported module, as an absolute dotted name."""

    name: str
    line: int
    at_load: bool

    @property
    def top(self) -> str:
        return self.name.split(".")[0]


def module_name(path: Path, top: str) -> str:
    parts = [top, *path.relative_to(PACKAGES[top]).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path, top): path
    for top, folder in PACKAGES.items()
    for path in sorted(folder.rglob("*.py"))
}


def imports(module: str, source: str, *, is_package: bool = False) -> Iterator[Import]:
    """Yield every import of a module: statements, and calls with a literal name."""
    package = module.split(".") if is_package else module.split(".")[:-1]

    def walk(node: ast.AST, at_load: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, at_load)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            for alias in node.names:
                yield Import(".".join([*base, alias.name]), node.lineno, at_load)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            if ast.unparse(node.func).endswith(("import_module", "__import__")):
                yield Import(str(node.args[0].value).lstrip("."), node.lineno, at_load)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from walk(other, at_load)
            return
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, at_load and not inside)

    yield from walk(ast.parse(source), True)


def imports_of(module: str) -> list[Import]:
    path = MODULES[module]
    return list(imports(module, path.read_text(), is_package=path.name == "__init__.py"))


def allowed(module: str) -> set[str]:
    above = [n for n in ALLOWED if module == n or module.startswith(n + ".")]
    return set().union(*(ALLOWED[n] for n in above))


def resolve(name: str) -> str | None:
    """Return the module of ours that holds ``name``."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def violations(module: str, found: list[Import]) -> list[str]:
    """Return a line for each import that breaks a rule."""
    may = allowed(module) | set(sys.stdlib_module_names)
    lazy = LAZY.get(module.split(".")[0], set())
    wrong = []
    for item in found:
        if item.top in lazy:
            if item.at_load or FOLDERS.intersection(item.name.split(".")):
                wrong.append(f"{module}:{item.line} reaches {item.name}; go through the registry")
        elif item.top not in may:
            wrong.append(f"{module}:{item.line} imports {item.name}")
    return wrong


@pytest.mark.parametrize(
    ("module", "source", "count"),
    [
        ("etp_ir.core", "import networkx", 1),
        ("etp_ir.core", "def f():\n    from etp.nn import GRUCell", 1),
        ("etp_ir.core", "from .types import DType\nimport numpy as np", 0),
        ("etp_ir.core", "import importlib\nimportlib.import_module('jax.numpy')", 1),
        ("etp.learner", "import networkx as nx", 1),
        ("etp.compiler.graph", "import networkx as nx", 0),
        ("etp.learner", "import etp_backends", 1),
        ("etp.learner", "def f():\n    import etp_backends", 0),
        ("etp.learner", "def f():\n    from etp_backends.jax.backend import JaxBackend", 1),
        ("etp_backends.numpy.backend", "import jax", 1),
        ("etp_backends.jax.lower", "import jax", 0),
        ("etp_backends.jax.lower", "from ..array import codegen\nimport etp", 1),
    ],
)
def test_the_scan_sees_what_it_must(module: str, source: str, count: int) -> None:
    assert len(violations(module, list(imports(module, source)))) == count


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_layer_may(module: str) -> None:
    assert not violations(module, imports_of(module))


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {
        module: {
            target
            for item in imports_of(module)
            if item.at_load and (target := resolve(item.name)) not in (None, module)
        }
        for module in MODULES
    }
    assert any(graph.values())
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("package", ["etp_ir", "etp", "etp_backends"])
def test_importing_a_package_loads_no_heavy_library(package: str) -> None:
    heavy = ["jax", "cupy", "matplotlib", "sklearn", "scipy", "typer", "optax"]
    code = f"import sys, {package}; print([m for m in {heavy} if m in sys.modules])"
    paths = [str(ROOT), str(ROOT / "backends")]
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths}; {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES.values(), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_short_and_named_by_its_topic(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LINES
    assert path.stem not in {"utils", "util", "helpers", "misc", "common"}


def tracked() -> list[Path]:
    """Return the files under version control, or all that are not hidden or generated."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        return [p for name in listed.stdout.split("\0") if name and (p := ROOT / name).is_file()]
    skip = {"build", "dist", "runs", "__pycache__"}
    return [p for p in ROOT.rglob("*") if p.is_file()
            and not any(s in skip or s.startswith(".") or s.endswith(".egg-info")
                        for s in p.relative_to(ROOT).parts)]  # fmt: skip


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    here = [re.escape(str(p)) for p in (ROOT.parent, Path.home()) if len(p.parts) > 1]
    folders = "|".join([*here, "/home/[a-z]", "/Users/[A-Za-z]"])
    machine = re.compile(
        rf"(?<![\w.])(?:{folders})[^\s]*/|\bpypi\.org|\bpython[h]osted\.org|\bnpmjs\."
    )
    leaks = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        leaks += [f"{path.relative_to(ROOT)}:{i}" for i, line in enumerate(text.splitlines(), 1)
                  if machine.search(line)]  # fmt: skip
    assert not leaks
