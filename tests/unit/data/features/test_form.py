"""Keys and features are written so that they come back as what they were."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from everloop.data.features.errors import FeatureViewError
from everloop.data.features.form import Form, OnlineRow, encode_rows, form_of
from everloop.data.features.records import FeatureView

UTC_TIME = pa.timestamp("us", tz="UTC")


def form(ttl: str = "", **kinds: pa.DataType) -> Form:
    keys = pa.schema(kinds or {"k": pa.string()})
    view = FeatureView(name="v", source="s", keys=keys.names, features={"x": "x"}, event_time="t", ttl=ttl)
    return form_of(Form.of(view, keys, pa.schema({"x": pa.int64()})).encoded)


def test_a_key_has_one_text_however_it_is_given() -> None:
    found = form(n=pa.int32(), at=UTC_TIME)
    moment = datetime(2024, 1, 2, tzinfo=UTC)

    texts = {
        found.key_text(found.key_values(text))
        for text in (
            '[3, "2024-01-02T00:00:00Z"]',
            '["3", "2024-01-02"]',
            '{"at": "2024-01-02T00:00:00", "n": 3}',
        )
    }

    assert texts == {f"[3,{int(moment.timestamp()) * 1_000_000}]"}
    assert found.key_texts(
        pa.table({"n": pa.array([3], pa.int32()), "at": pa.array([moment], UTC_TIME)})
    ) == list(texts)


def test_texts_that_could_be_mistaken_for_each_other_differ() -> None:
    found = form(a=pa.string(), b=pa.string())

    assert found.key_text(["a,b", "c"]) != found.key_text(["a", "b,c"])
    assert found.key_text(['"', "é"]) == '["\\"","é"]'
    assert found.key_text([None, "c"]) is None


@pytest.mark.parametrize("text", ["{", "nothing"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(FeatureViewError, match="is no key in JSON"):
        form().key_values(text)


def test_of_the_rows_of_a_key_the_last_that_can_be_used_counts_while_it_is_alive() -> None:
    found = form(ttl="1s")
    rows = encode_rows([OnlineRow(0, 0, [1]), OnlineRow(500_000, 400_000, [2])])

    assert [found.alive(rows, at) for at in (-1, 0, 499_999, 500_000, 1_400_000, 1_400_001)] == [
        None,
        [1],
        [1],
        [2],
        [2],
        None,
    ]


@pytest.mark.parametrize("kind", [pa.float64(), pa.list_(pa.int64()), pa.binary()])
def test_a_key_whose_values_are_not_surely_equal_is_refused(kind: pa.DataType) -> None:
    with pytest.raises(FeatureViewError, match="not surely equal"):
        form(k=kind)


def test_nested_times_are_refused() -> None:
    view = FeatureView(name="v", source="s", keys=["k"], features={"x": "x"}, event_time="t")

    with pytest.raises(FeatureViewError, match="cannot be kept"):
        Form.of(view, pa.schema({"k": pa.string()}), pa.schema({"x": pa.list_(UTC_TIME)}))
