"""What a codec is, and where it puts bytes. Tests: tests/unit/pipelines/test_artifacts.py."""

from __future__ import annotations

import functools
import importlib
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from everloop.core.digests import Digest
    from everloop.kernel.objects import Objects
    from everloop.kernel.objects.protocol import Content
    from everloop.pipelines.records import Artifact

# A plain value up to this size stays in the catalog's row, so that a small step costs no file.
INLINE_BYTES = 4096


class UnstorableValueError(InvalidInputError):
    """A step returned something that no codec can write."""

    code = "pipelines.unstorable-value"


class Store:
    """Where codecs put bytes: the object store, and a folder for artifacts that are folders.

    Args:
        objects: the object store.
        folder: where folders are laid out; without one they live in a temporary folder as long as the store.
    """

    def __init__(self, objects: Objects, folder: Path | None) -> None:
        self.objects = objects
        self._folder = folder

    @functools.cached_property
    def folder(self) -> Path:
        """Return the folder, made on first use."""
        if self._folder is None:
            path = Path(tempfile.mkdtemp(prefix="everloop-artifacts-"))
            weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
            return path
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder

    def put(self, content: Content) -> Digest:
        """Store bytes, a file or a stream of pieces. Not synced on its own: the run resumes from the last commit after a power cut."""
        return self.objects.put(content, durable=False)


class Codec(Protocol):
    """Writes and reads values of one kind. Stateless; threads share it. What `dump` returns has the same digest for equal contents."""

    name: str

    def takes(self, value: object) -> bool:
        """Say whether this codec writes `value`; must not import anything heavy."""
        ...

    def dump(self, value: Any, store: Store) -> Artifact:  # noqa: ANN401 - what `takes` accepted
        """Store the value."""
        ...

    def load(self, artifact: Artifact, store: Store) -> object:
        """Return the value."""
        ...


def type_name(kind: type) -> str:
    """Return `module:name` of a class."""
    return f"{kind.__module__}:{kind.__qualname__}"


def find_type(name: str) -> type:
    """Return the class of a `type_name`."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found  # type: ignore[no-any-return] # a class by construction
