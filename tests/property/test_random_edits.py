"""A thousand random edits of a small project: what changes a result changes the key, what is only looks does not.

The truth is taken from running both forms of the project, not from what the edit was meant to be.
"""

from __future__ import annotations

import importlib
import random
import sys
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.pipelines.closure import close_over

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL = st.integers(0, 3)
OPERATORS = st.sampled_from(["+", "-", "*"])


@dataclass(frozen=True)
class Project:
    """What the code says: constants, helpers that call each other, a class with a base, decorators, defaults, a closure value."""

    constant: int
    table: int
    limit: int
    offset_default: int
    scale_by: int
    rate: int
    bonus: int
    captured: int
    in_lambda: int
    nested: int
    add: str
    combine: str
    pays: str
    is_clipped: bool
    uses_unused: int
    helper_name: str


PROJECTS = st.builds(
    Project,
    **dict.fromkeys(
        ("constant", "table", "limit", "offset_default", "scale_by", "rate", "bonus", "captured", "in_lambda", "nested"), SMALL
    ),
    add=OPERATORS,
    combine=OPERATORS,
    pays=OPERATORS,
    is_clipped=st.booleans(),
    uses_unused=SMALL,
    helper_name=st.sampled_from(["shift", "move"]),
)  # fmt: skip


class Looks(NamedTuple):
    """How the same code is written down."""

    seed: int
    has_docstrings: bool
    has_comments: bool
    is_turned: bool


LOOKS = st.builds(Looks, st.integers(0, 1_000), st.booleans(), st.booleans(), st.booleans())


def blocks_of_lib(code: Project) -> list[str]:
    name = code.helper_name
    clip = "    if x > LIMIT:\n        x = LIMIT\n" if code.is_clipped else ""
    return [
        f'CONSTANT = {code.constant}\nTABLE = {{"a": [1, {code.table}]}}\nLIMIT = {code.limit}',
        f"def {name}(x, offset={code.offset_default}):\n    # DOC\n{clip}    return x {code.add} CONSTANT + offset",
        f"@scaled({code.scale_by})\ndef combine(x):\n    # DOC\n    return {name}(x) {code.combine} TABLE['a'][1]",
        f"class Base:\n    # DOC\n    rate = {code.rate}\n\n    def pay(self, x):\n        # DOC\n        return x {code.pays} self.rate",
        f"def never_called(x):\n    return x + {code.uses_unused}",
    ]


def blocks_of_flow(code: Project) -> list[str]:
    return [
        f"class Worker(lib.Base):\n    # DOC\n    bonus = {code.bonus}\n\n    def pay(self, x):\n        return super().pay(x) + self.bonus",
        f"def maker(value):\n    # DOC\n    def inner(x):\n        return x + value\n    return inner\n\n\nadd_captured = maker({code.captured})",
        f"double = lambda x: x + {code.in_lambda}",
    ]


STEP = """
@step
def fit(x: int) -> int:
    # DOC
    def local(y):
        return y - {nested}

    return local(lib.combine(x)) + Worker().pay(x) + add_captured(x) + double(x)
"""
DECORATOR = "def scaled(factor):\n    def wrap(function):\n        def inner(x):\n            return factor * function(x)\n        return inner\n    return wrap"


def dressed(blocks: list[str], looks: Looks, salt: str) -> str:
    """Write blocks down: with comments, docstrings and blank lines, in another order where it means nothing."""
    chance = random.Random(f"{looks.seed} {salt}")  # noqa: S311 - no secret
    lines = []
    for line in "\n\n".join(blocks).split("\n"):
        if line.strip() == "# DOC":
            if looks.has_docstrings:
                lines.append(line.replace("# DOC", f'"""Text {chance.randint(0, 99)}."""'))
            continue
        lines.append(
            line
            + (
                f"  # remark {chance.randint(0, 99)}"
                if looks.has_comments and line.strip() and chance.random() < 0.3
                else ""
            )
        )
        if chance.random() < 0.2 and looks.has_comments:
            lines.append("")
    return "\n".join(lines) + "\n"


def write(folder: Path, code: Project, looks: Looks) -> None:
    lib = blocks_of_lib(code)
    lib = [DECORATOR, *(reversed(lib) if looks.is_turned else lib)]
    flow = [*blocks_of_flow(code), STEP.format(nested=code.nested)]
    if looks.is_turned:
        flow = [flow[2], flow[0], flow[1], flow[3]]
    head = "import lib\nfrom everloop.pipelines import step\n"
    folder.joinpath("lib.py").write_text(dressed(lib, looks, "lib"))
    folder.joinpath("flow.py").write_text(head + dressed(flow, looks, "flow"))


def key_and_results(folder: Path, code: Project, looks: Looks) -> tuple[str, list[int]]:
    write(folder, code, looks)
    for name in ("lib", "flow"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    fit = importlib.import_module("flow").fit
    return close_over(fit.function).digest, [fit(x) for x in range(-3, 9)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("edits")
    sys.path.insert(0, str(place))
    was, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    yield place
    sys.dont_write_bytecode = was
    sys.path.remove(str(place))
    for name in ("lib", "flow"):
        sys.modules.pop(name, None)


@settings(max_examples=1_000, deadline=None)
@given(PROJECTS, PROJECTS, st.sampled_from([field.name for field in fields(Project)]), LOOKS, LOOKS)
def test_one_random_edit(
    folder: Path, code: Project, other: Project, field: str, looks: Looks, new_looks: Looks
) -> None:
    edited = replace(code, **{field: getattr(other, field)})
    before, results = key_and_results(folder, code, looks)
    after, new_results = key_and_results(folder, edited, new_looks)

    if results != new_results:
        assert before != after, f"a stale hit: {field} changed"
    if edited == code or field == "uses_unused":
        assert before == after, "a needless miss: only looks changed"
