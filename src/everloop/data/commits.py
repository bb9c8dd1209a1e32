"""The name of a version wherever it is: a digest over its content, its parents, and what is said of it.

How the content is stored is no part of the name, so that compaction does not change it. Tests: tests/unit/data/test_remotes.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from everloop.core.digests import Digest, digest_value
from everloop.data.records import Commit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.data.records import DatasetVersion

# Facts of a commit that may differ from place to place.
_LOCAL = ("manifest", "size_bytes", "stored_bytes")


def commit_of(version: DatasetVersion, parents: Sequence[str]) -> Commit:
    """Return a version as it travels; `parents` are the commits of its parents."""
    facts = msgspec.structs.asdict(version)
    names = set(Commit.__struct_fields__) - {"parents"}
    return Commit(parents=list(parents), **{name: facts[name] for name in names})


def name_of(commit: Commit) -> Digest:
    """Return the digest that names a commit."""
    facts = msgspec.to_builtins(commit)
    for name in _LOCAL:
        del facts[name]
    return digest_value(["commit/1", facts])
