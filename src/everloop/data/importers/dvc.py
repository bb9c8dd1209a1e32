"""A DVC repository on disk: each git tag is a version, whose files are in DVC's local cache.

Reads `.dvc` files, `dvc.lock` (stages) and `dvc.yaml` (their folders) of each tag, and `.dvc/config` for the place
of the cache; both layouts of the cache, that of DVC 3 (`files/md5`) and the older one. DVC itself is not needed,
PyYAML is (the extra `dvc`).
"""

from __future__ import annotations

import configparser
import json
import posixpath
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.core.errors import MissingExtraError
from everloop.data.importers.errors import (
    MissingContentError,
    NoRepositoryError,
    UnreadableHistoryError,
    UnsafePathError,
    UnsupportedFeatureError,
)
from everloop.data.importers.git import Ref, Refs, Repository
from everloop.data.importers.records import ImportedFile, ImportedVersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_FOLDER_MARK = ".dir"
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
# Where objects are in the cache by the hash that an output names; none is the layout before DVC 3.
_LAYOUTS = {"md5": "files/md5", None: ""}


def read_dvc(
    folder: str | Path, *, refs: Refs = "tags", paths: Sequence[str] = ()
) -> Iterator[ImportedVersion]:
    """Yield the versions of a DVC repository, oldest first.

    A version whose tag has no tracked files is left out. Outputs that git itself keeps (`cache: false`) are no
    files of a version.

    Args:
        folder: with the `.dvc` folder in it.
        refs: what becomes a version: each tag, or the head of each branch.
        paths: files and folders to import; all when empty.

    Raises:
        NoRepositoryError: there is no DVC repository.
        MissingContentError: a file of a version is not in the cache; `dvc fetch` brings it.
        UnreadableHistoryError, UnsupportedFeatureError, UnsafePathError: as named.
        MissingExtraError: PyYAML or git is not installed.
    """
    root = Path(folder)
    if not (root / ".dvc").is_dir():
        raise NoRepositoryError(
            f"{root} is no DVC repository: it has no folder .dvc. Give the folder where `dvc init` ran.",
            subject=str(root),
        )
    _yaml()
    repository = Repository(root)
    store = _Cache(cache_folder(root))
    for ref in repository.refs(refs):
        version = _version(repository, store, ref, paths)
        if version.files:
            yield version


def cache_folder(root: Path) -> Path:
    """Return where the repository's configuration puts the cache; `config.local` wins."""
    place = root / ".dvc"
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read([place / "config", place / "config.local"], encoding="utf-8")
    except configparser.Error as error:
        raise UnreadableHistoryError(
            f"{place}/config cannot be read: {error}. Mend it.", subject=str(place)
        ) from error
    chosen = parser.get("cache", "dir", fallback="cache").strip("\"'")
    return place / chosen


class _Cache:
    """DVC's local cache, read only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.listing = cache(self._listing)

    def path(self, md5: str, layout: str) -> Path:
        """Return where an object lies; its name is checked, so that none leads out of the cache."""
        if not _MD5.fullmatch(md5):
            raise UnreadableHistoryError(
                f"{md5!r} is no md5 of DVC. Mend the file that names it.", subject=md5
            )
        return self._folder / layout / md5[:2] / md5[2:]

    def _listing(self, md5: str, layout: str) -> list[dict[str, Any]]:
        """Return the files of a folder object."""
        path = self.path(md5, layout)
        try:
            entries: list[dict[str, Any]] = json.loads(path.read_bytes())
        except FileNotFoundError as error:
            raise _missing([path.as_posix()], "its cache") from error
        except ValueError as error:
            raise UnreadableHistoryError(
                f"the folder object {path} is damaged: {error}. Delete it and run `dvc fetch`.",
                subject=str(path),
            ) from error
        return entries


def _version(repository: Repository, store: _Cache, ref: Ref, paths: Sequence[str]) -> ImportedVersion:
    in_git, contents = repository.files(ref.commit, _is_dvc_file)
    files: dict[str, ImportedFile] = {}
    for output, folder in _outputs(contents):
        for file in _files(store, output, folder):
            if file.path not in in_git and _is_chosen(file.path, paths):
                files[file.path] = file
    absent = [file.path for file in files.values() if not Path(file.location).is_file()]
    if absent:
        raise _missing(sorted(absent), f"{ref.name}")
    return ImportedVersion(
        name=ref.name,
        source=ref.commit,
        message=ref.message,
        author=ref.author,
        time=ref.time,
        files=tuple(files[path] for path in sorted(files)),
    )


def _is_dvc_file(path: str) -> bool:
    name = posixpath.basename(path)
    return (name.endswith(".dvc") and name != ".dvc") or name in {"dvc.lock", "dvc.yaml"}


def _is_chosen(path: str, paths: Sequence[str]) -> bool:
    return not paths or any(path == chosen or path.startswith(chosen.rstrip("/") + "/") for chosen in paths)


def _outputs(contents: Mapping[str, bytes]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each output with the folder that its path is relative to."""
    for path, content in contents.items():
        folder, name = posixpath.split(path)
        if name == "dvc.yaml":
            continue
        document = _parse(path, content)
        if name == "dvc.lock":
            folders = _stage_folders(contents.get(posixpath.join(folder, "dvc.yaml")))
            for stage, body in (document.get("stages") or {}).items():
                # A stage of a template is named `stage@item` in the lock.
                inner = folders.get(stage, folders.get(stage.partition("@")[0], ""))
                yield from ((output, posixpath.join(folder, inner)) for output in body.get("outs") or [])
        else:
            inner = document.get("wdir") or ""
            yield from ((output, posixpath.join(folder, inner)) for output in document.get("outs") or [])


