"""Claims about the event log: order, the chain, and what a tamperer cannot hide."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec
import pytest
import sqlalchemy as sa

from everloop.kernel.events.chain import InvalidCheckpointError, read_checkpoint, sign_checkpoint, verify
from everloop.kernel.events.tables import event

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel import Kernel


def _append(kernel: Kernel, count: int) -> None:
    with kernel.catalog.transaction() as connection:
        for number in range(count):
            kernel.events.append(
                connection, kind="test.happened", subject=f"thing:{number}", payload={"n": number}
            )
    kernel.events.seal()


def _execute(kernel: Kernel, statement: sa.Executable) -> None:
    with kernel.catalog.transaction() as connection:
        connection.execute(statement)


def test_events_are_read_in_order_without_gaps(any_kernel: Kernel) -> None:
    _append(any_kernel, 5)
    _append(any_kernel, 3)
    assert [found.position for found in any_kernel.events.read()] == list(range(1, 9))
    assert [found.payload["n"] for found in any_kernel.events.read(after=5)] == [0, 1, 2]


def test_an_event_of_a_rolled_back_change_never_was(any_kernel: Kernel) -> None:
    with pytest.raises(KeyError), any_kernel.catalog.transaction() as connection:
        any_kernel.events.append(connection, kind="test.happened", subject="thing:1")
        raise KeyError
    assert any_kernel.events.read() == []


def test_writers_in_many_threads_make_one_chain(any_kernel: Kernel) -> None:
    threads = [threading.Thread(target=_append, args=(any_kernel, 20)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    found = verify(any_kernel.catalog)
    assert (found.is_intact, found.sealed, found.unsealed) == (True, 160, 0)


def test_the_unsealed_tail_is_named(kernel: Kernel) -> None:
    _append(kernel, 2)
    with kernel.catalog.transaction() as connection:
        kernel.events.append(connection, kind="test.happened", subject="thing:9")
        connection.execute(sa.text("SELECT 1"))
    found = verify(kernel.catalog)
    assert (found.is_intact, found.sealed, found.unsealed) == (True, 2, 1)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("payload", '{"n":99}'),
        ("actor", "user:mallory"),
        ("subject", "thing:x"),
        ("kind", "x.y"),
        ("time", 5),
        ("id", "x"),
        ("hash", "0"),
    ],
)
def test_a_changed_field_names_the_event(any_kernel: Kernel, column: str, value: object) -> None:
    _append(any_kernel, 6)
    _execute(any_kernel, sa.text(f"UPDATE event SET {column} = :v WHERE position = 4").bindparams(v=value))
    found = verify(any_kernel.catalog)
    assert (found.is_intact, found.first_bad) == (False, 4)


def test_a_deleted_event_is_named(any_kernel: Kernel) -> None:
    _append(any_kernel, 6)
    _execute(any_kernel, event.delete().where(event.c.position == 3))
    found = verify(any_kernel.catalog)
    assert (found.is_intact, found.first_bad) == (False, 3)
    assert "missing" in found.reason


def test_two_events_that_changed_places_are_named(any_kernel: Kernel) -> None:
    _append(any_kernel, 6)
    for before, after in ((2, 100), (5, 2), (100, 5)):
        _execute(any_kernel, event.update().where(event.c.position == before).values(position=after))
    assert verify(any_kernel.catalog).first_bad == 2


def test_a_cut_off_end_shows_against_an_exported_checkpoint_only(any_kernel: Kernel, tmp_path: Path) -> None:
    _append(any_kernel, 6)
    exported = tmp_path / "checkpoints"
    made = sign_checkpoint(any_kernel.catalog, any_kernel.clock, tmp_path / "key")
    exported.write_bytes(msgspec.json.encode(made) + b"\n")
    _execute(any_kernel, event.delete().where(event.c.position > 4))
    _execute(any_kernel, sa.text("DELETE FROM event_checkpoint"))
    assert verify(any_kernel.catalog).is_intact
    found = verify(any_kernel.catalog, against=read_checkpoint(exported))
    assert (found.is_intact, found.first_bad) == (False, 5)


def test_a_log_rewritten_as_a_whole_contradicts_the_checkpoint(kernel: Kernel, tmp_path: Path) -> None:
    _append(kernel, 3)
    made = sign_checkpoint(kernel.catalog, kernel.clock, tmp_path / "key")
    _execute(kernel, sa.text("DELETE FROM event_checkpoint"))
    _execute(kernel, event.update().values(position=None, hash=None, previous_hash=None))
    _execute(kernel, event.update().where(event.c.subject == "thing:1").values(actor="user:mallory"))
    kernel.events.seal()
    assert verify(kernel.catalog).is_intact
    assert verify(kernel.catalog, against=made).first_bad == 3


def test_a_forged_checkpoint_is_refused(kernel: Kernel, tmp_path: Path) -> None:
    _append(kernel, 3)
    made = sign_checkpoint(kernel.catalog, kernel.clock, tmp_path / "key")
    with pytest.raises(InvalidCheckpointError, match="was changed"):
        verify(kernel.catalog, against=msgspec.structs.replace(made, position=2))


def test_the_signing_key_is_readable_by_its_owner_only(kernel: Kernel, tmp_path: Path) -> None:
    sign_checkpoint(kernel.catalog, kernel.clock, tmp_path / "keys" / "key")
    assert (tmp_path / "keys" / "key").stat().st_mode & 0o077 == 0


def test_lineage_edges_are_found_from_both_ends(any_kernel: Kernel) -> None:
    with any_kernel.catalog.transaction() as connection:
        made = any_kernel.events.append(connection, kind="run.finished", subject="run:1")
        for _ in range(2):
            any_kernel.events.link(
                connection, source="dataset:a@v1", verb="trained", target="run:1", event=made
            )
    assert any_kernel.events.edges("run:1") == any_kernel.events.edges("dataset:a@v1")
    assert len(any_kernel.events.edges("run:1")) == 1
