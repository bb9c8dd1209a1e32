"""A bundle holds the project's code that a pipeline needs, and runs where its files never were."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from everloop.core.digests import digest_bytes
from everloop.pipelines import bundles, pipeline, step
from everloop.pipelines.graph import trace

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.pipelines.conftest import Project

    from everloop.pipelines.steps import AnyPipeline

FLOW = """
    from everloop.pipelines import pipeline, step
    import tools
    @step
    def one() -> int:
        return tools.number()
    @pipeline
    def flow() -> int:
        return one()
"""
TOOLS = """
    def number() -> int:
        from deep import NUMBER
        return NUMBER
"""


def written(project: Project, number: int = 7) -> AnyPipeline:
    project.write(flow=FLOW, tools=TOOLS, deep=f"NUMBER = {number}", unused="raise RuntimeError")
    flow: AnyPipeline = project.flow().flow
    flow()  # imports what a step imports when it runs
    return flow


def build(flow: AnyPipeline) -> bundles.Bundle:
    return bundles.build(flow, trace(flow).steps.values())


def test_a_bundle_holds_what_the_steps_import_and_nothing_else(project: Project) -> None:
    bundle = build(written(project))

    assert sorted(bundle.files) == ["deep.py", "flow.py", "tools.py"]
    assert (bundle.entry, bundle.origin) == ("flow:flow", str(project.folder))


def test_equal_code_has_equal_bytes_wherever_it_lies(project: Project, tmp_path: Path) -> None:
    first = build(written(project))

    moved = bundles.Bundle(files=dict(reversed(first.files.items())), entry=first.entry, origin=str(tmp_path))

    assert moved.content() == first.content()


def test_a_loaded_bundle_runs_its_own_code_and_leaves_the_modules_of_the_process(
    project: Project, tmp_path: Path
) -> None:
    bundle = build(written(project, number=7))
    newer = written(project, number=8)
    here = sys.modules["flow"]
    root = bundles.extract(bundle, digest_bytes(bundle.content()), tmp_path / "bundles")

    with bundles.loaded(bundle, root) as old:
        result = old()

    assert (result, newer()) == (7, 8)
    assert sys.modules["flow"] is here
    assert str(root) not in sys.path


def test_files_that_were_edited_since_are_named(project: Project) -> None:
    bundle = build(written(project))
    project.write(tools=TOOLS + "\n# edited")
    (project.folder / "deep.py").unlink()

    assert bundles.changed_files(bundle, str(project.folder)) == ["deep.py", "tools.py"]


def test_a_pipeline_inside_a_function_has_no_bundle() -> None:
    @step
    def one() -> int:
        return 1

    @pipeline
    def flow() -> int:
        return one()

    with pytest.raises(bundles.NotImportableError, match="Move it to the top level"):
        build(flow)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("flow:nothing", "cannot be imported"),
        ("no_such:flow", "cannot be imported"),
        ("tools:number", "is no pipeline"),
    ],
)
def test_an_entry_that_is_no_pipeline_is_named(project: Project, entry: str, reason: str) -> None:
    written(project)

    with pytest.raises(bundles.EntryNotFoundError, match=reason):
        bundles.find_pipeline(entry)
