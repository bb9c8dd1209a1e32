"""An object store in a folder, and a second one to repair from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from everloop.kernel.objects import ObjectStore

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


@pytest.fixture
def store(kernel: Kernel, tmp_path: Path) -> ObjectStore:
    return ObjectStore(kernel.catalog, str(tmp_path / "store"), cache=tmp_path / "cache")


@pytest.fixture
def folder(store: ObjectStore) -> Path:
    return Path(store.files.place)
