"""The verbs of datasets of files. Tests: tests/unit/data/test_filing.py."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.core.digests import Digest
from everloop.data import committed, queries, rules
from everloop.data.files.records import TreeDiff, TreeReference
from everloop.data.records import DatasetVersion, Merge, MergeConflict, Operation
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from everloop.data.files.index import WorkspaceIndex
    from everloop.data.files.records import Checkout, Conflict, FileEntry, FolderStatus
    from everloop.data.files.storing import Stored
    from everloop.data.merging import Prefer

    Told = Callable[[int, int], None]

_SAMPLE = 20


class Filing(Service):
    """Folders of any files as versions: stored once, compared by shards, written back in whole or in part."""

    def add_files(
        self,
        name: str,
        folder: str | Path,
        *,
        message: str = "",
        branch: str = rules.MAIN,
        run: str = "",
        told: Told | None = None,
    ) -> DatasetVersion:
        """Add the files of a folder as a version; files that did not change since the last time are not read.

        The same files as the branch's latest version make no new one.

        Args:
            name: of the dataset.
            folder: what to add; `.git`, `.everloop` and `.dvc` in it are left out.
            message: why, for people.
            branch: where the version is added.
            run: id of the run that adds it.
            told: called with files and bytes read so far.

        Raises:
            FolderNotFoundError, UnsupportedFileError, ChangingFileError: as named; no version was made.
            ShapeError: the dataset is a table.
            VersionMovedError: another version was added meanwhile.
        """
        from everloop.data.files.storing import store_folder

        def store(before: TreeReference | None) -> Stored:
            objects, index = self.kernel.objects, self._index()
            return store_folder(Path(folder), objects, index, parent=before, told=told)

        return self._add_tree(name, store, message=message, branch=branch, run=run)

    def link_files(
        self, name: str, folder: str | Path, *, message: str = "", branch: str = rules.MAIN, run: str = ""
    ) -> DatasetVersion:
        """Add the files of a folder without copying them: new ones are hashed and stay where they lie.

        A file that is edited in place later can no longer be read from the version; the error then names it. Where the home is
        on another machine there is nothing to link to.

        Raises:
            CannotLinkError: the store is a bucket, or belongs to a server.
            See `add_files` for the others.
        """
        from everloop.data.files.storing import store_folder
        from everloop.kernel.objects.links import CannotLinkError

        if self.kernel.is_remote:
            raise CannotLinkError(
                f"{folder} cannot be linked: the objects are kept by the server at {self.kernel.settings.url}. Add the files instead.",
                subject=str(folder),
            )
        link = committed.store_of(self.kernel).link

        def store(before: TreeReference | None) -> Stored:
            objects, index = self.kernel.objects, self._index()
            return store_folder(Path(folder), objects, index, parent=before, link=link)

        return self._add_tree(name, store, message=message, branch=branch, run=run)

    def status(self, ref: str, folder: str | Path) -> FolderStatus:
        """Return how a folder differs from a version of files, and which linked files of the version changed where they lie."""
        from everloop.data.files.status import changed_originals, folder_status

        tree = self.tree(ref)
        found = folder_status(tree, Path(folder), self.kernel.objects, self._index())
        if self.kernel.is_remote:
            # What a server has linked lies on its machine.
            return found
        changed = changed_originals(tree, committed.store_of(self.kernel))
        return msgspec.structs.replace(found, changed_originals=changed)

    def checkout(
        self, ref: str, folder: str | Path, *, paths: Sequence[str] = (), told: Told | None = None
    ) -> Checkout:
        """Bring the files of a version into a folder, all or those whose paths match; other files there stay.

        Raises:
            LocalChangesError: a file in the way holds bytes of no version; nothing was written.
            UnsafePathError: a path leads out of the folder.
        """
        from everloop.data.files.checkout import checkout

        tree = self.tree(ref)
        return checkout(tree, Path(folder), self.kernel.objects, self._index(), paths=paths, told=told)

    @operation("GET /dataset-versions/{ref}/tree", needs="dataset.read", cli="data checkout")
    def tree(self, ref: str) -> TreeReference:
        """Return the stored tree of a version of files.

        Raises:
            ShapeError: the dataset is a table.
        """
        with self.kernel.catalog.read() as connection:
            row = queries.find_row(connection, rules.parse_reference(ref), None)
            committed.refuse_other_shape(connection, row.dataset, "files")
        return TreeReference(
            digest=row.digest, manifest=row.manifest, files=row.files, size_bytes=row.size_bytes
        )

    @operation(
        "GET /datasets/{dataset}/tree-heads",
        needs="dataset.read",
        cli=None,
        cli_reason="asked by `data add-files`",
    )
    def tree_head(self, dataset: str, *, branch: str = rules.MAIN) -> tuple[int, TreeReference | None]:
        """Return the number and the tree of the latest version of a branch; 0 and None for a dataset to be made."""
        with self.kernel.catalog.read() as connection:
            if not queries.latest_number(connection, dataset):
                return 0, None
            reference = rules.Reference(dataset=dataset, ref=rules.parse_ref_name(branch))
            row = queries.find_row(connection, reference, None)
        return row.version, self.tree(f"{dataset}@v{row.version}")

    @operation(
        "POST /datasets/{dataset}/trees",
        needs="dataset.write",
        emits="dataset.versioned",
        cli="data add-files",
    )
    def commit_tree(  # noqa: PLR0913 - the fields of a version, by keyword
        self,
        dataset: str,
        *,
        tree: TreeReference,
        parent: int,
        merged: int = 0,
        borrowed: list[str] = [],  # noqa: B006 - never changed
        branch: str = rules.MAIN,
        operation: Operation = "add",
        message: str = "",
        run: str = "",
    ) -> DatasetVersion:
        """Make a stored tree the latest version of a branch; the operation's half of `add_files`.

        Args:
            dataset: its name.
            tree: shards and contents that are in the object store.
            parent: the branch's latest version the caller knows, 0 for none.
            merged: the version whose changes the tree holds too, 0 for none.
            borrowed: objects that were in the store before and that no version may need otherwise.
            branch: which branch moves.
            operation: how the tree came about.
            message: why, for people.
            run: id of the run that adds it, or empty.

        Raises:
            VersionMovedError: `parent` is no longer the branch's latest.
        """
        rules.parse_reference(dataset)
        rules.parse_ref_name(branch)
        with self.kernel.catalog.transaction() as connection:
            committed.refuse_moved(connection, dataset, branch, parent)
            committed.refuse_other_shape(connection, dataset, "files")
            known = committed.same_content(connection, dataset, parent, tree)
            if known is not None:
                self.unchanged()
                return msgspec.structs.replace(known, is_unchanged=True)
            store = committed.store_of(self.kernel)
            store.keep(connection, {Digest(tree.manifest), *map(Digest, borrowed)})
            version = committed.write_tree_version(
                self.kernel,
                connection,
                dataset,
                tree,
                parent=parent,
                merged=merged,
                branch=branch,
                operation=operation,
                message=message,
                run=run,
            )
            payload = {"digest": version.digest, "files": version.files, "branch": branch, "parent": parent}
            self.emit(connection, subject=f"dataset:{version.ref}", payload=payload)
            return version

    @operation("GET /dataset-file-diffs", needs="dataset.read", cli="data diff-files")
    def diff_files(self, old: str, new: str, *, limit: int = 1_000) -> TreeDiff:
        """Return which files were added, removed, changed and renamed between two versions, at most `limit` by name."""
        from everloop.data.files.diff import diff_trees

        return diff_trees(self.tree(old), self.tree(new), self.kernel.objects, limit=limit)

    def _revert_files(
        self, parent: DatasetVersion, chosen: DatasetVersion, *, branch: str, message: str
    ) -> DatasetVersion:
        return self.commit_tree(
            parent.dataset,
            tree=self.tree(chosen.ref),
            parent=parent.version,
            branch=branch,
            operation="revert",
            message=message,
        )

    def _merge_files(
        self,
        base: DatasetVersion,
        ours: DatasetVersion,
        theirs: DatasetVersion,
        *,
        into: str,
        prefer: Prefer,
        message: str,
    ) -> Merge:
        """Merge path by path; see `Data.merge`."""
        from everloop.data.files.merge import merge_trees
        from everloop.data.merging import MergeConflictError

        found = merge_trees(
            self.tree(base.ref),
            self.tree(ours.ref),
            self.tree(theirs.ref),
            self.kernel.objects,
            resolution=None if prefer == "none" else prefer,
        )
        sample = [_as_row(conflict) for conflict in found.conflicts[:_SAMPLE]]
        if found.reference is None:
            paths = ", ".join(conflict.path for conflict in found.conflicts[:3])
            raise MergeConflictError(
                f"{ours.ref} and {theirs.ref} changed {len(found.conflicts):,} files in different ways (the first: {paths}). Nothing was "
                'written. Mend the files on one side, or merge with prefer="ours" or prefer="theirs".',
                subject=f"dataset:{theirs.ref}",
                details={"conflicts": len(found.conflicts), "sample": msgspec.to_builtins(sample)},
            )
        version = self.commit_tree(
            ours.dataset,
            tree=found.reference,
            borrowed=found.borrowed,
            parent=ours.version,
            merged=theirs.version,
            branch=into,
            operation="merge",
            message=message,
        )
        return Merge(
            base=base.ref,
            ours=ours.ref,
            theirs=theirs.ref,
            version=version,
            changed=found.taken - found.removed,
            removed=found.removed,
            conflicts=len(found.conflicts),
            sample=sample,
        )

    def _add_tree(
        self,
        name: str,
        store: Callable[[TreeReference | None], Stored],
        *,
        message: str,
        branch: str,
        run: str,
    ) -> DatasetVersion:
        rules.parse_reference(name)
        parent, before = self.tree_head(name, branch=branch)
        found = store(before)
        return self.commit_tree(
            name,
            tree=found.reference,
            borrowed=[str(digest) for digest in found.borrowed],
            parent=parent,
            branch=branch,
            message=message,
            run=run,
        )

    def _index(self) -> WorkspaceIndex:
        from everloop.data.files.index import WorkspaceIndex

        return WorkspaceIndex(self.kernel.home / "cache" / "workspace")


def _as_row(conflict: Conflict) -> MergeConflict:
    def side(entry: FileEntry | None) -> dict[str, str | int | float | bool | None] | None:
        return None if entry is None else {"digest": entry.digest, "size_bytes": entry.size_bytes}

    key: dict[str, str | int | float | bool | None] = {"path": conflict.path, "kind": conflict.kind}
    return MergeConflict(key=key, ours=side(conflict.ours), theirs=side(conflict.theirs))
