"""The code closure of a step: everything of the project's own code that its result can depend on, named and digested.

Walked from the live objects (functions, classes, values), with the source's syntax tree telling which names each one
uses. A plain value counts by value, other objects by the statements that bind them, installed packages by version.
What cannot be resolved (dynamic `getattr`, `importlib`, lambdas in data) brings in its whole module and is named in
`opaque`, so that the key may miss too often but never too seldom. Tests: tests/unit/pipelines/test_closure.py,
tests/property/test_cache_keys.py.
"""

from __future__ import annotations

import ast
import dis
import functools
import importlib
import importlib.util
import pickle
import platform
import sys
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING

import msgspec

from everloop.core.digests import Digest, NotCanonicalError, canonical_json, digest_bytes, digest_value
from everloop.core.errors import InvalidInputError
from everloop.pipelines.sources import (
    Source,
    is_project,
    module_name,
    normalise,
    normalise_code,
    package_version,
    source_of_file,
    source_of_module,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Part of every key: raise it when the meaning of a closure changes.
FORMAT = 1
_DYNAMIC = {"getattr", "eval", "exec", "globals", "__import__", "import_module", "vars", "locals"}
_PLAIN = (type(None), bool, int, float, str, bytes)


class UnhashableValueError(InvalidInputError):
    """A value that a step's code closes over has no content to hash."""

    code = "pipelines.unhashable-value"


class CodeClosure(msgspec.Struct, frozen=True, kw_only=True):
    """What a step's code consists of."""

    digest: Digest
    parts: dict[str, str]
    """Digest by readable name: `function flow.clean`, `value flow.LIMIT`, `package numpy`."""
    opaque: list[str]
    """Why whole modules were taken in, one sentence each."""
    modules: list[str]
    """Names of the project modules reached."""


def close_over(function: FunctionType) -> CodeClosure:
    """Return the code closure of a plain function.

    Costs a few milliseconds the first time a file is seen, well under one after.

    Raises:
        StaleSourceError: a file was edited after it was imported.
        UnhashableValueError: the function closes over a value that has no content to hash.
    """
    walk = _Walk(function.__module__)
    walk.function(function, is_root=True)
    parts = dict(sorted(walk.parts.items()))
    parts["python"] = ".".join(platform.python_version_tuple()[:2])
    return CodeClosure(
        digest=digest_value([FORMAT, parts]),
        parts=parts,
        opaque=sorted(walk.opaque),
        modules=sorted(walk.modules),
    )


def digest_any(value: object) -> Digest | None:
    """Return a digest of a value's content: canonical JSON, else its pickle; None when it has neither."""
    try:
        return digest_bytes(type(value).__qualname__.encode() + canonical_json(value))
    except (NotCanonicalError, RecursionError):
        pass
    try:
        return digest_bytes(pickle.dumps(value, protocol=5))
    except Exception:  # noqa: BLE001 - a value may raise anything when it is pickled; it then has no content
        return None


class _Walk:
    """One walk over live objects; `parts` fills up as it goes."""

    def __init__(self, root_module: str) -> None:
        self.parts: dict[str, str] = {}
        self.opaque: set[str] = set()
        self.modules: set[str] = set()
        self._root_module = root_module
        self._seen: dict[int, object] = {}

    # -- objects ---------------------------------------------------------------------------------------------------

    def reach(self, value: object, *, name: str, module: str) -> None:  # noqa: C901 - one case for each kind of object
        """Take in a value that code calls `name`, bound in `module`."""
        if isinstance(value, _PLAIN):
            self.parts[f"value {module_name(module)}.{name}"] = digest_value(
                [type(value).__name__, repr(value)]
            )
            return
        if id(value) in self._seen and not isinstance(value, ModuleType):
            return
        self._seen[id(value)] = value
        if isinstance(value, ModuleType):
            self._module(value)
        elif isinstance(value, FunctionType):
            self.function(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, MethodType):
            self.reach(value.__func__, name=name, module=module)
            self.reach(value.__self__, name=f"{name}.__self__", module=module)
        elif isinstance(value, functools.partial):
            for label, item in (("func", value.func), ("args", value.args), ("keywords", value.keywords)):
                self.reach(item, name=f"{name}.{label}", module=module)
        elif isinstance(value, BuiltinFunctionType):
            self._package(getattr(value, "__module__", None) or "builtins")
        elif hasattr(value, "__wrapped__"):
            self._wrapper(value, name=name, module=module)
        else:
            self._instance(value, name=name, module=module)

    def function(self, function: FunctionType, *, is_root: bool = False) -> None:
        """Take in a function: its code, what its names refer to, its closure and its defaults."""
        self._seen[id(function)] = function
        if not is_root and not self._is_own(function.__module__):
            self._package(function.__module__)
            self._wrapped_inside(function)
            return
        self.modules.add(function.__module__)
        label = f"{module_name(function.__module__)}.{function.__qualname__}"
        trees = self._trees(function)
        for index, (tree, is_source) in enumerate(trees):
            text = (
                normalise(tree, without_decorators=is_root)
                if is_source
                else normalise_code(function.__code__)
            )
            key = f"function {label}" if index == 0 else f"function {label}#{index}"
            self._add(key, text)
        self._names_of_function(function, [tree for tree, is_source in trees if is_source], is_root=is_root)
        self._cells_and_defaults(function, label)
        if not is_root:
            self._wrapped_inside(function)

    def _wrapped_inside(self, function: FunctionType) -> None:
        inner = function.__dict__.get("__wrapped__")
        if inner is not None:
            self.reach(inner, name=f"{function.__qualname__}.__wrapped__", module=function.__module__)

    def _wrapper(self, value: object, *, name: str, module: str) -> None:
        self.reach(value.__wrapped__, name=f"{name}.__wrapped__", module=module)  # type: ignore[attr-defined] # asked before
        kind = type(value)
        if self._is_own(kind.__module__):
            self.reach(kind, name=kind.__qualname__, module=kind.__module__)

    def _class(self, cls: type) -> None:
        if not self._is_own(cls.__module__):
            self._package(cls.__module__)
            return
        module = sys.modules.get(cls.__module__)
        label = f"{module_name(cls.__module__)}.{cls.__qualname__}"
        self.modules.add(cls.__module__)
        source = source_of_module(module) if module is not None else None
        trees = source.definitions.get(cls.__qualname__, []) if source is not None else []
        self._add(f"class {label}", "\n".join(normalise(tree) for tree in trees))
        for tree in trees:
            self._names_of_tree(tree, vars(module) if module else {}, module=cls.__module__)
        if not trees:
            self._whole_module(cls.__module__, f"the source of class {label} was not found")
        for base in cls.__bases__:
            self.reach(base, name=base.__qualname__, module=base.__module__)
        for name, attribute in vars(cls).items():
            self._class_attribute(name, attribute, cls=cls, label=label)

    def _class_attribute(self, name: str, attribute: object, *, cls: type, label: str) -> None:
        inner = getattr(attribute, "__func__", None) or getattr(attribute, "fget", None) or attribute
        if isinstance(inner, FunctionType) and inner.__module__ == cls.__module__:
            self._cells_and_defaults(inner, f"{label}.{name}")
        elif isinstance(inner, FunctionType):
            self.reach(inner, name=name, module=cls.__module__)
        elif not name.startswith("__") and isinstance(
            attribute, (*_PLAIN, list, dict, tuple, set, frozenset)
        ):
            self.reach(attribute, name=f"{cls.__qualname__}.{name}", module=cls.__module__)

    def _instance(self, value: object, *, name: str, module: str) -> None:
        """Containers item by item, records by value, anything else by the statements that bind it."""
        key = f"value {module_name(module)}.{name}"
        if isinstance(value, list | tuple | set | frozenset | dict) and not _is_flat(value):
            self._container(value, name=name, module=module)
            return
        kind = type(value)
        self.reach(kind, name=kind.__qualname__, module=kind.__module__)
        try:
            self.parts[key] = digest_value([kind.__qualname__, canonical_json(value).decode()])
        except (NotCanonicalError, RecursionError):
            self._binding(value, name=name, module=module)

    def _container(self, value: object, *, name: str, module: str) -> None:
        items: Iterator[tuple[object, object]]
        if isinstance(value, dict):
            items = iter(value.items())
        elif isinstance(value, set | frozenset):
            items = enumerate(sorted(value, key=repr))
        else:
            items = enumerate(value)  # type: ignore[arg-type] # a list or a tuple
        for key, item in items:
            self.reach(item, name=f"{name}[{key!r}]", module=module)
            if isinstance(item, FunctionType) and item.__name__ == "<lambda>":
                self._whole_module(item.__module__, f"{name} holds a lambda")

    def _binding(self, value: object, *, name: str, module: str) -> None:
        loaded = sys.modules.get(module)
        source = source_of_module(loaded) if loaded is not None else None
        statements = source.bindings.get(name, []) if source is not None else []
        if statements and self._is_own(module):
            self._add(
                f"value {module_name(module)}.{name}", "\n".join(normalise(item) for item in statements)
            )
            for statement in statements:
                self._names_of_tree(statement, vars(loaded), module=module)
            return
        content = digest_any(value)
        if content is not None:
            self.parts[f"value {module_name(module)}.{name}"] = content
            return
        if source is None or "<closure>" in name:
            raise UnhashableValueError(
                f"{name} in {module} is a {type(value).__name__}, which has no content to hash. Pass it as an input, or"
                " make it from plain values inside the step."
            )
        self._whole_module(module, f"{name} is a {type(value).__name__} without a statement that binds it")

    # -- modules and names -----------------------------------------------------------------------------------------

    def _module(self, module: ModuleType) -> None:
        """A module used as a whole, where no attribute says which part of it."""
        if self._is_own(module.__name__):
            self._whole_module(module.__name__, f"module {module.__name__} is used as a value")
        else:
            self._package(module.__name__)

    def _whole_module(self, name: str, reason: str) -> None:
        module = sys.modules.get(name)
        source = source_of_module(module) if module is not None else None
        key = f"module {module_name(name)}"
        if key in self.parts or source is None or module is None:
            return
        self.opaque.add(f"{module_name(name)} counts as a whole: {reason}")
        self.modules.add(name)
        self._add(key, normalise(source.tree))
        self._names_of_tree(source.tree, vars(module), module=name)

    def _package(self, module: str) -> None:
        top = module.split(".", maxsplit=1)[0]
        version = package_version(top)
        if version:
            self.parts[f"package {top}"] = version

    def _is_own(self, name: str) -> bool:
        if name == self._root_module:
            return True  # a step that ships inside an installed package is still the user's code
        module = sys.modules.get(name)
        return module is not None and is_project(module)

    def _names_of_function(self, function: FunctionType, trees: list[ast.AST], *, is_root: bool) -> None:
        names = _global_names(function.__code__)
        scope = {name: function.__globals__[name] for name in names if name in function.__globals__}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            scope[name] = _cell(cell)
        for tree in trees:
            scope |= self._imports_inside(tree, function.__module__)
            if not is_root:
                for decorator in getattr(tree, "decorator_list", []):
                    self._names_of_tree(decorator, function.__globals__, module=function.__module__)
            body = [*getattr(tree, "body", [])] if not isinstance(tree, ast.Lambda) else [tree.body]
            for statement in body:
                self._names_of_tree(statement, scope, module=function.__module__)
        if not trees:
            for name, value in scope.items():
                self.reach(value, name=name, module=function.__module__)

    def _names_of_tree(self, tree: ast.AST, scope: Mapping[str, object], *, module: str) -> None:
        """Take in what every name and attribute chain in a syntax tree refers to."""
        if isinstance(tree, ast.Module | ast.ClassDef):
            scope = {**scope, **self._imports_inside(tree, module)}
        pending: list[ast.AST] = [tree]
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Attribute) and self._attribute(node, scope, module):
                continue
            if isinstance(node, ast.Name) and node.id in scope:
                self.reach(scope[node.id], name=node.id, module=module)
            if isinstance(node, ast.Call):
                self._dynamic(node, module)
            pending.extend(ast.iter_child_nodes(node))

    def _attribute(self, node: ast.Attribute, scope: Mapping[str, object], module: str) -> bool:
        """Resolve `a.b.c` as far as it goes through modules; say whether that took in the whole chain."""
        chain: list[str] = []
        inner: ast.AST = node
        while isinstance(inner, ast.Attribute):
            chain.insert(0, inner.attr)
            inner = inner.value
        if not isinstance(inner, ast.Name) or inner.id not in scope:
            return False
        value, owner, name = scope[inner.id], module, inner.id
        while chain and isinstance(value, ModuleType):
            name, owner = chain.pop(0), value.__name__
            if not self._is_own(owner):
                self._package(owner)
                return True
            self.modules.add(owner)
            if not hasattr(value, name):
                self._whole_module(owner, f"{owner}.{name} does not exist yet")
                return True
            value = getattr(value, name)
        self.reach(value, name=name, module=owner)
        return True

    def _dynamic(self, call: ast.Call, module: str) -> None:
        function = call.func
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        if name not in _DYNAMIC or (isinstance(function, ast.Attribute) and name != "import_module"):
            return
        if name == "getattr" and len(call.args) > 1 and isinstance(call.args[1], ast.Constant):
            return
        self._whole_module(module, f"it calls {name}() with a name that only the run knows")

    def _imports_inside(self, tree: ast.AST, module: str) -> dict[str, object]:
        found: dict[str, object] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    target = self._import(alias.name)
                    top = alias.name.split(".")[0]
                    found[alias.asname or top] = target if alias.asname else sys.modules.get(top)
            elif isinstance(node, ast.ImportFrom):
                found |= self._import_from(node, module)
        return {name: value for name, value in found.items() if value is not None}

    def _import_from(self, node: ast.ImportFrom, module: str) -> dict[str, object]:
        package = getattr(sys.modules.get(module), "__package__", None) or ""
        name = (
            importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            if node.level
            else node.module
        )
        target = self._import(name or "")
        if target is None:
            return {}
        return {
            alias.asname or alias.name: getattr(target, alias.name, None)
            or self._import(f"{name}.{alias.name}")
            for alias in node.names
        }

    def _import(self, name: str) -> ModuleType | None:
        """Return a module that code imports when it runs; one that is not the project's is not imported for this."""
        if name in sys.modules:
            return sys.modules[name]
        top = name.split(".", maxsplit=1)[0]
        if package_version(top) == "" or not package_version(top).endswith("==unknown"):
            self._package(top)
            return None
        try:
            return importlib.import_module(name)
        except ImportError:
            return None  # the step itself will say so when it runs

    # -- code ------------------------------------------------------------------------------------------------------

    def _trees(self, function: FunctionType) -> list[tuple[ast.AST, bool]]:
        """Return the syntax trees of a function, or a stand-in when only compiled code exists."""
        code = function.__code__
        source = source_of_file(code.co_filename)
        if source is None:
            return [(ast.Pass(), False)]
        source.check_is_loaded(code)
        if code.co_name == "<lambda>":
            return [(tree, True) for tree in source.lambdas.get(code.co_firstlineno, [])] or [
                (ast.Pass(), False)
            ]
        tree = _definition(source, code)
        return [(tree, True)] if tree is not None else [(ast.Pass(), False)]

    def _cells_and_defaults(self, function: FunctionType, label: str) -> None:
        module = function.__module__
        name = label.removeprefix(f"{module_name(module)}.")
        for free, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            if free != "__class__":
                self.reach(_cell(cell), name=f"{name}.<closure>.{free}", module=module)
        for index, value in enumerate(function.__defaults__ or ()):
            self.reach(value, name=f"{name}.<default>.{index}", module=module)
        for key, value in (function.__kwdefaults__ or {}).items():
            self.reach(value, name=f"{name}.<default>.{key}", module=module)

    def _add(self, key: str, text: str) -> None:
        self.parts[key] = digest_bytes(text.encode())


def _definition(source: Source, code: CodeType) -> ast.AST | None:
    return source.definition(code)


def _cell(cell: object) -> object:
    try:
        return cell.cell_contents  # type: ignore[attr-defined] # a cell; its type has no public name in 3.11
    except ValueError:
        return None  # not filled yet: a function that refers to itself


def _global_names(code: CodeType) -> set[str]:
    names = {
        item.argval for item in dis.get_instructions(code) if item.opname in {"LOAD_GLOBAL", "LOAD_NAME"}
    }
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names


def _is_flat(value: object) -> bool:
    """Say whether a container holds plain values only, all the way down."""
    if isinstance(value, dict):
        return all(isinstance(key, _PLAIN) and _is_flat(item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(_is_flat(item) for item in value)
    return isinstance(value, _PLAIN)
