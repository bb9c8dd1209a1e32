"""One open cycle a model; a move from an older state changes nothing."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest

from everloop.core.ids import new_id
from everloop.loop import store
from everloop.loop.records import Cycle, Policy, Transition

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel
    from everloop.loop.records import CycleState

NOW = datetime(2013, 7, 1, tzinfo=UTC)
POLICY = Policy(model="delays", pipeline="train", data={"flights": "flights"})


def a_cycle(number: int = 1, *, model: str = "delays") -> Cycle:
    first = Transition(at=NOW, state="triggered", reason="by hand")
    return Cycle(
        id=new_id(), model=model, number=number, state="triggered", policy=POLICY.digest, cause="by hand",
        began_at=NOW, updated_at=NOW, history=(first,),
    )  # fmt: skip


def moved(cycle: Cycle, state: CycleState) -> Cycle:
    step = Transition(at=NOW, state=state, reason=f"now {state}")
    return msgspec.structs.replace(cycle, state=state, history=(*cycle.history, step))


def insert(kernel: Kernel, cycle: Cycle) -> Cycle:
    with kernel.catalog.transaction() as connection:
        store.insert_cycle(connection, cycle)
    return cycle


def move(kernel: Kernel, before: Cycle, state: CycleState) -> Cycle:
    after = moved(before, state)
    with kernel.catalog.transaction() as connection:
        store.move_cycle(connection, before, after)
    return after


def test_a_model_has_one_open_cycle_at_a_time(any_kernel: Kernel) -> None:
    first = insert(any_kernel, a_cycle())

    with pytest.raises(store.CycleOpenError, match="delays"):
        insert(any_kernel, a_cycle(2))
    insert(any_kernel, a_cycle(model="other"))

    move(any_kernel, first, "rejected")
    second = insert(any_kernel, a_cycle(2))
    with any_kernel.catalog.read() as connection:
        assert store.open_cycle(connection, "delays") == second
        assert store.next_number(connection, "delays") == 3


def test_of_many_that_begin_at_once_one_does(any_kernel: Kernel) -> None:
    start, began = threading.Barrier(6), []

    def begin() -> None:
        cycle = a_cycle()
        start.wait()
        with suppress(store.CycleOpenError):
            began.append(insert(any_kernel, cycle))

    threads = [threading.Thread(target=begin) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(began) == 1


def test_a_move_from_an_older_state_changes_nothing(any_kernel: Kernel) -> None:
    old = insert(any_kernel, a_cycle())
    new = move(any_kernel, old, "checking_data")

    with pytest.raises(store.CycleMovedError, match="delays/1"):
        move(any_kernel, old, "failed")

    with any_kernel.catalog.read() as connection:
        assert store.find_cycle(connection, old.id) == new
        assert store.find_cycle(connection, "delays/1") == new


def test_an_ended_cycle_does_not_move(any_kernel: Kernel) -> None:
    ended = move(any_kernel, insert(any_kernel, a_cycle()), "promoted")

    assert ended.is_ended
    with any_kernel.catalog.read() as connection:
        assert store.open_cycle(connection, "delays") is None


def test_a_claimed_cycle_is_worked_on_by_one(any_kernel: Kernel) -> None:
    cycle = insert(any_kernel, a_cycle())

    with store.claimed(any_kernel.catalog, cycle) as mine, store.claimed(any_kernel.catalog, cycle) as other:
        assert (mine, other) == (True, False)
    with store.claimed(any_kernel.catalog, cycle) as again:
        assert again


def test_a_claim_is_given_back_after_an_error(kernel: Kernel) -> None:
    cycle = insert(kernel, a_cycle())

    with pytest.raises(ZeroDivisionError), store.claimed(kernel.catalog, cycle):
        raise ZeroDivisionError

    with store.claimed(kernel.catalog, cycle) as again:
        assert again


def test_a_policy_stays_readable_by_its_digest_after_an_edit(any_kernel: Kernel) -> None:
    edited = msgspec.structs.replace(POLICY, holdout="14d")
    with any_kernel.catalog.transaction() as connection:
        changes = [store.put_policy(connection, given, NOW) for given in (POLICY, POLICY, edited, POLICY)]
        active = store.active_policies(connection)
        found = store.policy_by_digest(connection, edited.digest)

    assert changes == [True, False, True, True]
    assert [one.policy for one in active] == [POLICY]
    assert found == edited


def test_a_paused_policy_is_released_when_it_is_set_again_and_resumed(kernel: Kernel) -> None:
    with kernel.catalog.transaction() as connection:
        store.put_policy(connection, POLICY, NOW)
        store.pause(connection, "delays", is_paused=True)
        paused = store.active_policies(connection)[0].is_paused
        store.pause(connection, "delays", is_paused=False)
        released = store.active_policies(connection)[0].is_paused

    assert (paused, released) == (True, False)


def test_what_is_not_there_is_said_with_its_name(kernel: Kernel) -> None:
    with kernel.catalog.transaction() as connection:
        with pytest.raises(store.PolicyNotFoundError, match="nothing"):
            store.pause(connection, "nothing", is_paused=True)
        for reference in ("nothing", "nothing/7"):
            with pytest.raises(store.CycleNotFoundError, match=reference):
                store.find_cycle(connection, reference)


def test_cycles_are_listed_newest_first_and_counted_by_their_beginning(kernel: Kernel) -> None:
    for number in (1, 2, 3):
        move(kernel, insert(kernel, a_cycle(number)), "rejected")

    with kernel.catalog.read() as connection:
        numbers = [found.number for found in store.list_cycles(connection, "delays", limit=2, before=0)]
        older = [found.number for found in store.list_cycles(connection, "delays", limit=2, before=2)]
        assert (numbers, older) == ([3, 2], [1])
        assert store.begun_since(connection, "delays", datetime(2013, 6, 1, tzinfo=UTC)) == 3
        assert store.begun_since(connection, "delays", NOW) == 0
