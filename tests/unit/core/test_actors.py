"""The actor travels with the call."""

from __future__ import annotations

import threading

import pytest

from everloop.core.actors import Actor, acting_as, current_actor, local_actor

ADA = Actor(name="user:ada", roles=frozenset({"viewer"}))
BEA = Actor(name="user:bea")


def test_without_a_name_the_user_of_the_machine_acts_and_owns_the_home() -> None:
    assert current_actor() == local_actor()
    assert local_actor().name.startswith("user:")
    assert local_actor().roles == {"admin"}


def test_a_block_acts_in_a_name_and_gives_it_back() -> None:
    with acting_as(ADA):
        with acting_as(BEA):
            assert current_actor() == BEA
        assert current_actor() == ADA
    assert current_actor() == local_actor()


def test_the_name_is_given_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), acting_as(ADA):
        raise ZeroDivisionError

    assert current_actor() == local_actor()


def test_another_thread_does_not_act_in_the_name() -> None:
    seen: list[Actor] = []
    with acting_as(ADA):
        thread = threading.Thread(target=lambda: seen.append(current_actor()))
        thread.start()
        thread.join()

    assert seen == [local_actor()]
