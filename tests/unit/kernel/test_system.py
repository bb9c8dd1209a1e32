"""The verbs about the home itself."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from everloop.core.digests import digest_bytes
from everloop.core.version import VERSION
from everloop.kernel.system import Remote, System

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import sqlalchemy as sa

    from everloop.core.digests import Digest
    from everloop.kernel.operations import Kernel

KEPT = digest_bytes(b"kept")


@pytest.fixture
def system(kernel: Kernel) -> System:
    def roots(connection: sa.Connection) -> Iterator[tuple[Digest, str]]:
        del connection
        yield KEPT, "dataset:flights@v1"

    kernel.objects.put_many([b"kept", b"left over"])
    return System(kernel, roots=[roots])


def happen(kernel: Kernel, *subjects: str) -> None:
    with kernel.catalog.transaction() as connection:
        for subject in subjects:
            kernel.events.append(connection, kind=f"{subject.partition(':')[0]}.happened", subject=subject)


def test_the_state_of_a_home_is_told_in_a_few_words(system: System) -> None:
    happen(system.kernel, "a:1")

    found = system.status()

    assert (found.version, found.database, found.events) == (VERSION, "sqlite", 1)


def test_events_are_read_from_a_position_by_kind_and_subject(system: System) -> None:
    happen(system.kernel, "a:1", "b:1", "a:2")

    assert [event.subject for event in system.events(after=1)] == ["b:1", "a:2"]
    assert [event.subject for event in system.events(kind="a.happened")] == ["a:1", "a:2"]
    assert [event.position for event in system.events(subject="b:1", limit=1)] == [2]


def test_a_checkpoint_is_an_event_and_anchors_the_chain(system: System) -> None:
    happen(system.kernel, "a:1")

    made = system.checkpoint()

    assert made.position == 1
    assert system.events(kind="event.checkpointed")[0].payload["position"] == 1
    assert system.verify_events(against=made).is_intact


def test_a_dry_collection_removes_nothing_and_says_why_what_stays(system: System) -> None:
    report = system.collect_objects(grace="0s")

    assert system.kernel.objects.exists(digest_bytes(b"left over"))
    assert digest_bytes(b"left over") in str(report.removed)
    assert "dataset:flights@v1" in str(report)
    assert system.events() == []


def test_a_collection_removes_what_nothing_refers_to_and_tells_it(system: System) -> None:
    system.collect_objects(grace="0s", dry_run=False)

    assert system.kernel.objects.get(KEPT) == b"kept"
    assert not system.kernel.objects.exists(digest_bytes(b"left over"))
    assert system.events(kind="object.collected")[0].payload["removed"] == 1


def test_a_check_names_what_is_missing_and_repairs_it_from_another_store(
    system: System, tmp_path: Path
) -> None:
    digest = system.kernel.objects.put(b"x" * 2_000_000)
    shutil.copytree(system.kernel.home / "objects", tmp_path / "other")
    system.kernel.objects.path(digest).unlink()

    broken = system.check_objects()
    mended = system.check_objects(repair_from=Remote(url=str(tmp_path / "other")))

    assert [entry for entry in broken.missing if digest in str(entry)]
    assert [entry for entry in mended.repaired if digest in str(entry)]
    assert system.kernel.objects.get(digest) == b"x" * 2_000_000
