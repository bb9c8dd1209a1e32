"""JSON lines keep their types; what has no one type, or is no object, is named with its line."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from everloop.data.connectors import (
    EmptySourceError,
    MixedTypesError,
    UnreadableSourceError,
    WrongEncodingError,
    open_source,
    to_arrow,
)
from everloop.data.contents import DuplicateColumnError, UnsupportedTypeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.ndjson", "rows.json", "rows.jsonl.gz"])
def test_objects_are_rows_and_what_is_inside_is_kept(
    write: Callable[[str, str | bytes], Path], name: str
) -> None:
    content = b'{"id": 1, "at": {"x": 1.5, "tags": ["a"]}}\n\n{"id": 2, "at": null}\n'
    path = write(name, gzip.compress(content) if name.endswith("gz") else content)

    assert to_arrow(path).to_pylist() == [
        {"id": 1, "at": {"x": 1.5, "tags": ["a"]}},
        {"id": 2, "at": None},
    ]


@pytest.mark.usefixtures("small_blocks")
def test_fields_and_fractions_that_come_late_widen_the_columns(
    write: Callable[[str, str | bytes], Path],
) -> None:
    path = write(
        "rows.jsonl",
        '{"a": 1, "b": []}\n' * 9 + '{"a": 1.5, "b": ["x"], "c": {"d": 1}}\n' + '{"c": {"e": 2}}\n',
    )

    rows = to_arrow(path)

    assert [str(kind) for kind in rows.schema.types] == [
        "double",
        "list<item: string>",
        "struct<d: int64, e: int64>",
    ]
    assert rows.to_pylist()[-2:] == [
        {"a": 1.5, "b": ["x"], "c": {"d": 1, "e": None}},
        {"a": None, "b": None, "c": {"d": None, "e": 2}},
    ]


def test_a_column_without_any_value_is_text(write: Callable[[str, str | bytes], Path]) -> None:
    rows = to_arrow(write("rows.jsonl", '{"a": null, "b": [], "c": {"d": null}}\n'))

    assert rows.schema.types == [pa.string(), pa.list_(pa.string()), pa.struct([("d", pa.string())])]


def test_mixed_types_in_one_block_are_named_by_line_and_field(
    write: Callable[[str, str | bytes], Path],
) -> None:
    path = write("rows.jsonl", '{"a": {"b": 1}}\n\n{"a": {"b": "x"}}\n')

    with pytest.raises(MixedTypesError, match=r"rows\.jsonl, line 3: a\.b is a string where it was a number"):
        to_arrow(path)


@pytest.mark.usefixtures("small_blocks")
def test_mixed_types_in_two_blocks_are_named_by_column(write: Callable[[str, str | bytes], Path]) -> None:
    path = write("rows.jsonl", '{"a": 1}\n' * 9 + '{"a": "x"}\n' * 9)

    with pytest.raises(MixedTypesError, match="from line 10 on.*column a"):
        to_arrow(path)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("bad", ['{"a": 1', "7", '{"a": 1}}', "nonsense"])
def test_a_line_that_is_no_object_is_named(write: Callable[[str, str | bytes], Path], bad: str) -> None:
    path = write("rows.jsonl", '{"a": 1}\n' * 9 + bad + "\n" + '{"a": 1}\n' * 9)

    with pytest.raises(UnreadableSourceError, match="line 10, is no JSON object"):
        to_arrow(path)


def test_an_array_is_refused_with_the_way_out(write: Callable[[str, str | bytes], Path]) -> None:
    with pytest.raises(UnreadableSourceError, match="holds a JSON array. Write one object a line"):
        to_arrow(write("rows.json", '[{"a": 1}]'))


def test_objects_without_fields_are_refused(write: Callable[[str, str | bytes], Path]) -> None:
    with pytest.raises(UnsupportedTypeError, match="column b holds objects without fields"):
        to_arrow(write("rows.jsonl", '{"a": 1, "b": [{}]}\n'))
    with pytest.raises(EmptySourceError):
        to_arrow(write("none.jsonl", "{}\n"))


def test_text_in_another_encoding_is_refused_and_read_when_named(
    write: Callable[[str, str | bytes], Path],
) -> None:
    path = write("rows.jsonl", '{"a": "x"}\n{"a": "Zürich"}\n'.encode("latin-1"))

    with pytest.raises(WrongEncodingError, match="line 2"):
        to_arrow(path)
    assert to_arrow(path, encoding="latin-1").column("a").to_pylist() == ["x", "Zürich"]


def test_fields_that_differ_by_case_are_refused(write: Callable[[str, str | bytes], Path]) -> None:
    with pytest.raises(DuplicateColumnError) as caught:
        open_source(write("rows.jsonl", '{"a": 1, "A": 2}\n'))
    assert "rows.jsonl" in str(caught.value)


@pytest.mark.usefixtures("small_blocks")
def test_a_field_of_a_late_line_that_differs_by_case_is_refused(
    write: Callable[[str, str | bytes], Path],
) -> None:
    with pytest.raises(DuplicateColumnError):
        to_arrow(write("rows.jsonl", '{"a": 1}\n' * 9 + '{"a": 1, "A": 2}\n'))
