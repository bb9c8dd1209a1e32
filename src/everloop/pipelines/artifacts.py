"""Codecs: how the value of a step becomes objects and comes back, the same in every executor.

The first codec that takes a value writes it. Formats that other programs read come first; pickle is the last resort and
warns with the name of the value. Tests: tests/unit/pipelines/test_artifacts.py, tests/property/test_artifacts.py.
"""

from __future__ import annotations

import importlib
import io
import math
import pickle
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from everloop.core.digests import Digest, canonical_json, digest_bytes, digest_value
from everloop.core.errors import EverloopError, InvalidInputError, NotFoundError
from everloop.core.ids import new_id
from everloop.pipelines.inputs import File
from everloop.pipelines.records import Artifact

if TYPE_CHECKING:
    from everloop.kernel.objects import Objects

# A plain value up to this size stays in the catalog's row, so that a small step costs no file.
INLINE_BYTES = 4096
_REFERENCE = "reference.json"


class UnstorableValueError(InvalidInputError):
    """A step returned something that no codec can write."""

    code = "pipelines.unstorable-value"


class ArtifactLostError(NotFoundError):
    """The objects of an artifact are gone."""

    code = "pipelines.artifact-lost"


class PickledArtifactWarning(UserWarning):
    """A value was pickled: it may not load with other package versions, and no other program reads it."""


class Store:
    """Where codecs put bytes: the object store, and a folder for artifacts that are folders."""

    def __init__(self, objects: Objects, folder: Path) -> None:
        self.objects = objects
        self.folder = folder

    def put(self, content: bytes | Path) -> Digest:
        """Store bytes or a file. Not synced on its own: the run resumes from the last commit after a power cut."""
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


class JsonCodec:
    """Plain values that JSON gives back exactly."""

    name = "json"

    def takes(self, value: object) -> bool:
        """Take None, bool, int, finite float, str, and lists and text-keyed dicts of them."""
        return _is_exact_json(value)

    def dump(self, value: object, store: Store) -> Artifact:
        """Keep small values in the row, larger ones as an object."""
        return _dump_json(self.name, canonical_json(value), store, {})

    def load(self, artifact: Artifact, store: Store) -> object:
        """Decode."""
        return msgspec.json.decode(_json_text(artifact, store))


class RecordCodec:
    """msgspec structs and dataclasses whose class can be imported."""

    name = "record"

    def takes(self, value: object) -> bool:
        """Take instances of importable struct and dataclass types."""
        kind = type(value)
        is_record = isinstance(value, msgspec.Struct) or hasattr(kind, "__dataclass_fields__")
        return is_record and not hasattr(kind, "__everloop_artifact__") and "<locals>" not in kind.__qualname__

    def dump(self, value: object, store: Store) -> Artifact:
        """Write the fields as JSON and the class's name."""
        return _dump_json(self.name, canonical_json(value), store, {"type": type_name(type(value))})

    def load(self, artifact: Artifact, store: Store) -> object:
        """Build the record again."""
        return msgspec.json.decode(_json_text(artifact, store), type=find_type(artifact.facts["type"]))


class TableCodec:
    """`everloop.Table`: stored as its parts; the digest is that of the rows, whatever the version's name."""

    name = "table"

    def takes(self, value: object) -> bool:
        """Take tables."""
        kind = type(value)
        return kind.__name__ == "Table" and kind.__module__.startswith("everloop.data")

    def dump(self, value: Any, store: Store) -> Artifact:  # noqa: ANN401 - a table
        """Store the parts that are not stored yet, and the reference to them."""
        reference = value.store(store.objects).reference
        text = canonical_json(reference)
        objects = {f"part-{index}.parquet": Digest(part.digest) for index, part in enumerate(reference.parts)}
        inline = text.decode() if len(text) <= INLINE_BYTES else None
        if inline is None:
            objects[_REFERENCE] = store.put(text)
        facts = {"name": reference.name} if reference.name else {}
        return Artifact(codec=self.name, digest=Digest(reference.digest), objects=objects, inline=inline, facts=facts)

    def load(self, artifact: Artifact, store: Store) -> object:
        """Return the table; its rows are read when they are asked for."""
        from everloop.data.records import TableReference
        from everloop.data.table import Table

        text = artifact.inline.encode() if artifact.inline is not None else store.objects.get(artifact.objects[_REFERENCE])
        return Table.open(msgspec.json.decode(text, type=TableReference), store.objects)


