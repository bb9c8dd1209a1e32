"""What in a step's code may give another result for the same inputs: the clock, chance without a seed, the network, paths in texts.

A remark, never a refusal: the cache trusts that equal code and inputs give equal results. Tests: tests/unit/pipelines/test_lint.py.
"""

from __future__ import annotations

import ast
import re
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

import msgspec

from everloop.pipelines.sources import is_project, source_of_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from everloop.pipelines.steps import AnyStep

_CLOCK = re.compile(r"(time\.(time|time_ns|localtime|gmtime)|datetime\.(datetime|date)\.(now|utcnow|today))$")
_CHANCE = re.compile(r"(random\.(Random\.)?\w+|numpy\.random\.\w+|uuid\.uuid[14]|secrets\.\w+|os\.urandom)$")
_NETWORK = re.compile(r"(requests|httpx|urllib\.request|urllib3|aiohttp|socket|boto3)\.\w+")
# These take a seed, and are no chance when they are given one.
_SEEDED = {
    "random.Random",
    "numpy.random.default_rng",
    "numpy.random.RandomState",
    "numpy.random.SeedSequence",
}
_SEEDS = {"random.seed", "numpy.random.seed"}
_PATH = re.compile(
    r"(/|\./|\../|~/)?[\w.-]+(/[\w.-]+)*\.(csv|tsv|json|jsonl|parquet|feather|arrow|xlsx|pkl|npy|txt|yaml|yml|pt|onnx)$"
)
_OPENERS = re.compile(r"(^open|\.open|read_\w+|load\w*|Path|scan_\w+)$")


class Remark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a cached step had better not do.

    Attributes:
        step: its name.
        function: the function that does it, the step's own or one it calls.
        line: in that function's file.
        what: what is done, in words.
        advice: the way out.
    """

    step: str
    function: str
    line: int
    what: str
    advice: str


_ADVICE = {
    "clock": "pass the moment as an input, or say @step(cache=False) or ttl=",
    "chance": "pass a seed as an input and use it, or say @step(cache=False)",
    "network": "read it in a step with cache=False or ttl=, or add it as a dataset",
    "path": "declare a parameter as everloop.File, or read a dataset, so that an edit of the file is noticed",
}


def lint(steps: Iterable[AnyStep]) -> list[Remark]:
    """Return remarks on the steps that are cached, in the order of the steps."""
    found: list[Remark] = []
    for step in dict.fromkeys(steps):
        if step.options.cache and step.options.ttl_s is None:
            for function in _reached(step.function):
                found += _remarks(step.name, function)
    return found


def _reached(function: FunctionType) -> Iterator[FunctionType]:
    """Yield a function and those of the project that it names, and so on."""
    pending, seen = [function], {function}
    while pending:
        current = pending.pop(0)
        yield current
        for name in current.__code__.co_names:
            value = current.__globals__.get(name)
            value = getattr(value, "function", value)
            if isinstance(value, FunctionType) and value not in seen and _is_own(value):
                seen.add(value)
                pending.append(value)


def _is_own(function: FunctionType) -> bool:
    import sys

    module = sys.modules.get(function.__module__)
    return module is not None and is_project(module)


def _remarks(step: str, function: FunctionType) -> Iterator[Remark]:
    source = source_of_file(function.__code__.co_filename)
    tree = source.definition(function.__code__) if source is not None else None
    if tree is None:
        return
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = {id(call): _dotted(call.func, function.__globals__) for call in calls}
    is_seeded = any(name in _SEEDS for name in names.values())
    for call in calls:
        kind = _kind(call, names[id(call)], is_seeded=is_seeded)
        if kind:
            yield Remark(
                step=step,
                function=function.__qualname__,
                line=call.lineno,
                what=f"{kind}: {ast.unparse(call)[:80]}",
                advice=_ADVICE[kind],
            )


def _kind(call: ast.Call, name: str, *, is_seeded: bool) -> str:
    if _CLOCK.match(name):
        return "clock"
    if _CHANCE.match(name) and name not in _SEEDS and not is_seeded and not (name in _SEEDED and call.args):
        return "chance"
    if _NETWORK.match(name):
        return "network"
    texts = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    if texts and _OPENERS.search(name) and _PATH.match(texts[0]):
        return "path"
    return ""


def _dotted(node: ast.expr, scope: dict[str, object]) -> str:
    """Return the full name of what is called: `np.random.rand` is `numpy.random.rand`."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.insert(0, node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ".".join(["", *parts])
    value = scope.get(node.id)
    if isinstance(value, ModuleType):
        head = value.__name__
    elif value is not None and hasattr(value, "__module__") and hasattr(value, "__qualname__"):
        head = f"{value.__module__}.{value.__qualname__}"
    else:
        head = node.id
    return ".".join([head, *parts])
