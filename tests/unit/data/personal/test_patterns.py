"""E-mail, telephone and the words of columns."""

from __future__ import annotations

import pytest

from everloop.data.personal import patterns


@pytest.mark.parametrize(
    "text",
    [
        "+44 20 7946 0018", "+49 (0)30 901820", "+14155552671", "0033 1 23 45 67 89", "(415) 555-2671", "415-555-2671",
        "01 23 45 67 89", "030/901820-77", "020 7946 0018", "0171 1234567",
    ],
)  # fmt: skip
def test_a_telephone_number_is_known_as_people_write_it(text: str) -> None:
    assert patterns.is_phone(text)


@pytest.mark.parametrize(
    "text",
    [
        "2013-01-02", "01-02-2013", "2013/01/02 10:15", "123-45-6789", "1234567890", "12.5", "100-200", "2013-01", "0",
        "+5", "978-3-16-148410-0", "192.168.100.200", "00-01",
    ],
)  # fmt: skip
def test_dates_codes_and_numbers_are_no_telephone_numbers(text: str) -> None:
    assert not patterns.is_phone(text)


def test_an_email_is_whole_and_has_a_domain() -> None:
    assert patterns.is_email("o'neil+x@mail.example.co.uk")
    assert not any(map(patterns.is_email, ["a@b", "a@@b.de", "@b.de", "a b@c.de", "a@-b.de", "a@b.c"]))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ("date_of_birth", "birth-date"), ("Geburtsdatum", "birth-date"), ("dateNaissance", "birth-date"),
        ("FECHA_NACIMIENTO", "birth-date"), ("födelsedatum", "birth-date"), ("firstName", "person-name"),
        ("last_name", "person-name"), ("Vorname", "person-name"), ("prénom", "person-name"), ("apellidos", "person-name"),
        ("Imię", "person-name"), ("shipping_address", "address"), ("Straße", "address"), ("dirección", "address"),
        ("zip_code", "postcode"), ("PLZ", "postcode"), ("code_postal", "postcode"), ("codigoPostal", "postcode"),
    ],
)  # fmt: skip
def test_a_column_is_known_by_its_name_in_many_languages(column: str, kind: str) -> None:
    words = patterns.words_of(column)

    assert [
        one.name for one in patterns.NAMED_KINDS if patterns.is_called(words, one.names, one.not_named)
    ] == [kind]


@pytest.mark.parametrize(
    "column",
    ["name", "birth_weight", "birthplace", "file_name", "first", "ip_address", "mac_address", "zip_file", "name_id", "capital",
     "streetcar", "address_type", "email_address"],
)  # fmt: skip
def test_a_column_that_is_called_nearly_so_is_not_taken(column: str) -> None:
    words = patterns.words_of(column)

    assert not any(patterns.is_called(words, one.names, one.not_named) for one in patterns.NAMED_KINDS)
