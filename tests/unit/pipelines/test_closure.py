"""What an edit does to a step's key: everything its result can depend on changes it, nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.pipelines.closure import close_over
from everloop.pipelines.sources import StaleSourceError

if TYPE_CHECKING:
    from tests.unit.pipelines.conftest import Project

FLOW = '''
    """The flow."""
    import functools
    import helpers
    from helpers import scale
    from everloop.pipelines import step

    LIMIT = 10
    TABLE = {"a": 1, "b": [2, 3]}

    class Model:
        """A model."""
        depth = 3
        def fit(self, x):
            return x + LIMIT

    def clean(x):
        """Clean."""
        return x + 1

    def multiplied(factor):
        def inside(x):
            return x * factor
        return inside

    double = multiplied(2)

    @step
    def run(x: int, y: int = 5) -> int:
        """Run."""
        # a comment
        model = Model()
        return clean(x) + helpers.shift(x) + scale(x) + TABLE["a"] + double(x) + model.fit(y)
'''
HELPERS = """
    OFFSET = 1
    def shift(x):
        return x + OFFSET
    def scale(x):
        return 2 * x
    def unused(x):
        return x
"""


def digest(project: Project, flow: str = FLOW, helpers: str = HELPERS) -> str:
    project.write(flow=flow, helpers=helpers)
    return close_over(project.flow().run.function).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return x + 1", "return x + 2"),
        ("LIMIT = 10", "LIMIT = 11"),
        ('"b": [2, 3]', '"b": [2, 4]'),
        ("double = multiplied(2)", "double = multiplied(3)"),
        ("depth = 3", "depth = 4"),
        ("return x + LIMIT", "return x - LIMIT"),
        ("y: int = 5", "y: int = 6"),
        ("helpers.shift(x)", "helpers.scale(x)"),
    ],
    ids=[
        "helper",
        "constant",
        "nested constant",
        "closure value",
        "class attribute",
        "method",
        "default",
        "own body",
    ],
)
def test_an_edit_that_can_change_the_result_changes_the_closure(project: Project, old: str, new: str) -> None:
    before = digest(project)

    assert digest(project, FLOW.replace(old, new)) != before


@pytest.mark.parametrize(
    ("old", "new"), [("OFFSET = 1", "OFFSET = 2"), ("x + OFFSET", "x - OFFSET"), ("2 * x", "3 * x")]
)
def test_an_edit_of_an_imported_project_module_changes_the_closure(
    project: Project, old: str, new: str
) -> None:
    before = digest(project)

    assert digest(project, helpers=HELPERS.replace(old, new)) != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another comment"),
        ('"""Run."""', '"""Run it well."""'),
        ('"""Clean."""', ""),
        ("return x + 1", "return (x\n                + 1)"),
        ("    LIMIT = 10", "\n\n\n\n    LIMIT = 10"),
        ("@step\n", "@step(retries=3)\n"),
    ],
    ids=["comment", "docstring", "docstring gone", "formatting", "moved lines", "options"],
)
def test_an_edit_that_cannot_change_the_result_leaves_the_closure(
    project: Project, old: str, new: str
) -> None:
    before = digest(project)

    assert digest(project, FLOW.replace(old, new)) == before


def test_an_edit_of_a_function_that_is_not_reached_leaves_the_closure(project: Project) -> None:
    before = digest(project)

    assert digest(project, helpers=HELPERS.replace("return x\n", "return -x\n")) == before


def test_an_import_inside_a_function_counts(project: Project) -> None:
    flow = "def run(x):\n    from helpers import shift\n    import helpers as h\n    return shift(x) + h.scale(x)\n"
    found = []
    for helpers in (HELPERS, HELPERS.replace("OFFSET = 1", "OFFSET = 9"), HELPERS.replace("2 * x", "5 * x")):
        project.write(flow=flow, helpers=helpers)
        found.append(close_over(project.flow().run).digest)

    assert len(set(found)) == 3


def test_a_base_class_in_another_module_counts(project: Project) -> None:
    flow = "import bases\nclass A(bases.B):\n    pass\ndef run(x):\n    return A().f(x)\n"
    found = []
    for constant in (1, 2):
        project.write(flow=flow, bases=f"class B:\n    def f(self, x):\n        return x + {constant}\n")
        found.append(close_over(project.flow().run).digest)

    assert found[0] != found[1]


def test_same_source_with_another_closure_value_is_another_closure() -> None:
    def make(factor: int) -> object:
        def run(x: int) -> int:
            return x * factor

        return run

    assert close_over(make(1)).digest != close_over(make(2)).digest  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    ["return getattr(helpers, name)(x)", "import importlib; return importlib.import_module(name).f(x)"],
)
def test_what_cannot_be_resolved_takes_in_its_module_and_says_so(project: Project, body: str) -> None:
    found = []
    for constant in (1, 2):
        flow = (
            f"import helpers\nname = 'shift'\ndef other(x):\n    return {constant}\ndef run(x):\n    {body}\n"
        )
        project.write(flow=flow, helpers=HELPERS)
        found.append(close_over(project.flow().run))

    assert found[0].digest != found[1].digest
    assert any("flow counts as a whole" in reason for reason in found[0].opaque)


def test_a_lambda_in_data_takes_in_its_module(project: Project) -> None:
    found = []
    for constant in (1, 2):
        flow = f"OPS = {{'a': lambda x: x + {constant}}}\ndef run(x):\n    return OPS['a'](x)\n"
        project.write(flow=flow)
        found.append(close_over(project.flow().run))

    assert found[0].digest != found[1].digest
    assert found[0].opaque


def test_installed_packages_count_by_version(project: Project) -> None:
    project.write(flow="import numpy as np\ndef run(x):\n    return np.mean(x)\n")

    parts = close_over(project.flow().run).parts

    assert parts["package numpy"].startswith("numpy==")


def test_a_decorator_of_a_helper_counts_with_its_arguments(project: Project) -> None:
    text = """
        import functools
        def times(n):
            def wrap(f):
                @functools.wraps(f)
                def inner(x):
                    return n * f(x)
                return inner
            return wrap
        @times(2)
        def helper(x):
            return x
        def run(x):
            return helper(x)
    """
    found = []
    for source in (text, text.replace("@times(2)", "@times(3)"), text.replace("return x\n", "return -x\n")):
        project.write(flow=source)
        found.append(close_over(project.flow().run).digest)

    assert len(set(found)) == 3


def test_no_part_names_a_path_or_a_line(project: Project) -> None:
    project.write(flow=FLOW, helpers=HELPERS)

    parts = close_over(project.flow().run.function).parts

    assert not any("/" in name for name in parts)
    assert {"function flow.run", "function helpers.shift", "value helpers.OFFSET"} <= set(parts)


def test_a_file_edited_after_its_import_is_refused(project: Project) -> None:
    project.write(flow="def run(x):\n    return x + 1\n")
    run = project.flow().run
    project.write(flow="def run(x):\n    y = 7\n    return max(x, y)\n")

    with pytest.raises(StaleSourceError, match="edited after"):
        close_over(run)
