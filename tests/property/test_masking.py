"""Laws of masking: the same key gives the same, another key another; form and length stay; no two values of one form meet."""

from __future__ import annotations

import re

import pyarrow as pa
from hypothesis import assume, given
from hypothesis import strategies as st

from everloop.data.personal import patterns, validators
from everloop.data.personal.masking import mask_rows
from everloop.data.personal.pseudonyms import hash_value, keep_format, keep_number, permute
from everloop.data.personal.records import MaskRule

KEYS = st.binary(min_size=32, max_size=32)
DIGITS = st.text("0123456789", min_size=11, max_size=18)
NAMES = st.from_regex(r"[A-Z][a-z]{4,12} [A-Z][a-z]{4,12}", fullmatch=True)
EMAILS = st.from_regex(r"[a-z0-9]{3,12}[.+][a-z0-9]{1,12}@[a-z0-9]{2,10}\.(org|co\.uk)", fullmatch=True)
COUNTRIES = st.sampled_from(sorted(validators.IBAN_LENGTHS))


def form(text: str) -> str:
    plain = re.sub(r"[^\W\d_]", lambda found: "X" if found[0].isupper() else "x", text)
    return re.sub(r"\d", "9", plain)


@given(st.text(max_size=60), KEYS)
def test_a_pseudonym_is_the_same_each_time_and_as_long(text: str, key: bytes) -> None:
    found = keep_format(text, key)

    assert found == keep_format(text, key)
    assert len(found) == len(text)
    assert [one for one in found if not one.isalnum()] == [one for one in text if not one.isalnum()]


@given(st.one_of(NAMES, EMAILS, DIGITS, st.from_regex(r"\+\d{2} \d{3} \d{7}", fullmatch=True)), KEYS, KEYS)
def test_a_pseudonym_has_the_form_of_the_value_and_depends_on_the_key(
    text: str, key: bytes, other: bytes
) -> None:
    assume(key != other)
    found = keep_format(text, key)

    assert form(found) == form(text)
    assert found != text
    # Two keys may agree by chance, once in more than a million.
    assert any(keep_format(text + more, key) != keep_format(text + more, other) for more in ("", "77", "88"))


@given(EMAILS, KEYS)
def test_an_email_stays_one(email: str, key: bytes) -> None:
    assert patterns.is_email(keep_format(email, key))
    assert keep_format(email, key).rpartition(".")[2] == email.rpartition(".")[2]


@given(DIGITS, st.booleans(), KEYS)
def test_a_card_passes_luhn_after_as_before(body: str, is_valid: bool, key: bytes) -> None:  # noqa: FBT001
    digit = validators.luhn_digit(body)
    card = body + (digit if is_valid else str((int(digit) + 3) % 10))

    assert validators.passes_luhn(keep_format(card, key)) == is_valid


@given(COUNTRIES, st.data(), KEYS)
def test_an_account_stays_valid_and_in_its_country(country: str, data: st.DataObject, key: bytes) -> None:
    length = validators.IBAN_LENGTHS[country] - 4
    account = data.draw(st.text("0123456789ABCXYZ", min_size=length, max_size=length))
    iban = country + validators.iban_digits(country, account) + account

    found = keep_format(iban, key)

    assert validators.is_iban(found)
    assert found[:2] == country
    assert found != iban


@given(st.integers(-(2**63), 2**63 - 1), KEYS)
def test_a_number_keeps_its_digits_and_fits_its_type(number: int, key: bytes) -> None:
    found = keep_number(number, key, largest=2**63 - 1)

    assert len(str(abs(found))) == len(str(abs(number)))
    assert -(2**63) <= found < 2**63


@given(st.integers(1, 400), KEYS, st.text(max_size=5))
def test_each_number_stands_in_the_place_of_one(size: int, key: bytes, tweak: str) -> None:
    assert sorted(permute(number, size, key=key, tweak=tweak) for number in range(size)) == list(range(size))


@given(st.lists(DIGITS, unique=True, max_size=40), KEYS)
def test_different_values_of_one_form_stay_different(values: list[str], key: bytes) -> None:
    assert len({keep_format(value, key) for value in values}) == len(values)


@given(
    st.lists(st.one_of(NAMES, EMAILS), min_size=1, max_size=30),
    st.sampled_from(["hash", "keep-format"]),
    KEYS,
)
def test_no_raw_value_is_left_in_a_masked_column(values: list[str], method: str, key: bytes) -> None:
    rule = MaskRule(column="a", method=method)  # type: ignore[arg-type]
    found = mask_rows(pa.table({"a": [*values, None]}), [rule], key).column("a").to_pylist()

    written = "\0".join(text for text in found if text is not None)
    assert not any(value in written for value in values)
    assert (len(set(found)), found[-1]) == (len({*values, None}), None)


@given(st.binary(max_size=40), st.binary(max_size=40), KEYS, KEYS)
def test_hashes_agree_only_for_equal_values_and_keys(
    one: bytes, other: bytes, key: bytes, second: bytes
) -> None:
    assert (hash_value(one, key) == hash_value(other, key)) == (one == other)
    assert (hash_value(one, key) == hash_value(one, second)) == (key == second)
