"""The contract of an object store: subclass it, give the fixture `objects`, and pytest runs every claim.

class TestMyStore(ObjectStoreContract):
    @pytest.fixture
    def objects(self) -> Objects: ...
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from everloop.core.digests import digest_bytes
from everloop.core.errors import NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.objects import Objects

_UNKNOWN = digest_bytes(b"never stored")


class ObjectStoreContract:
    """What every implementation of `everloop.kernel.objects.Objects` keeps."""

    @pytest.fixture
    def objects(self) -> Objects:
        """Return an empty store."""
        raise NotImplementedError

    def test_bytes_read_back_under_their_digest(self, objects: Objects) -> None:
        """A put returns the BLAKE3 name."""
        digest = objects.put(b"some bytes")
        assert digest == digest_bytes(b"some bytes")
        assert objects.get(digest) == b"some bytes"
        assert objects.size(digest) == len(b"some bytes")

    def test_the_empty_object_is_an_object(self, objects: Objects) -> None:
        """No bytes have a digest too."""
        digest = objects.put(b"")
        assert objects.get(digest) == b""
        assert objects.path(digest).read_bytes() == b""
        assert objects.get_range(digest, 0, 10) == b""

    def test_a_file_reads_back_and_stays_where_it_is(self, objects: Objects, tmp_path: Path) -> None:
        """A put of a path copies."""
        source = tmp_path / "source"
        source.write_bytes(b"x" * 3_000_000)
        digest = objects.put(source)
        assert objects.get(digest) == source.read_bytes()

    def test_many_small_objects_read_back_in_order(self, objects: Objects) -> None:
        """Repeats and neighbours do not disturb each other."""
        contents = [b"%d" % (number % 7) * number for number in range(40)]
        digests = objects.put_many(contents)
        assert [objects.get(digest) for digest in digests] == contents

    def test_a_second_put_of_the_same_bytes_changes_nothing(self, objects: Objects) -> None:
        """A put is idempotent, alone and among many."""
        first = objects.put(b"same")
        assert objects.put(b"same") == first
        assert objects.put_many([b"same", b"same", b"other"])[:2] == [first, first]
        assert objects.get(first) == b"same"

    def test_a_range_is_cut_at_the_end(self, objects: Objects) -> None:
        """Ranges work in loose and in packed objects."""
        loose = objects.put(b"0123456789")
        packed = objects.put_many([b"abcdefghij", b"neighbour"])[0]
        assert objects.get_range(loose, 3, 4) == b"3456"
        assert objects.get_range(packed, 8, 100) == b"ij"

    def test_a_path_holds_the_content(self, objects: Objects) -> None:
        """Loose and packed objects are files to a reader."""
        digests = [objects.put(b"loose"), *objects.put_many([b"packed", b"neighbour"])]
        assert [objects.path(digest).read_bytes() for digest in digests] == [
            b"loose",
            b"packed",
            b"neighbour",
        ]

    def test_many_are_read_each_once(self, objects: Objects) -> None:
        """Repeats, loose and packed objects come with their own bytes."""
        contents = {objects.put(b"loose"): b"loose"}
        pieces = [b"packed %d" % number for number in range(20)]
        contents.update(zip(objects.put_many(pieces), pieces, strict=True))
        assert sorted(objects.get_many([*contents, *contents])) == sorted(contents.items())

    def test_what_is_missing_is_named(self, objects: Objects) -> None:
        """Of many digests the unknown ones come back."""
        known = [objects.put(b"loose"), *objects.put_many([b"packed", b"neighbour"])]
        assert objects.missing([*known, _UNKNOWN]) == {_UNKNOWN}
        assert objects.missing([]) == set()

    def test_new_buffers_are_stored_and_told_from_known_ones(self, objects: Objects) -> None:
        """A view of a larger buffer is a content."""
        views = [memoryview(b"0123456789")[:4], memoryview(bytearray(b"abcdef"))[2:]]
        first, second = (digest_bytes(view) for view in views)
        objects.put(b"0123")
        assert objects.put_new({first: views[0], second: views[1]}) == {second}
        assert [objects.get(digest) for digest in (first, second)] == [b"0123", b"cdef"]
        assert objects.put_new({}) == set()

    def test_an_unknown_digest_is_not_found(self, objects: Objects) -> None:
        """Each reader says so with one class."""
        assert not objects.exists(_UNKNOWN)
        with pytest.raises(NotFoundError):
            objects.get(_UNKNOWN)
        with pytest.raises(NotFoundError):
            objects.path(_UNKNOWN)
        with pytest.raises(NotFoundError):
            objects.size(_UNKNOWN)

    def test_threads_may_put_the_same_bytes_at_once(self, objects: Objects) -> None:
        """All writers succeed and one object stays."""
        with ThreadPoolExecutor(8) as pool:
            digests = set(pool.map(lambda _: objects.put(b"contended"), range(16)))
        assert digests == {digest_bytes(b"contended")}
        assert objects.get(digests.pop()) == b"contended"


class DeletingStoreContract(ObjectStoreContract):
    """The contract of a store that also deletes and takes streams."""

    def test_a_deleted_object_is_gone_and_can_come_back(self, objects: Objects) -> None:
        """Delete is idempotent and not final."""
        digest = objects.put(b"short-lived")
        objects.delete(digest)
        objects.delete(digest)
        assert not objects.exists(digest)
        assert objects.put(b"short-lived") == digest
        assert objects.get(digest) == b"short-lived"

    def test_a_stream_reads_back(self, objects: Objects) -> None:
        """A stream is spooled, hashed and stored."""
        digest = objects.put(b"piece %d;" % number for number in range(1_000))
        assert digest == digest_bytes(b"".join(b"piece %d;" % number for number in range(1_000)))
        assert objects.get_range(digest, 0, 8) == b"piece 0;"