def _stage_folders(content: bytes | None) -> dict[str, str]:
    stages = _parse("dvc.yaml", content).get("stages") if content else None
    return {name: (body or {}).get("wdir") or "" for name, body in (stages or {}).items()}


def _files(store: _Cache, output: Mapping[str, Any], folder: str) -> Iterator[ImportedFile]:
    path = _inside(folder, str(output.get("path", "")))
    md5 = output.get("md5")
    if output.get("files"):
        yield from _members(store, path, output["files"], _LAYOUTS["md5"])
        return
    if not isinstance(md5, str) or output.get("hash") not in _LAYOUTS:
        raise UnsupportedFeatureError(
            f"the output {path} has no md5, so it is not in DVC's cache. Leave it out with paths=, or import the others.",
            subject=path,
        )
    layout = _LAYOUTS[output.get("hash")]
    if md5.endswith(_FOLDER_MARK):
        yield from _members(store, path, store.listing(md5, layout), layout)
    else:
        yield _file(store, path, md5, layout, output.get("size"))


def _members(
    store: _Cache, path: str, entries: Sequence[Mapping[str, Any]], layout: str
) -> Iterator[ImportedFile]:
    for entry in entries:
        yield _file(store, _inside(path, entry["relpath"]), entry["md5"], layout, entry.get("size"))


def _file(store: _Cache, path: str, md5: str, layout: str, size: int | None) -> ImportedFile:
    location = store.path(md5, layout).as_posix()
    # Before DVC 3 the md5 of a text was taken with Unix line ends, so it need not be that of the bytes.
    kind = "md5" if layout else "md5-dos2unix"
    return ImportedFile(path=path, location=location, size_bytes=size, checksum=f"{kind}:{md5}")


def _inside(folder: str, path: str) -> str:
    """Return a path of the repository; refuse one that leaves it, as outputs outside of it do."""
    found = posixpath.normpath(posixpath.join(folder, path))
    if "://" in path or found.startswith(("/", "../")) or found in {"..", "."}:
        raise UnsafePathError(
            f"the output {path or '(without a path)'} lies outside of the repository. Bring it inside, or add it as a source of its own.",
            subject=path,
        )
    return found


def _missing(paths: Sequence[str], place: str) -> MissingContentError:
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return MissingContentError(
        f"{paths[0]}{more} of {place} is not in the local cache of DVC. "
        "Run `dvc fetch --all-tags` in the repository, then import again.",
        subject=paths[0],
        details={"missing": list(paths[:100])},
    )


def _parse(path: str, content: bytes) -> dict[str, Any]:
    yaml = _yaml()
    try:
        document = yaml.safe_load(content)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnreadableHistoryError(f"{path} is no YAML: {error}. Mend it in git.", subject=path) from error
    if not isinstance(document, dict | None):
        raise UnreadableHistoryError(f"{path} has no fields. Mend it in git.", subject=path)
    return document or {}


def _yaml() -> Any:  # noqa: ANN401 - a module
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            'DVC\'s files are YAML, whose reader is not installed. Run: pip install "everloop[dvc]"'
        ) from error
    return yaml
