"""A request that gives keys gets features; what is no request is left for the decoder."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from everloop.data.features.lookup import Lookup
from everloop.data.features.records import FeatureView
from everloop.data.service import Data
from everloop.serving.filling import Filler

if TYPE_CHECKING:
    from everloop.kernel import Kernel


@pytest.fixture
def filler(kernel: Kernel) -> Filler:
    data = Data(kernel)
    earlier = datetime.now(UTC) - timedelta(days=1)
    data.add("s", {"k": ["a", "b"], "n": [1, 2], "t": [earlier] * 2, "x": [Decimal("1.5"), Decimal("2.5")]})
    for name, keys in (("one", ["k"]), ("two", ["k", "n"])):
        features = {f"x_{name}": "x", "t": "t", "other": "1"}
        data.save_view(FeatureView(name=name, source="s", keys=keys, features=features, event_time="t"))
        data.materialize(name)
    return Filler(Lookup(kernel), ["one@v1", "two@v1"], {"x_one", "x_two", "n", "t"})


def filled(filler: Filler, document: object) -> Any:
    return json.loads(filler.fill(json.dumps(document).encode()))


def test_each_row_gets_what_it_lacks_and_keeps_what_it_gives(filler: Filler) -> None:
    rows = [{"k": "a", "n": 1}, {"k": "b", "n": 2, "x_one": 7}, {"k": "z", "n": 1}, {"n": 5}]

    assert filled(filler, {"rows": rows, "ids": ["1", "2", "3", "4"]}) == {
        "rows": [
            {"n": 1, "x_one": 1.5, "x_two": 1.5},
            {"n": 2, "x_one": 7, "x_two": 2.5},
            {"n": 1, "x_one": None, "x_two": None},
            {"n": 5},
        ],
        "ids": ["1", "2", "3", "4"],
    }


def test_columns_become_rows(filler: Filler) -> None:
    assert filled(filler, {"columns": {"k": ["b"], "n": [2]}}) == {
        "rows": [{"n": 2, "x_one": 2.5, "x_two": 2.5}]
    }


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"rows":3}',
        b'{"rows":[3]}',
        b'{"rows":[],"columns":{}}',
        b'{"columns":{"k":["a","b"],"n":[1]}}',
        b'{"columns":{"k":3}}',
    ],
)
def test_what_is_no_request_stays_as_it_is(filler: Filler, body: bytes) -> None:
    assert filler.fill(body) == body
