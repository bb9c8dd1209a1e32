"""Code bundles: the project's source files that a pipeline needs, as one object, so that any process can run it.

A bundle is JSON, module file by relative path; its digest pins the code of a run. Files are those of the modules the
steps reach and everything of the project these import. Loading puts the bundle's modules in place of those of the same
name for the length of a block. Tests: tests/unit/pipelines/test_bundles.py.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.digests import Digest, canonical_json
from everloop.core.errors import InvalidInputError, NotFoundError
from everloop.core.ids import new_id
from everloop.pipelines.sources import is_project, module_name, source_of_module
from everloop.pipelines.steps import AnyPipeline, AnyStep, Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from everloop.kernel.objects import Objects

_loading = threading.RLock()


class NotImportableError(InvalidInputError):
    """A pipeline was made where no other process can import it: inside a function, or without a file."""

    code = "pipelines.not-importable"


class EntryNotFoundError(NotFoundError):
    """A bundle or a file does not hold the pipeline that was asked for."""

    code = "pipelines.entry-not-found"


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """Source texts by path relative to the project's root, and the root they came from (not part of the digest)."""

    files: dict[str, str]
    entry: str
    origin: str

    def content(self) -> bytes:
        """Return the bytes that are stored; equal code has equal bytes on every machine."""
        return canonical_json({"files": self.files, "entry": self.entry})


def build(pipeline: AnyPipeline, steps: Iterable[AnyStep]) -> Bundle:
    """Gather the source files of a pipeline.

    Raises:
        NotImportableError: the pipeline or a step is defined inside a function, or has no source file.
    """
    functions = [pipeline.function, *(step.function for step in steps)]
    for function in functions:
        if "<locals>" in function.__qualname__:
            raise NotImportableError(
                f"{function.__qualname__} is defined inside a function, so no other process can import it. Move it to the"
                " top level of a module."
            )
    modules: dict[str, ModuleType] = {}
    for function in functions:
        _gather(function.__module__, modules)
    files = {_relative_path(module): _text(module) for module in modules.values()}
    entry = f"{module_name(pipeline.function.__module__)}:{pipeline.function.__qualname__}"
    return Bundle(files=files, entry=entry, origin=str(_root(sys.modules[pipeline.function.__module__])))


def _gather(name: str, modules: dict[str, ModuleType]) -> None:
    """Take in a module, its packages, and every project module its source imports."""
    module = sys.modules.get(name)
    if module is None or name in modules or not is_project(module):
        return
    source = source_of_module(module)
    if source is None:
        if getattr(module, "__path__", None):
            return  # a namespace package has no file of its own
        raise NotImportableError(f"module {name} has no source file, so no other process can import it.")
    modules[name] = module
    parent = name.rpartition(".")[0]
    if parent:
        _gather(parent, modules)
    for imported in _imported_names(source.tree, module):
        _gather(imported, modules)


def _imported_names(tree: ast.AST, module: ModuleType) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            text = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(text, module.__package__ or "") if node.level else text
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def _text(module: ModuleType) -> str:
    source = source_of_module(module)
    return source.text if source is not None else ""


def _relative_path(module: ModuleType) -> str:
    path = module_name(module.__name__).replace(".", "/")
    return f"{path}/__init__.py" if hasattr(module, "__path__") else f"{path}.py"


def _root(module: ModuleType) -> Path:
    file = Path(getattr(module, "__file__", None) or ".").resolve()
    depth = module_name(module.__name__).count(".") + (1 if hasattr(module, "__path__") else 0)
    return file.parents[depth]


def origin_of(pipeline: AnyPipeline) -> str:
    """Return the folder that a pipeline's modules are imported from; empty when it has no file."""
    module = sys.modules.get(pipeline.function.__module__)
    return str(_root(module)) if module is not None and getattr(module, "__file__", None) else ""


def changed_files(bundle: Bundle, origin: str) -> list[str]:
    """Return the files of a bundle that differ from what stands at `origin` now."""
    changed = []
    for path, text in sorted(bundle.files.items()):
        file = Path(origin) / path
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            changed.append(path)
    return changed


def read(objects: Objects, digest: Digest) -> Bundle:
    """Return a stored bundle."""
    document = msgspec.json.decode(objects.get(digest))
    return Bundle(files=document["files"], entry=document["entry"], origin="")


def extract(bundle: Bundle, digest: Digest, folder: Path) -> Path:
    """Write a bundle's files to a folder of its own, once; return it."""
    target = folder / digest.removeprefix("b3:")
    if target.is_dir():
        return target
    partial = folder / f".{new_id()}"
    partial.mkdir(parents=True)
    for name, text in bundle.files.items():
        file = partial / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():  # another process was first otherwise
            raise
    return target


@contextmanager
def loaded(bundle: Bundle, root: Path) -> Iterator[AnyPipeline]:
    """Import a bundle's pipeline in place of modules of the same names, until the block ends.

    One block at a time in a process: the names of modules are global.
    """
    names = {_module_of(path) for path in bundle.files}
    with _loading:
        kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name in names}
        sys.path.insert(0, str(root))
        importlib.invalidate_caches()
        try:
            yield find_pipeline(bundle.entry)
        finally:
            sys.path.remove(str(root))
            for name in names:
                sys.modules.pop(name, None)
            sys.modules.update(kept)
            importlib.invalidate_caches()


def _module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def find_pipeline(entry: str) -> AnyPipeline:
    """Return the pipeline behind `module:name`.

    Raises:
        EntryNotFoundError: there is none.
    """
    found = find(entry)
    if not isinstance(found, Pipeline):
        raise EntryNotFoundError(
            f"{entry} is no pipeline. Decorate the function with @everloop.pipeline.", subject=entry
        )
    return found


def find(entry: str) -> Any:  # noqa: ANN401 - whatever the name holds
    """Return the object behind `module:name`, importing the module."""
    module, _, path = entry.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise EntryNotFoundError(f"{entry} cannot be imported: {error}.", subject=entry) from error
    return found


def import_file(file: Path) -> ModuleType:
    """Import a Python file by its path, under the name it has for imports: with its packages, else its own stem.

    Raises:
        EntryNotFoundError: there is no such file.
    """
    path = file.resolve()
    if not path.is_file():
        raise EntryNotFoundError(f"there is no file {file}.", subject=str(file))
    root, parts = path.parent, [path.stem]
    while (root / "__init__.py").exists():
        parts.insert(0, root.name)
        root = root.parent
    name = ".".join(parts)
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    return importlib.import_module(name)


def pipelines_in(module: ModuleType) -> dict[str, AnyPipeline]:
    """Return the pipelines a module defines, by name."""
    return {value.name: value for value in vars(module).values() if isinstance(value, Pipeline)}
