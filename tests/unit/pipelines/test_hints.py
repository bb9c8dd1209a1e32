"""Only a plain contradiction of annotations is refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Protocol

import pytest

from everloop.pipelines.hints import fits, item_of


class Base: ...


class Sub(Base): ...


class Asked(Protocol):
    def ask(self) -> int: ...


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (int, int), (int, float), (bool, int), (Sub, Base), (Base, Sub), (int, Any), (None, str), (str, None),
        (list[int], list), (list[int], Sequence[float]), (list[int], Iterable), (int, int | None), (int | str, str),
        (Annotated[int, "rows"], int), (Base, Asked), (Literal["a"], str), (dict[str, int], dict[str, Any]),
        (tuple[int, ...], tuple[int, int]),
    ],
)  # fmt: skip
def test_what_can_be_right_fits(made: object, wanted: object) -> None:
    assert fits(made, wanted)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (str, int),
        (float, int),
        (list[str], list[int]),
        (int, list[int]),
        (int, str | None),
        (type(None), int),
        (dict, list),
    ],
)
def test_what_contradicts_does_not(made: object, wanted: object) -> None:
    assert not fits(made, wanted)


def test_the_items_of_a_list_have_their_own_annotation() -> None:
    assert [item_of(list[int]), item_of(tuple[str, ...]), item_of(list), item_of(dict[str, int])] == [
        int,
        str,
        None,
        None,
    ]
