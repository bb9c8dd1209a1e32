"""Write the value of a step with the first codec that takes it, and read it back; the same in every executor.

Formats that other programs read come first; pickle is the last resort and warns with the name of the value. Tests:
tests/unit/pipelines/test_artifacts.py, tests/property/test_artifacts.py.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from everloop.core.errors import EverloopError, NotFoundError
from everloop.pipelines.codecs.files import FileCodec, OfferedCodec
from everloop.pipelines.codecs.pickled import PickleCodec
from everloop.pipelines.codecs.plain import BytesCodec, JsonCodec, RecordCodec
from everloop.pipelines.codecs.protocol import Codec, UnstorableValueError
from everloop.pipelines.codecs.tables import FrameCodec, NumpyCodec, TableCodec

if TYPE_CHECKING:
    from everloop.kernel.objects import Objects
    from everloop.pipelines.codecs.protocol import Store
    from everloop.pipelines.records import Artifact


class ArtifactLostError(NotFoundError):
    """The objects of an artifact are gone."""

    code = "pipelines.artifact-lost"


class PickledArtifactWarning(UserWarning):
    """A value was pickled: it may not load with other package versions, and no other program reads it."""


def dump(value: object, store: Store, *, where: str) -> Artifact:
    """Store a value with the first codec that takes it.

    Args:
        value: what a step returned or was given.
        store: where to.
        where: name of the value for messages.

    Raises:
        UnstorableValueError: not even pickle can write it.
    """
    codec = next(codec for codec in CODECS if codec.takes(value))
    if codec.name == "pickle":
        warnings.warn(
            f"{where} is a {type(value).__module__}.{type(value).__qualname__}, which is pickled: it may not load with other"
            " package versions. Return a table, an array, plain values, or give the class __everloop_artifact__.",
            PickledArtifactWarning,
            stacklevel=2,
        )
    try:
        return codec.dump(value, store)
    except EverloopError:
        raise
    except Exception as error:
        raise UnstorableValueError(
            f"{where} is a {type(value).__qualname__} that cannot be stored as {codec.name}: {error}. Return plain values, a"
            " table, an array, bytes or a Path."
        ) from error


def load(artifact: Artifact, store: Store) -> object:
    """Return the value of an artifact.

    Raises:
        ArtifactLostError: its objects are gone.
    """
    try:
        return _BY_NAME[artifact.codec].load(artifact, store)
    except NotFoundError as error:
        raise ArtifactLostError(
            f"the artifact {artifact.digest} is gone from the store. Run the pipeline again; its step will be computed.",
            subject=artifact.digest,
        ) from error


def is_whole(artifact: Artifact, objects: Objects) -> bool:
    """Say whether every object of an artifact exists."""
    return all(objects.exists(digest) for digest in artifact.objects.values())


CODECS: list[Codec] = [
    JsonCodec(), TableCodec(), BytesCodec(), FileCodec(), OfferedCodec(), RecordCodec(), NumpyCodec(), FrameCodec(), PickleCodec(),
]  # fmt: skip
_BY_NAME: dict[str, Codec] = {codec.name: codec for codec in CODECS}


def register(codec: Codec) -> None:
    """Add a codec before the general ones; a codec of the same name is replaced."""
    CODECS[:] = [codec, *(known for known in CODECS if known.name != codec.name)]
    _BY_NAME[codec.name] = codec
