"""Open the place where artifacts are written and read. Tests: tests/unit/pipelines/test_artifacts.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.pipelines.codecs.protocol import Store

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


def open_store(kernel: Kernel) -> Store:
    """Return the artifact store of a home, or of a client, which has no home."""
    return Store(kernel.objects, None if kernel.is_remote else kernel.home / "artifacts")
