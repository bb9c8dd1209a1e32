"""The verbs of remotes. They run in the caller's process: no server fetches an address that a client names.

Tests: tests/unit/data/test_remotes.py, tests/integration/test_remotes.py.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from everloop.core.digests import Digest
from everloop.core.errors import ConflictError, NotFoundError
from everloop.data import committed, queries, rules
from everloop.data.commits import commit_of, name_of
from everloop.data.records import Commit, DatasetVersion, Pushed
from everloop.kernel.objects.protocol import ObjectNotFoundError
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from everloop.data.remotes import Remote


class RemoteMovedError(ConflictError):
    """The branch on the remote has versions that are not here."""

    code = "data.remote-moved"


class DivergedError(ConflictError):
    """The branch here and on the remote have both moved."""

    code = "data.diverged"


class NoRemoteBranchError(NotFoundError):
    """The remote has no such dataset or branch."""

    code = "data.no-remote-branch"


class PurgedHistoryError(ConflictError):
    """A version that a branch came from was purged and is not on the remote."""

    code = "data.purged-history"


class Sharing(Service):
    """Push branches to a remote and pull them into another home; only what the other side lacks travels."""

    def push(
        self, name: str, url: str, *, branch: str = rules.MAIN, options: Mapping[str, str] | None = None
    ) -> Pushed:
        """Bring a branch, with every version it came from, to a remote.

        Args:
            name: of the dataset.
            url: a folder, `s3://bucket/prefix`, `gs://...`, `az://...`.
            branch: which branch.
            options: of the store, by their names in its documentation.

        Raises:
            RemoteMovedError: the remote's branch has versions that are not here; pull them first.
            NoConditionalPutsError: the remote could lose versions.
        """
        from everloop.data.remotes import objects_of

        remote = self._remote(url, options)
        remote.refuse_without_swaps()
        expected = remote.head(name, branch)
        history = {name_of(commit): commit for commit in self.history(name, branch=branch)}
        if expected is not None and expected not in history:
            raise self._moved(name, branch, remote)
        there = _behind(history, expected)
        fresh = [commit for digest, commit in history.items() if digest not in there]
        known: set[Digest] = set()
        if expected:
            # What was purged here only costs asking the remote for each object.
            with suppress(ObjectNotFoundError):
                known = objects_of(history[expected], self.kernel.objects)
        needed: set[Digest] = set()
        for commit in fresh:
            needed |= self._needed(name, commit)
        count, size = remote.send(needed - known, self.kernel.objects)
        for commit in fresh:
            remote.write_commit(commit)
        if fresh and not remote.move(name, branch, list(history)[-1], expected=expected):
            raise self._moved(name, branch, remote)
        return Pushed(ref=f"{name}@{branch}", versions=len(fresh), objects=count, size_bytes=size)

    def pull(
        self,
        name: str,
        url: str,
        *,
        branch: str = rules.MAIN,
        into: str = "",
        options: Mapping[str, str] | None = None,
    ) -> Pushed:
        """Bring a branch of a remote here, with every version it came from.

        Args:
            name: of the dataset.
            url: the remote; see `push`.
            branch: which branch of it.
            into: the branch here that moves, or is made; by default of the same name.
            options: of the store.

        Raises:
            NoRemoteBranchError: the remote has no such branch.
            DivergedError: the branch here has versions that the remote's has not; pull into another branch, then merge.
            MissingOnRemoteError: a part of a version is missing there; what was here stays.
        """
        from everloop.data.remotes import layers

        remote = self._remote(url, options)
        head = remote.head(name, branch)
        if head is None:
            raise NoRemoteBranchError(
                f"the remote {remote.place} has no branch {branch} of dataset {name}. `everloop data push {name} URL` makes it.",
                subject=f"dataset:{name}",
            )
        fresh = self._absent(name, remote, head)
        count = size = 0

        def fetch(digests: set[Digest]) -> None:
            nonlocal count, size
            some, more = remote.fetch(digests, self.kernel.objects)
            count, size = count + some, size + more

        for commit in fresh:
            layers(commit, self.kernel.objects, fetch)
        version = self.commit_pulled(name, commits=fresh, head=head, branch=into or branch)
        return Pushed(ref=version.ref, versions=len(fresh), objects=count, size_bytes=size)

    @operation(
        "GET /datasets/{dataset}/history", needs="dataset.read", cli=None, cli_reason="read by `data push`"
    )
    def history(self, dataset: str, *, branch: str = rules.MAIN) -> list[Commit]:
        """Return all that a branch came from as commits, parents before children, the branch's own last."""
        with self.kernel.catalog.read() as connection:
            head = queries.find_row(connection, rules.Reference(dataset=dataset, ref=branch), None)
            found = []
            for number in queries.ancestors(connection, dataset, head.version):
                version = queries.version_of(queries.kept_row(connection, dataset, number))
                parents = queries.commits_of(connection, dataset, [version.parent, version.merged])
                found.append(commit_of(version, parents))
        return found[::-1]

    @operation(
        "GET /datasets/{dataset}/known-commits",
        needs="dataset.read",
        cli=None,
        cli_reason="asked by `data pull`",
    )
    def known_commits(self, dataset: str, *, commits: list[str]) -> list[str]:
        """Return those of the commits that are versions here with their rows, those in the trash included."""
        with self.kernel.catalog.read() as connection:
            numbers = {commit: queries.number_of(connection, dataset, commit) for commit in commits}
            purged = queries.purged_numbers(connection, dataset)
        return [commit for commit, number in numbers.items() if number and number not in purged]

    @operation(
        "POST /datasets/{dataset}/pulled-versions",
        needs="dataset.write",
        emits="dataset.pulled",
        cli="data pull",
    )
    def commit_pulled(
        self, dataset: str, *, commits: list[Commit], head: str, branch: str = rules.MAIN
    ) -> DatasetVersion:
        """Make versions of commits whose objects are in the store, and move a branch to the last.

        Args:
            dataset: its name.
            commits: those that are not here, parents before children.
            head: the commit the branch moves to.
            branch: which branch.

        Raises:
            DivergedError: the branch has versions that the head did not come from.
        """
        from everloop.data.remotes import objects_of

        rules.parse_reference(dataset)
        rules.parse_ref_name(branch)
        with self.kernel.catalog.transaction() as connection:
            queries.latest_number(connection, dataset, lock=True)
            before = queries.head_number(connection, dataset, branch)
            for commit in commits:
                needed = objects_of(commit, self.kernel.objects)
                committed.store_of(self.kernel).keep(connection, needed)
                committed.refuse_other_shape(connection, dataset, commit.shape)
                committed.write_pulled(self.kernel, connection, dataset, commit, branch=branch)
            number = queries.number_of(connection, dataset, head)
            at = rules.Reference(dataset=dataset, version=number)
            version = queries.version_of(queries.find_row(connection, at, None))
            if before and before not in queries.ancestors(connection, dataset, number):
                raise DivergedError(
                    f"branch {branch} of dataset {dataset} has versions that the remote does not have, and the reverse. Pull into another "
                    f"branch (`everloop data pull {dataset} URL --into theirs`), then merge it.",
                    subject=f"dataset:{dataset}",
                )
            if before == number:
                self.unchanged()
                return version
            committed.move_branch(self.kernel, connection, dataset, branch, number)
            payload = {"versions": len(commits), "branch": branch, "commit": head}
            self.emit(connection, subject=f"dataset:{version.ref}", payload=payload)
        return version

    def _absent(self, name: str, remote: Remote, head: Digest) -> list[Commit]:
        """Return the commits that are not here, parents before children."""
        found: dict[str, Commit] = {}
        waiting = [str(head)]
        while waiting:
            known = set(self.known_commits(name, commits=waiting))
            unknown = [commit for commit in waiting if commit not in known and commit not in found]
            found.update({commit: remote.commit(commit) for commit in unknown})
            waiting = sorted(
                {parent for commit in unknown for parent in found[commit].parents} - found.keys()
            )
        ordered: dict[str, Commit] = {}
        stack = [str(head)] if str(head) in found else []
        while stack:
            ahead = [
                parent for parent in found[stack[-1]].parents if parent in found and parent not in ordered
            ]
            if ahead:
                stack += ahead[:1]
            else:
                name_ = stack.pop()
                ordered.setdefault(name_, found[name_])
        return list(ordered.values())

    def _remote(self, url: str, options: Mapping[str, str] | None) -> Remote:
        from everloop.data.remotes import Remote

        return Remote(url, staging=self.kernel.home / "cache" / "staging", options=options)

    def _needed(self, name: str, commit: Commit) -> set[Digest]:
        from everloop.data.remotes import objects_of

        try:
            return objects_of(commit, self.kernel.objects)
        except ObjectNotFoundError as error:
            raise PurgedHistoryError(
                f"a version that {name} came from, of {commit.created_at:%Y-%m-%d %H:%M}, was purged here and is not on the remote, so the "
                "history cannot be pushed whole. Add the rows to another dataset and push that.",
                subject=f"dataset:{name}",
            ) from error

    def _moved(self, name: str, branch: str, remote: Remote) -> RemoteMovedError:
        return RemoteMovedError(
            f"branch {branch} of dataset {name} on the remote {remote.place} has versions that are not here. Pull them "
            f"(`everloop data pull {name} URL`), merge if need be, and push again.",
            subject=f"dataset:{name}",
        )


def _behind(history: Mapping[Digest, Commit], head: Digest | None) -> set[str]:
    """Return a commit and all that it came from."""
    found: set[str] = set()
    waiting = [] if head is None else [str(head)]
    while waiting:
        commit = waiting.pop()
        if commit not in found:
            found.add(commit)
            waiting += history[Digest(commit)].parents
    return found