class BytesCodec:
    """Bytes."""

    name = "bytes"

    def takes(self, value: object) -> bool:
        """Take bytes."""
        return isinstance(value, bytes)

    def dump(self, value: bytes, store: Store) -> Artifact:
        """Store as one object."""
        digest = store.put(value)
        return Artifact(codec=self.name, digest=digest, objects={"bytes": digest})

    def load(self, artifact: Artifact, store: Store) -> object:
        """Read them."""
        return store.objects.get(artifact.objects["bytes"])


class FileCodec:
    """`File` inputs, and a `Path` that a step returns: a file or a folder."""

    name = "file"

    def takes(self, value: object) -> bool:
        """Take File and Path."""
        return isinstance(value, File | Path)

    def dump(self, value: File | Path, store: Store) -> Artifact:
        """Store the file, or every file of the folder."""
        path = value.path if isinstance(value, File) else value
        facts: dict[str, Any] = {"kind": "File" if isinstance(value, File) else "Path", "is_folder": path.is_dir()}
        if path.is_dir():
            return folder_artifact(self.name, path, store, facts)
        if not path.is_file():
            raise UnstorableValueError(f"{path} is no file. Write it before returning it.", subject=str(path))
        digest = store.put(path)
        return Artifact(codec=self.name, digest=digest, objects={path.name: digest}, facts=facts)

    def load(self, artifact: Artifact, store: Store) -> object:
        """Return a read-only local copy."""
        if artifact.facts["is_folder"]:
            path = materialise(artifact, store)
        else:
            path = store.objects.path(next(iter(artifact.objects.values())))
        return File(path) if artifact.facts["kind"] == "File" else path


class NumpyCodec:
    """NumPy arrays as npy, read back by memory map."""

    name = "numpy"

    def takes(self, value: object) -> bool:
        """Take arrays without Python objects in them."""
        numpy = sys.modules.get("numpy")
        return numpy is not None and isinstance(value, numpy.ndarray) and not value.dtype.hasobject

    def dump(self, value: Any, store: Store) -> Artifact:  # noqa: ANN401 - an array
        """Write npy."""
        import numpy as np

        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        digest = store.put(buffer.getvalue())
        return Artifact(codec=self.name, digest=digest, objects={"array.npy": digest})

    def load(self, artifact: Artifact, store: Store) -> object:
        """Map the file; pages are read when they are used."""
        import numpy as np

        path = store.objects.path(artifact.objects["array.npy"])
        return np.load(path, mmap_mode="r", allow_pickle=False)


