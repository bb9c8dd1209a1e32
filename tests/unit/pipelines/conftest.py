"""Pipelines on a fresh home, and projects written to disk so that their code can be edited."""

from __future__ import annotations

import importlib
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from everloop.data.service import Data
from everloop.pipelines.service import Pipelines
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from everloop.kernel.operations import Kernel


@pytest.fixture
def pipelines(any_kernel: Kernel) -> Pipelines:
    return Pipelines(any_kernel, data=Data(any_kernel), tracking=Tracking(any_kernel))


class Project:
    """A folder of modules; each import of `flow` sees what is on the disk now."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, **modules: str) -> None:
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(textwrap.dedent(text))

    def flow(self, name: str = "flow") -> ModuleType:
        for path in self.folder.glob("*.py"):
            sys.modules.pop(path.stem, None)
        importlib.invalidate_caches()
        return importlib.import_module(name)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Project(folder)
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)
