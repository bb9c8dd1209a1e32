"""Garbage collection removes what nothing refers to, says why the rest stays, and hits no running writer."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.kernel.objects.collection import collect

if TYPE_CHECKING:
    import pytest

    from everloop.kernel.objects import ObjectStore

NOW = timedelta(0)


def test_an_object_without_a_root_goes_and_a_root_is_kept_with_its_reason(store: ObjectStore) -> None:
    kept, lost = store.put(b"kept"), store.put(b"lost!")

    report = collect(store, [(kept, "dataset:flights@v1")], grace=NOW)

    assert (report.removed, report.removed_bytes, report.freed_bytes) == ([lost], 5, 5)
    assert [(item.digest, item.why) for item in report.kept] == [(kept, "dataset:flights@v1")]
    assert store.exists(kept)
    assert not store.exists(lost)


def test_a_dry_run_reports_the_same_and_removes_nothing(store: ObjectStore) -> None:
    lost = store.put(b"lost!")

    report = collect(store, [], grace=NOW, dry_run=True)

    assert (report.removed, report.removed_bytes, report.freed_bytes) == ([lost], 5, 0)
    assert store.exists(lost)


def test_a_young_object_is_kept_by_the_grace_period(store: ObjectStore) -> None:
    store.put(b"young")

    report = collect(store, [], grace=timedelta(days=7))

    assert report.kept_by_reason() == {"put within the grace period of 1w": 5}


def test_a_second_put_starts_a_new_grace_period(store: ObjectStore) -> None:
    old, touched = store.put(b"old"), store.put(b"touched")
    time.sleep(0.3)
    store.put(b"touched")

    report = collect(store, [], grace=timedelta(seconds=0.2))

    assert report.removed == [old]
    assert store.exists(touched)


def test_an_object_kept_in_a_transaction_after_the_mark_stays(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the writer relies on the object between the collector's reading of the rows and its removal
    digest = store.put(b"relied upon")
    time.sleep(0.3)
    original = store.catalog.transaction

    def late_writer(*, durable: bool = False) -> object:
        monkeypatch.setattr(store.catalog, "transaction", original)
        store.put(b"relied upon")
        return original(durable=durable)

    monkeypatch.setattr(store.catalog, "transaction", late_writer)
    report = collect(store, [], grace=timedelta(seconds=0.2))

    assert report.removed == []
    assert store.get(digest) == b"relied upon"


def test_a_put_after_the_row_went_survives_the_removal_of_the_old_file(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.put(b"comes back")
    original = store.files.delete

    def slow_delete(names: list[str]) -> None:
        monkeypatch.setattr(store.files, "delete", original)
        store.put(b"comes back")
        original(names)

    monkeypatch.setattr(store.files, "delete", slow_delete)
    collect(store, [], grace=NOW)

    assert store.get(digest) == b"comes back"


def test_a_pack_mostly_dead_is_rewritten(store: ObjectStore) -> None:
    digests = store.put_many([bytes([number]) * 10_000 for number in range(10)])
    alive = digests[:2]

    report = collect(store, [(digest, "in use") for digest in alive], grace=NOW)

    assert report.packs_rewritten == 1
    assert report.freed_bytes > 75_000
    assert [store.get(digest) for digest in alive] == [bytes([number]) * 10_000 for number in range(2)]
    assert len(list(Path(store.files.place).glob("packs/*"))) == 1


def test_a_pack_mostly_alive_is_left(store: ObjectStore) -> None:
    digests = store.put_many([bytes([number]) * 10_000 for number in range(10)])

    report = collect(store, [(digest, "in use") for digest in digests[:8]], grace=NOW)

    assert (report.packs_rewritten, len(report.removed)) == (0, 2)


def test_a_reader_with_an_old_place_follows_the_rewritten_pack(store: ObjectStore) -> None:
    digests = store.put_many([bytes([number]) * 10_000 for number in range(10)])
    store.get(digests[0])

    collect(store, [(digests[0], "in use")], grace=NOW)

    assert store.get(digests[0]) == bytes(10_000)


def test_stray_files_go_only_when_asked(store: ObjectStore) -> None:
    store.files.write("objects/ab/stray.0", [b"left by a killed writer"], durable=False)

    assert collect(store, [], grace=NOW).files_removed == []
    assert collect(store, [], grace=NOW, stray_files=True).files_removed == ["objects/ab/stray.0"]
    assert store.files.size("objects/ab/stray.0") is None
