"""Codecs of files and folders, and of objects that write themselves. Tests: tests/unit/pipelines/test_artifacts.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.core.digests import digest_value
from everloop.core.ids import new_id
from everloop.pipelines.codecs.protocol import UnstorableValueError, find_type, type_name
from everloop.pipelines.inputs import File
from everloop.pipelines.records import Artifact

if TYPE_CHECKING:
    from everloop.pipelines.codecs.protocol import Store


class FileCodec:
    """`File` inputs, and a `Path` that a step returns: a file or a folder."""

    name = "file"

    def takes(self, value: object) -> bool:
        """Take File and Path."""
        return isinstance(value, File | Path)

    def dump(self, value: File | Path, store: Store) -> Artifact:
        """Store the file, or every file of the folder."""
        path = value.path if isinstance(value, File) else value
        facts: dict[str, Any] = {
            "kind": "File" if isinstance(value, File) else "Path",
            "is_folder": path.is_dir(),
        }
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
        return Artifact(
            codec=self.name, digest=digest, objects={"content": digest}, facts={**facts, "is_file": is_file}
        )

    def load(self, artifact: Artifact, store: Store) -> object:
        """Let the class read what it wrote."""
        kind: Any = find_type(artifact.facts["type"])
        if artifact.facts["is_folder"]:
            return kind.__everloop_load__(materialise(artifact, store))
        digest = artifact.objects["content"]
        content = store.objects.path(digest) if artifact.facts.get("is_file") else store.objects.get(digest)
        return kind.__everloop_load__(content)


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
