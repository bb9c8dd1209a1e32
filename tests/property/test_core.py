"""Laws of digests, canonical JSON, durations and times."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from everloop.core.clock import from_microseconds, to_microseconds
from everloop.core.digests import canonical_json, digest_bytes, digest_stream, digest_value
from everloop.core.durations import format_duration, parse_duration

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
leaves = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | texts
    | st.floats(allow_nan=False, allow_infinity=False)
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def reversed_order(value: object) -> object:
    """Return the value with the keys of all its maps in another order."""
    if isinstance(value, dict):
        return {key: reversed_order(value[key]) for key in reversed(list(value))}
    return [reversed_order(item) for item in value] if isinstance(value, list) else value


@given(values)
def test_canonical_json_reads_back_as_the_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@given(values)
def test_the_order_of_keys_does_not_matter(value: object) -> None:
    assert canonical_json(reversed_order(value)) == canonical_json(value)


@given(values)
def test_canonical_json_of_what_was_read_back_is_the_same_text(value: object) -> None:
    assert canonical_json(json.loads(canonical_json(value))) == canonical_json(value)


@given(values, values)
def test_values_have_one_digest_exactly_when_they_have_one_text(one: object, other: object) -> None:
    assert (digest_value(one) == digest_value(other)) == (canonical_json(one) == canonical_json(other))


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_the_cut_of_a_stream_does_not_matter(chunks: list[bytes]) -> None:
    assert digest_stream(chunks) == digest_bytes(b"".join(chunks))


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000)))
def test_a_duration_reads_back(duration: timedelta) -> None:
    assert parse_duration(format_duration(duration)) == duration


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 - hypothesis takes naive bounds
def test_a_time_reads_back_from_its_microseconds(moment: datetime) -> None:
    aware = moment.replace(tzinfo=UTC)

    assert from_microseconds(to_microseconds(aware)) == aware


@given(st.integers(0, 2**52), st.integers(0, 2**52))
def test_microseconds_keep_the_order_of_times(one: int, other: int) -> None:
    assert (from_microseconds(one) < from_microseconds(other)) == (one < other)
