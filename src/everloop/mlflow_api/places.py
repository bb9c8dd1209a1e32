"""Where artifacts lie: a path names a run's artifact, one of a model, or one of a place that a client chose.

A path is a key of a table and never reaches a file system. It is refused when any decoding of it, however often, would leave its folder.
Tests: tests/unit/mlflow_api/test_places.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from everloop.core.digests import Digest
from everloop.mlflow_api import queries
from everloop.mlflow_api.errors import BadParameterError, NothingThereError
from everloop.mlflow_api.queries import Stored
from everloop.mlflow_api.runs import active, missing
from everloop.tracking import queries as tracking
from everloop.tracking.naming import check_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa

    from everloop.app import App

# Below this lie the files of registered versions: REGISTRY/NAME/VERSION/path. They are read, never written.
REGISTRY = "everloop-registry"
_MOST_DECODINGS = 8
_RUN_PARTS = 3


class Place(NamedTuple):
    """A path, taken apart: the run it belongs to (empty for others) and the name there."""

    run: str
    name: str


class Listed(NamedTuple):
    """A file or a folder in a folder; `path` is its last part."""

    path: str
    is_dir: bool
    size_bytes: int


def clean(path: str) -> str:
    """Return a path that stays below its folder, without a slash at its end.

    Raises:
        BadParameterError: it, or a decoding of it, would not.
    """
    seen = path
    for _ in range(_MOST_DECODINGS):
        if not _stays_below(seen):
            raise BadParameterError(f"Invalid path: {path[:200]!r}")
        again = unquote(seen)
        if again == seen:
            return path.rstrip("/")
        seen = again
    raise BadParameterError(f"Invalid path: {path[:200]!r}")


def _stays_below(path: str) -> bool:
    if path.startswith(("/", "~")) or any(not one.isprintable() or one in "\\#" for one in path):
        return False
    parts = path.rstrip("/").split("/") if path else []
    if parts and parts[0].endswith(":"):
        return False
    return all(part.partition(";")[0].strip(". ") for part in parts) or not parts


def split(path: str) -> Place:
    """Return what a clean path names."""
    parts = path.split("/")
    if len(parts) >= _RUN_PARTS and parts[2] == "artifacts" and parts[1] not in ("models", "traces"):
        return Place(parts[1], "/".join(parts[_RUN_PARTS:]))
    return Place("", path)


def find(app: App, path: str) -> Stored:
    """Return one artifact.

    Raises:
        NothingThereError: there is none.
    """
    place = split(path)
    if is_registered(path):
        files, name = _version_files(app, path)
        if name not in files:
            raise NothingThereError(f"No such artifact: '{path}'")
        return Stored(name, files[name], app.kernel.objects.size(Digest(files[name])))
    with app.kernel.catalog.read() as connection:
        if place.run:
            number = _number(connection, place.run)
            found = queries.run_artifact_named(connection, number, place.name)
        else:
            found = queries.free_artifact_named(connection, place.name)
    if found is None:
        raise NothingThereError(f"No such artifact: '{path}'")
    return found


def below(app: App, path: str) -> list[Stored]:
    """Return the artifacts below a folder, with their paths from there; that of the folder's own name has an empty path."""
    if is_registered(path):
        return _registered(app, path)
    place = split(path)
    with app.kernel.catalog.read() as connection:
        if place.run:
            return queries.run_artifacts(connection, _number(connection, place.run), place.name)
        return queries.free_artifacts(connection, place.name)


def is_registered(path: str) -> bool:
    """Say whether a path is one of a registered version."""
    return path == REGISTRY or path.startswith(REGISTRY + "/")


def _registered(app: App, path: str) -> list[Stored]:
    files, folder = _version_files(app, path)
    start = f"{folder}/" if folder else ""
    return [
        Stored(one.removeprefix(start), digest, app.kernel.objects.size(Digest(digest)))
        for one, digest in files.items()
        if one.startswith(start)
    ]


def _version_files(app: App, path: str) -> tuple[dict[str, str], str]:
    """Return the files of the version that a path names, and what of the path is below it."""
    name, _, rest = path.removeprefix(REGISTRY).removeprefix("/").partition("/")
    version, _, below_it = rest.partition("/")
    return app.registry.find(name, version).files, below_it


def list_folder(found: Iterable[Stored]) -> list[Listed]:
    """Return what lies directly in a folder, by name."""
    listed: dict[str, Listed] = {}
    for one in found:
        head, slash, _ = one.path.partition("/")
        if head:
            listed[head] = Listed(head, bool(slash), 0 if slash else one.size_bytes)
    return [listed[name] for name in sorted(listed)]


def as_document(one: Listed, before: str) -> dict[str, object]:
    """Return a file or folder as MLflow writes it; `before` goes in front of its path."""
    known: dict[str, object] = {"path": before + one.path, "is_dir": one.is_dir}
    return known if one.is_dir else known | {"file_size": one.size_bytes}


def admit(app: App, path: str) -> None:
    """Refuse a path at which nothing can be kept, before its bytes are received.

    Raises:
        BadParameterError, NothingThereError: it is no name, or its run is deleted or not there.
    """
    _refuse_registered(path)
    place = split(path)
    if not place.name:
        raise BadParameterError("Invalid path: it names no file.")
    check_names([place.name.rsplit("/", 1)[-1]] if not place.run else [place.name])
    if place.run:
        with app.kernel.catalog.read() as connection:
            is_deleted = queries.is_deleted(connection, place.run)
        if is_deleted is None:
            raise missing(place.run)
        if is_deleted:
            raise BadParameterError(
                f"The run {place.run} must be in the 'active' state. Current state is deleted."
            )


def keep(app: App, path: str, digest: Digest, size: int) -> None:
    """Keep an object as an artifact; the same path again replaces it."""
    place = split(path)
    with app.kernel.catalog.transaction() as connection:
        if place.run:
            app.tracking.record_artifact(place.run, name=place.name, digest=digest, size_bytes=size)
        else:
            queries.put_free_artifact(connection, place.name, digest, size, app.kernel.clock.now())


def remove(app: App, path: str) -> None:
    """Remove an artifact, or a folder of them; what is not there is no error."""
    _refuse_registered(path)
    place = split(path)
    with app.kernel.catalog.transaction() as connection:
        if place.run:
            row = active(connection, place.run)
            found = queries.run_artifacts(connection, row.number, place.name)
            names = [_joined(place.name, one.path) for one in found]
            queries.remove_run_artifacts(connection, row.number, names)
            if names:
                app.kernel.events.append(
                    connection,
                    kind="run.artifact_removed",
                    subject=f"run:{place.run}",
                    payload={"name": place.name, "artifacts": len(names)},
                )
        else:
            found = queries.free_artifacts(connection, place.name)
            queries.remove_free_artifacts(connection, [_joined(place.name, one.path) for one in found])


def _refuse_registered(path: str) -> None:
    if is_registered(path):
        raise BadParameterError(
            f"Invalid path: '{path}' is of a registered version, which never changes. Register another."
        )


def _joined(folder: str, path: str) -> str:
    return "/".join(part for part in (folder, path) if part)


def _number(connection: sa.Connection, run_id: str) -> int:
    number = tracking.number_of(connection, run_id)
    if number is None:
        raise missing(run_id)
    return number
