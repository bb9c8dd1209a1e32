"""Python source as the cache key needs it: which module is the project's, what its statements bind, how code is normalised.

Comments and lines vanish by parsing; docstrings are taken out. Source is read from disk after the module was imported, so a
function's compiled code is compared with what the file compiles to now: an edited file that is still loaded in its
old form is an error, never a wrong key. Tests: tests/unit/pipelines/test_closure.py.
"""

from __future__ import annotations

import ast
import copy
import functools
import importlib.metadata
import linecache
import sys
import sysconfig
from pathlib import Path
from types import CodeType, ModuleType

from everloop.core.errors import ConflictError

_OURS = str(Path(__file__).resolve().parents[1])
_INSTALLED = tuple(
    {
        str(Path(path).resolve())
        for key, path in sysconfig.get_paths().items()
        if key in {"stdlib", "platstdlib", "purelib", "platlib"}
    }
)
_SITE = ("site-packages", "dist-packages")


class StaleSourceError(ConflictError):
    """A source file was edited after Python imported it, so its text is not the code that would run."""

    code = "pipelines.stale-source"


class Source:
    """One parsed source text and where its names are bound."""

    def __init__(self, text: str, filename: str) -> None:
        self.text = text
        self.filename = filename
        self.tree = ast.parse(text, filename)
        self.definitions: dict[str, list[ast.AST]] = {}
        self.lambdas: dict[int, list[ast.Lambda]] = {}
        self.bindings: dict[str, list[ast.stmt]] = {}
        self._index_definitions(self.tree, "")
        self._index_bindings(self.tree.body)

    def definition(self, code: CodeType) -> ast.AST | None:
        """Return the function definition that `code` was compiled from."""
        for node in self.definitions.get(code.co_qualname, []):
            if first_line(node) == code.co_firstlineno:
                return node
        return None

    @functools.cached_property
    def codes(self) -> dict[tuple[str, int], CodeType]:
        """Every code object this text compiles to now, by name and first line."""
        found: dict[tuple[str, int], CodeType] = {}
        pending = [compile(self.text, self.filename, "exec", dont_inherit=True)]
        while pending:
            code = pending.pop()
            found[code.co_qualname, code.co_firstlineno] = code
            pending.extend(item for item in code.co_consts if isinstance(item, CodeType))
        return found

    def check_is_loaded(self, code: CodeType) -> None:
        """Raise StaleSourceError when this text no longer compiles to `code`."""
        now = self.codes.get((code.co_qualname, code.co_firstlineno))
        if now is None or now.co_code != code.co_code or now.co_names != code.co_names:
            raise StaleSourceError(
                f"{self.filename} was edited after Python loaded {code.co_qualname} from it. Start the program again,"
                " so that what runs is what is written."
            )

    def _index_definitions(self, node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            inner = prefix
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.definitions.setdefault(prefix + child.name, []).append(child)
                inner = (
                    f"{prefix}{child.name}."
                    if isinstance(child, ast.ClassDef)
                    else f"{prefix}{child.name}.<locals>."
                )
            elif isinstance(child, ast.Lambda):
                self.lambdas.setdefault(child.lineno, []).append(child)
                inner = f"{prefix}<lambda>.<locals>."
            self._index_definitions(child, inner)

    def _index_bindings(self, statements: list[ast.stmt]) -> None:
        for statement in statements:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if isinstance(statement, ast.If | ast.Try | ast.With | ast.For | ast.While):
                for block in ("body", "orelse", "finalbody"):
                    self._index_bindings(getattr(statement, block, []))
                for handler in getattr(statement, "handlers", []):
                    self._index_bindings(handler.body)
            for name in _bound_names(statement):
                self.bindings.setdefault(name, []).append(statement)


def first_line(node: ast.AST) -> int:
    """Return the line a compiled definition counts as its first: that of its first decorator, if any."""
    decorators = getattr(node, "decorator_list", [])
    line: int = getattr(decorators[0] if decorators else node, "lineno", 0)
    return line


def _bound_names(statement: ast.stmt) -> set[str]:
    """Names a simple statement assigns, and those it changes in place (`TABLE["a"] = 1`, `NAMES.append(x)`)."""
    names = {
        node.id
        for node in ast.walk(statement)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    for node in ast.walk(statement):
        target: ast.AST = node
        if isinstance(node, ast.Subscript | ast.Attribute):
            while isinstance(target, ast.Subscript | ast.Attribute):
                target = target.value
            if isinstance(target, ast.Name) and isinstance(statement, ast.Assign | ast.AugAssign | ast.Expr):
                names.add(target.id)
    return names


_cache: dict[str, tuple[tuple[int, int], Source]] = {}


def source_of_file(filename: str) -> Source | None:
    """Return the parsed source behind a code object's file name, or None when it has none (a REPL, a `-c` text)."""
    try:
        facts = Path(filename).stat()
        stamp = (facts.st_mtime_ns, facts.st_size)
    except OSError:
        stamp = (-1, len(linecache.getlines(filename)))
    kept = _cache.get(filename)
    if kept is not None and kept[0] == stamp:
        return kept[1]
    text = _read(filename, on_disk=stamp[0] != -1)
    if not text.strip():
        return None
    source = Source(text, filename)
    _cache[filename] = (stamp, source)
    return source


def _read(filename: str, *, on_disk: bool) -> str:
    if on_disk:
        return Path(filename).read_text(encoding="utf-8")
    return "".join(linecache.getlines(filename))  # IPython keeps the text of its cells there


def source_of_module(module: ModuleType) -> Source | None:
    """Return the parsed source of a module."""
    filename = getattr(module, "__file__", None)
    return source_of_file(filename) if filename and filename.endswith(".py") else None


def module_name(name: str) -> str:
    """Return the name a module has for every process: a script run as `__main__` has the name of its file."""
    if name != "__main__":
        return name
    spec_name = getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", None)
    filename = getattr(sys.modules["__main__"], "__file__", None)
    return spec_name or (Path(filename).stem if filename else "__main__")


def is_project(module: ModuleType) -> bool:
    """Say whether a module is the user's own code: not installed, not the standard library, not Everloop."""
    if module.__name__ == "__main__":
        return True
    if (
        module.__name__ in sys.builtin_module_names
        or module.__name__.split(".")[0] in sys.stdlib_module_names
    ):
        return False
    filename = getattr(module, "__file__", None)
    if filename is None:
        return any(_is_project_file(path) for path in getattr(module, "__path__", []))
    return _is_project_file(filename)


@functools.lru_cache(maxsize=4096)
def _is_project_file(filename: str) -> bool:
    path = str(Path(filename).resolve())
    if any(part in _SITE for part in Path(path).parts):
        return False
    return not path.startswith((_OURS, *_INSTALLED))


@functools.cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@functools.lru_cache(maxsize=1024)
def package_version(top_level: str) -> str:
    """Return `name==version` of the distribution behind a top-level package, or empty for the standard library."""
    if top_level in sys.stdlib_module_names or top_level in sys.builtin_module_names:
        return ""
    try:  # most packages are named like their distribution; the reverse table costs 100 ms to build
        return f"{top_level}=={importlib.metadata.version(top_level)}"
    except importlib.metadata.PackageNotFoundError:
        names = sorted(set(_distributions().get(top_level, [])))
    return (
        ",".join(f"{name}=={importlib.metadata.version(name)}" for name in names) or f"{top_level}==unknown"
    )


def normalise(node: ast.AST, *, without_decorators: bool = False) -> str:
    """Return one text for all spellings of the same code: no comments, docstrings, lines or formatting."""
    clean = copy.deepcopy(node)
    for inner in ast.walk(clean):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
            _drop_docstring(inner)
    if without_decorators:
        clean.decorator_list = []  # type: ignore[attr-defined] # only asked for definitions
    return ast.dump(clean, annotate_fields=False, include_attributes=False)


def _drop_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module) -> None:
    match node.body:
        case [ast.Expr(value=ast.Constant(value=str())), *rest]:
            node.body = rest or [ast.Pass()]


def normalise_code(code: CodeType) -> str:
    """Return a text for compiled code without source: its instructions, names and constants, without docstring or lines."""
    constants = code.co_consts
    if constants and isinstance(constants[0], str) and code.co_flags & 0x1:
        constants = constants[1:]
    inner = [normalise_code(item) if isinstance(item, CodeType) else repr(item) for item in constants]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, inner))
