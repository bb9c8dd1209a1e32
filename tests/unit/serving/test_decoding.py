"""Requests are decoded by the signature, and errors name the place."""

from __future__ import annotations

import pytest

from everloop.registry.records import Column, Output, Signature
from everloop.serving.decoding import InvalidRequestError, RequestDecoder

SIGNATURE = Signature(
    inputs=[
        Column(name="dist ance", kind="double"),
        Column(name="carrier", kind="string", nullable=True, categories=["AA"]),
        Column(name="hour", kind="long", nullable=True),
    ],
    output=Output(kind="probability", target="late", positive=True),
)
DECODER = RequestDecoder(SIGNATURE)


def test_rows_and_columns_give_the_same_request() -> None:
    rows = DECODER.decode(b'{"rows": [{"dist ance": 1, "carrier": null, "hour": 3}], "ids": ["a"]}')
    columns = DECODER.decode(b'{"columns": {"dist ance": [1], "carrier": [null], "hour": [3]}, "ids": ["a"]}')
    assert rows == columns
    assert rows.rows == [(1.0, None, 3)]


@pytest.mark.parametrize(
    ("body", "path", "reason"),
    [
        (b'{"rows": [{"dist ance": 1, "hour": 3}]}', "$.rows[0].carrier", "the column carrier is missing"),
        (
            b'{"rows": [{"dist ance": "x", "carrier": null, "hour": 3}]}',
            "$.rows[0].dist ance",
            "Expected `float`, got `str`",
        ),
        (
            b'{"rows": [{"dist ance": 1, "carrier": null, "hour": 3.5}]}',
            "$.rows[0].hour",
            "Expected `int | null`, got `float`",
        ),
        (
            b'{"columns": {"dist ance": [1, 2], "carrier": [null], "hour": [3]}}',
            "$.columns.carrier",
            "has 1 values",
        ),
        (
            b'{"rows": [{"dist ance": 1, "carrier": null, "hour": 3}], "ids": ["a", "b"]}',
            "$.ids",
            "2 values for 1 rows",
        ),
        (b'{"ids": []}', "$", "either `rows` or `columns`"),
    ],
)
def test_an_error_names_its_path_and_reason(body: bytes, path: str, reason: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        DECODER.decode(body)
    assert caught.value.path == path
    assert reason in str(caught.value)


def test_unknown_columns_are_reported_and_do_not_fail() -> None:
    found = DECODER.decode(b'{"rows": [{"dist ance": 1, "carrier": "AA", "hour": 3, "extra": 1}], "more": 2}')
    assert found.unknown == ["$.more", "extra"]
    assert found.rows == [(1.0, "AA", 3)]
