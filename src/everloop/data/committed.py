"""Writing a version inside the transaction of its verb. Tests: tests/unit/data/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.actors import current_actor
from everloop.core.digests import Digest
from everloop.core.errors import ConflictError
from everloop.data import queries, rules
from everloop.data.commits import commit_of, name_of
from everloop.data.manifests import decode_manifest, encode_manifest, named_objects
from everloop.data.records import Commit, DatasetVersion, Operation, Ref, Shape, TableReference
from everloop.data.retention import queries as retention
from everloop.data.retention.records import Quota
from everloop.data.retention.rules import judge_quota

if TYPE_CHECKING:
    import sqlalchemy as sa

    from everloop.data.files.records import TreeReference
    from everloop.kernel.objects import ObjectStore
    from everloop.kernel.operations import Kernel


class ShapeError(ConflictError):
    """A dataset of files was used as a table, or the reverse."""

    code = "data.shape"


class QuotaError(ConflictError):
    """A version would take more stored bytes than the quota of its dataset, or of all together, allows."""

    code = "data.quota"
    status = 507


class VersionMovedError(ConflictError):
    """Another version was added to the branch since the parent was read."""

    code = "data.version-moved"


def refuse_moved(connection: sa.Connection, dataset: str, branch: str, parent: int) -> None:
    """Hold the dataset's row, and refuse a parent that is no longer the branch's latest version.

    Raises:
        VersionMovedError: as named.
        RefNotFoundError: the dataset has versions and no such branch.
    """
    latest = queries.latest_number(connection, dataset, lock=True)
    head = queries.head_number(connection, dataset, branch)
    if latest and not head:
        # Raises with the branches there are.
        queries.find_row(connection, rules.Reference(dataset=dataset, ref=branch), None)
    if head != parent:
        raise VersionMovedError(
            f"dataset {dataset} has moved to version {head} on {branch} since version {parent} was read. Add the rows again; "
            f"`everloop data diff {dataset}@v{parent} {dataset}@{branch}` shows what came between."
            if parent
            else f"dataset {dataset} has come into being, at version {head}, since it was read. Add the rows again.",
            subject=f"dataset:{dataset}",
        )


def refuse_other_shape(connection: sa.Connection, dataset: str, shape: Shape) -> None:
    """Refuse a table for a dataset of files, and the reverse.

    Raises:
        ShapeError: as named.
    """
    if not queries.latest_number(connection, dataset):
        return
    found = queries.find_dataset(connection, dataset).shape
    if found != shape:
        other = "`add`" if found == "table" else "`add_files` (everloop data add-files)"
        raise ShapeError(
            f"dataset {dataset} holds {'a table' if found == 'table' else 'files'}. Use {other} for it, or another name.",
            subject=f"dataset:{dataset}",
        )


def same_content(
    connection: sa.Connection, dataset: str, number: int, content: TableReference | TreeReference
) -> DatasetVersion | None:
    """Return the version when it has this very content."""
    if not number:
        return None
    row = queries.find_row(connection, rules.Reference(dataset=dataset, version=number), None)
    return queries.version_of(row) if row.digest == content.digest else None


def write_version(
    kernel: Kernel,
    connection: sa.Connection,
    dataset: str,
    content: TableReference,
    *,
    parent: int,
    branch: str,
    operation: Operation,
    **fields: Any,  # noqa: ANN401 - further fields of DatasetVersion
) -> DatasetVersion:
    """Write a version of a table and move its branch."""
    store = store_of(kernel)
    manifest = store.put(encode_manifest(content))
    store.keep(connection, {manifest, *named_objects(content)})
    facts = {
        "digest": content.digest,
        "manifest": manifest,
        "rows": content.rows,
        "size_bytes": content.size_bytes,
        "stored_bytes": _new_bytes(store, connection, dataset, parent, content),
        "columns": content.columns,
    }
    version = _write(
        kernel, connection, dataset, parent=parent, branch=branch, operation=operation, **facts, **fields
    )
    move_branch(kernel, connection, dataset, branch, version.version)
    return version


def write_tree_version(
    kernel: Kernel,
    connection: sa.Connection,
    dataset: str,
    tree: TreeReference,
    *,
    parent: int,
    branch: str,
    **fields: Any,  # noqa: ANN401 - further fields of DatasetVersion
) -> DatasetVersion:
    """Write a version of files and move its branch."""
    facts = {
        "shape": "files",
        "digest": tree.digest,
        "manifest": tree.manifest,
        "rows": 0,
        "files": tree.files,
        "size_bytes": tree.size_bytes,
        "stored_bytes": tree.stored_bytes,
        "columns": [],
    }
    version = _write(kernel, connection, dataset, parent=parent, branch=branch, **facts, **fields)
    move_branch(kernel, connection, dataset, branch, version.version)
    return version


def facts_of(version: DatasetVersion) -> dict[str, object]:
    """Return what the event of a version says."""
    return {
        "digest": version.digest,
        "manifest": version.manifest,
        "rows": version.rows,
        "branch": version.branch,
        "parent": version.parent,
        "message": version.message,
    }


def store_of(kernel: Kernel) -> ObjectStore:
    """Return the whole store: where the catalog is, the store is more than `Objects`."""
    return kernel.objects  # type: ignore[return-value]


def move_branch(kernel: Kernel, connection: sa.Connection, dataset: str, branch: str, number: int) -> None:
    """Move a branch to a version, making it if it is not there."""
    now, actor = kernel.clock.now(), current_actor().name
    moved = Ref(dataset=dataset, name=branch, kind="branch", version=number, moved_at=now, moved_by=actor)
    queries.set_ref(connection, moved)


def _write(
    kernel: Kernel,
    connection: sa.Connection,
    dataset: str,
    *,
    parent: int,
    branch: str,
    **fields: Any,  # noqa: ANN401
) -> DatasetVersion:
    now, actor = kernel.clock.now(), current_actor().name
    unnamed = DatasetVersion(
        dataset=dataset,
        version=queries.latest_number(connection, dataset) + 1,
        commit="",
        branch=branch,
        parent=parent,
        **{"message": "", "event_time": "", "created_at": now, "created_by": actor, **fields},
    )
    parents = queries.commits_of(connection, dataset, [unnamed.parent, unnamed.merged])
    version = msgspec.structs.replace(unnamed, commit=name_of(commit_of(unnamed, parents)))
    _apply_quotas(kernel, connection, version)
    queries.insert_version(connection, version)
    return version


def _apply_quotas(kernel: Kernel, connection: sa.Connection, version: DatasetVersion) -> None:
    """Refuse a version that passes a quota; say so when it passes the level to warn at."""
    for name in (version.dataset, retention.EVERY):
        quota = retention.find_quota(connection, name)
        if quota == Quota():
            continue
        used = retention.used_bytes(connection, name)
        facts = {"used_bytes": used, "added_bytes": version.stored_bytes, **msgspec.to_builtins(quota)}
        verdict = judge_quota(quota, used=used, added=version.stored_bytes)
        which = "all datasets together" if name == retention.EVERY else f"dataset {name}"
        if verdict == "refuse":
            raise QuotaError(
                f"{which} would take {used + version.stored_bytes:,} stored bytes, more than the quota of {quota.refuse_bytes:,}. Let "
                f"versions go (`everloop data retention-plan`, `everloop data delete`, then `everloop gc`), or raise it: `everloop data "
                f"quota '{name}' --refuse SIZE`.",
                subject=f"dataset:{name}",
                details=facts,
            )
        if verdict == "warn":
            kernel.events.append(
                connection, kind="dataset.quota_passed", subject=f"dataset:{name}", payload=facts
            )


def _new_bytes(
    store: ObjectStore, connection: sa.Connection, dataset: str, parent: int, content: TableReference
) -> int:
    """Return the bytes of the objects that the parent does not have."""
    known: set[Digest] = set()
    if parent:
        row = queries.find_row(connection, rules.Reference(dataset=dataset, version=parent), None)
        known = named_objects(decode_manifest(store.get(Digest(row.manifest))))
    sizes = {Digest(part.digest): part.size_bytes for part in content.parts}
    fresh = named_objects(msgspec.structs.replace(content, name="")) - known
    return sum(sizes[digest] if digest in sizes else store.size(digest) for digest in fresh)


def write_pulled(
    kernel: Kernel, connection: sa.Connection, dataset: str, commit: Commit, *, branch: str
) -> DatasetVersion:
    """Write a version that was made elsewhere; its parents are here, and its objects are in the store."""
    known = queries.number_of(connection, dataset, name_of(commit))
    if known:
        # It was purged here; now its objects are back.
        retention.take_out(connection, dataset, known)
        return queries.version_of(queries.kept_row(connection, dataset, known))
    parents = [queries.number_of(connection, dataset, parent) for parent in commit.parents] + [0, 0]
    facts = {name: getattr(commit, name) for name in commit.__struct_fields__ if name != "parents"}
    return _write(kernel, connection, dataset, parent=parents[0], merged=parents[1], branch=branch, **facts)