class FrameCodec:
    """pandas and Polars frames and Arrow tables as Parquet."""

    name = "parquet"

    def takes(self, value: object) -> bool:
        """Take a frame of a library that is loaded already."""
        return _frame_kind(value) is not None

    def dump(self, value: Any, store: Store) -> Artifact:  # noqa: ANN401 - a frame
        """Write Parquet with the library's own type facts."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        kind = _frame_kind(value)
        table = value if kind == "arrow" else pa.Table.from_pandas(value) if kind == "pandas" else value.to_arrow()
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        digest = store.put(sink.getvalue().to_pybytes())
        return Artifact(codec=self.name, digest=digest, objects={"rows.parquet": digest}, facts={"kind": kind})

    def load(self, artifact: Artifact, store: Store) -> object:
        """Read the frame in the library it came from."""
        import pyarrow.parquet as pq

        table = pq.read_table(store.objects.path(artifact.objects["rows.parquet"]), memory_map=True)
        match artifact.facts["kind"]:
            case "pandas":
                return table.to_pandas()
            case "polars":
                return importlib.import_module("polars").from_arrow(table)
            case _:
                return table


class OfferedCodec:
    """Objects that write themselves: `__everloop_artifact__() -> bytes | Path` and the classmethod `__everloop_load__`."""

    name = "offered"

    def takes(self, value: object) -> bool:
        """Take instances of classes with both methods."""
        kind = type(value)
        return hasattr(kind, "__everloop_artifact__") and hasattr(kind, "__everloop_load__")

    def dump(self, value: Any, store: Store) -> Artifact:  # noqa: ANN401 - what `takes` accepted
        """Store the bytes, the file or the folder that the object gives."""
        content = value.__everloop_artifact__()
        facts: dict[str, Any] = {"type": type_name(type(value)), "is_folder": False}
        if isinstance(content, Path) and content.is_dir():
            return folder_artifact(self.name, content, store, {**facts, "is_folder": True})
        digest = store.put(content)
        is_file = isinstance(content, Path)
        return Artifact(codec=self.name, digest=digest, objects={"content": digest}, facts={**facts, "is_file": is_file})

    def load(self, artifact: Artifact, store: Store) -> object:
        """Let the class read what it wrote."""
        kind: Any = find_type(artifact.facts["type"])
        if artifact.facts["is_folder"]:
            return kind.__everloop_load__(materialise(artifact, store))
        digest = artifact.objects["content"]
        content = store.objects.path(digest) if artifact.facts.get("is_file") else store.objects.get(digest)
        return kind.__everloop_load__(content)


class PickleCodec:
    """The last resort: values only this Python and these package versions can read. Marked, and warned about."""

    name = "pickle"

    def takes(self, value: object) -> bool:
        """Take anything."""
        del value
        return True

    def dump(self, value: object, store: Store) -> Artifact:
        """Pickle."""
        content = pickle.dumps(value, protocol=5)
        digest = store.put(content)
        return Artifact(codec=self.name, digest=digest, objects={"pickle": digest}, facts={"type": type_name(type(value))})

    def load(self, artifact: Artifact, store: Store) -> object:
        """Unpickle: only what a step of this home wrote comes here."""
        return pickle.loads(store.objects.get(artifact.objects["pickle"]))  # noqa: S301 - written by our own steps


CODECS: list[Codec] = [
    JsonCodec(), TableCodec(), BytesCodec(), FileCodec(), OfferedCodec(), RecordCodec(), NumpyCodec(), FrameCodec(), PickleCodec(),
]  # fmt: skip
_BY_NAME: dict[str, Codec] = {codec.name: codec for codec in CODECS}


def register(codec: Codec) -> None:
    """Add a codec before the general ones; a codec of the same name is replaced."""
    CODECS[:] = [codec, *(known for known in CODECS if known.name != codec.name)]
    _BY_NAME[codec.name] = codec


def folder_artifact(codec: str, folder: Path, store: Store, facts: dict[str, Any]) -> Artifact:
    """Store every file of a folder; the digest is that of the list of names and digests."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    objects = {path.relative_to(folder).as_posix(): store.put(path) for path in files}
    return Artifact(codec=codec, digest=digest_value(objects), objects=objects, facts=facts)


def materialise(artifact: Artifact, store: Store) -> Path:
    """Return a local folder with the files of an artifact, made once."""
    target = store.folder / artifact.digest.removeprefix("b3:")
    if target.is_dir():
        return target
    partial = store.folder / f".{new_id()}"
    for name, digest in artifact.objects.items():
        file = partial / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(store.objects.get(digest))
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():  # another process was first otherwise
            raise
    return target


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




def _dump_json(codec: str, text: bytes, store: Store, facts: dict[str, Any]) -> Artifact:
    digest = digest_bytes(canonical_json(facts) + text) if facts else digest_bytes(text)
    if len(text) <= INLINE_BYTES:
        return Artifact(codec=codec, digest=digest, inline=text.decode(), facts=facts)
    return Artifact(codec=codec, digest=digest, objects={"value.json": store.put(text)}, facts=facts)


def _json_text(artifact: Artifact, store: Store) -> bytes:
    if artifact.inline is not None:
        return artifact.inline.encode()
    return store.objects.get(artifact.objects["value.json"])


def _is_exact_json(value: object) -> bool:
    kind = type(value)
    if kind in {bool, int, str} or value is None:
        return True
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type] # a float, just asked
    if kind is list:
        return all(_is_exact_json(item) for item in value)  # type: ignore[attr-defined] # a list, just asked
    return kind is dict and all(type(key) is str and _is_exact_json(item) for key, item in value.items())  # type: ignore[attr-defined] # a dict


def _frame_kind(value: object) -> str | None:
    root = type(value).__module__.split(".")[0]
    names = {("pyarrow", "Table"): "arrow", ("pandas", "DataFrame"): "pandas", ("polars", "DataFrame"): "polars"}
    return names.get((root, type(value).__name__))
