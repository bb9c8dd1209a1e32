"""What the importers find in another system: versions, and the files of each."""

from __future__ import annotations

from datetime import datetime

import msgspec


class ImportedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a version.

    Attributes:
        path: within the version, with `/`; never absolute, never with `..`.
        location: where its bytes are: a local path, or a URL.
        size_bytes: None where the other system does not say.
        checksum: as the other system writes it: `md5:...`, `etag:...`; empty where there is none.
        partition: values of partition columns that are not in the file; None is a missing value.
    """

    path: str
    location: str
    size_bytes: int | None = None
    checksum: str = ""
    partition: dict[str, str | None] = {}


class ImportedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version: a git tag of a DVC repository, a version of a Delta table, a commit of lakeFS.

    Attributes:
        name: `v1.2`, `17`, `c0ffee...`; unique among the versions of one import.
        source: the commit or version in the other system that it stands for.
        message: why, in its author's words; empty where there is none.
        author: who; empty where it is not known.
        time: when it was made.
        files: sorted by path.
    """

    name: str
    source: str
    message: str
    author: str
    time: datetime
    files: tuple[ImportedFile, ...]
