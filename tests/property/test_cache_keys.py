"""Laws of cache keys: a key follows content and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from everloop.core.digests import digest_value
from everloop.pipelines.closure import CodeClosure
from everloop.pipelines.codecs.plain import JsonCodec
from everloop.pipelines.rules import compare_keys, make_key

PARTS = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=5)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def closure(parts: dict[str, str]) -> CodeClosure:
    return CodeClosure(digest=digest_value(parts), parts=parts, opaque=[], modules=[])


@given(PARTS, PARTS)
def test_the_order_in_which_parts_are_found_does_not_matter(
    code: dict[str, str], inputs: dict[str, str]
) -> None:
    turned = dict(reversed(code.items())), dict(reversed(inputs.items()))

    assert make_key(closure(code), inputs, {}).digest == make_key(closure(turned[0]), turned[1], {}).digest


@given(PARTS, PARTS, PARTS, PARTS)
def test_two_keys_are_equal_exactly_when_no_part_differs(
    code: dict[str, str], inputs: dict[str, str], other_code: dict[str, str], other_inputs: dict[str, str]
) -> None:
    one, two = make_key(closure(code), inputs, {}), make_key(closure(other_code), other_inputs, {})

    assert (one.digest == two.digest) == compare_keys(one, two).is_empty


@given(PARTS, st.text(min_size=1), st.text(), st.text())
def test_a_declared_variable_counts_by_its_value(
    code: dict[str, str], name: str, before: str, after: str
) -> None:
    one, two = (make_key(closure(code), {}, {name: value}).digest for value in (before, after))

    assert (one == two) == (before == after)


@given(PLAIN)
def test_what_the_json_codec_takes_it_gives_back_with_its_types(value: object) -> None:
    codec = JsonCodec()
    if not codec.takes(value):
        return
    import msgspec

    from everloop.core.digests import canonical_json

    back = msgspec.json.decode(canonical_json(value))

    assert back == value
    assert repr(back) == repr(value) or isinstance(value, dict | list)
