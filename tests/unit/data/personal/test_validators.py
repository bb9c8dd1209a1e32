"""Numbers of people, accounts and cards: published examples are known, one changed digit is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.data.personal import validators

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKED = [
    (validators.is_card, "4111 1111 1111 1111"),
    (validators.is_card, "5555555555554444"),
    (validators.is_card, "378282246310005"),
    (validators.is_iban, "DE89 3704 0044 0532 0130 00"),
    (validators.is_iban, "GB82WEST12345698765432"),
    (validators.is_iban, "FR1420041010050500013M02606"),
    (validators.is_de_steuer_id, "86095742719"),
    (validators.is_de_steuer_id, "47 036 892 816"),
    (validators.is_fr_nir, "2 55 08 14 168 025 38"),
    (validators.is_es_dni, "12345678Z"),
    (validators.is_es_dni, "X1234567L"),
    (validators.is_it_codice_fiscale, "RSSMRA85T10A562S"),
    (validators.is_nl_bsn, "111222333"),
    (validators.is_pl_pesel, "44051401359"),
    (validators.is_se_personnummer, "811228-9874"),
    (validators.is_se_personnummer, "19670919-9530"),
]


@pytest.mark.parametrize(("is_valid", "text"), CHECKED)
def test_a_published_example_is_valid_and_no_other_last_character_is(
    is_valid: Callable[[str], bool], text: str
) -> None:
    letters = "0123456789" if text[-1].isdecimal() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

    assert [text[:-1] + last for last in letters if is_valid(text[:-1] + last)] == [text]


@pytest.mark.parametrize(
    "text", ["", "x", "4111", "٤١١١١١١١١١١١١١١١", "DE", "-5", "1234567890123456789012345"]
)
def test_nonsense_is_of_no_kind(text: str) -> None:
    assert not any(is_valid(text) for is_valid, _ in CHECKED)


def test_luhn_alone_makes_no_card() -> None:
    assert validators.passes_luhn("1000000000000008")
    assert not validators.is_card("1000000000000008")
    assert not validators.is_card("41111111111111")  # no Visa card has 14 digits


def test_numbers_that_were_never_given_are_no_social_security_numbers() -> None:
    given = ["123-45-6789", "899-99-9999"]
    never = ["000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "1234-5-6789"]

    assert [text for text in given + never if validators.is_us_ssn(text)] == given


def test_prefixes_that_are_not_used_make_no_insurance_number() -> None:
    assert validators.is_uk_nino("AB 12 34 56 C")
    assert not any(map(validators.is_uk_nino, ["QQ123456C", "GB123456A", "AB123456E", "AB12345C"]))


def test_an_address_of_a_machine_is_told_from_times_and_versions() -> None:
    assert all(map(validators.is_ip_address, ["192.168.0.7", "2001:db8::8a2e:370:7334"]))
    assert not any(map(validators.is_ip_address, ["12:30:45", "1.2.3", "10.0.19041.1", "127.0.0.1", "::"]))


def test_a_personal_number_needs_a_date() -> None:
    assert not validators.is_pl_pesel("44139901354")
    assert not validators.is_se_personnummer("8113289871")
    assert validators.is_se_personnummer("701063-2391")  # a coordination number: the day is 63 - 60
