"""The report of a version is made once for a content, kept without values, and told by no event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
import sqlalchemy as sa

from everloop.data.committed import ShapeError
from everloop.data.personal import detection
from everloop.data.personal.tables import personal_report
from everloop.data.service import Data

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.operations import Kernel

PATIENTS = {
    "id": [1, 2, 3],
    "full_name": ["Ada Lovelace", "Bob Builder", "Cleo Patra"],
    "email": ["ada@example.org", "bob@example.org", "cleo@example.org"],
    "weight": [61.5, 80.0, 55.2],
}


@pytest.fixture
def data(any_kernel: Kernel) -> Data:
    return Data(any_kernel)


def test_a_report_names_the_version_and_is_kept_by_content(
    data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.add("patients", PATIENTS)
    first = data.personal("patients")
    data.add("copy", PATIENTS)
    monkeypatch.setattr(detection, "find_personal", None)  # not called again

    assert [(one.column, one.kind) for one in first.columns] == [
        ("full_name", "person-name"),
        ("email", "email"),
    ]
    assert (first.ref, first.rows) == ("patients@v1", 3)
    assert data.personal("copy@v1") == msgspec.structs.replace(first, ref="copy@v1")


def test_newer_rules_look_again(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    data.add("patients", PATIENTS)
    data.personal("patients")
    monkeypatch.setattr(detection, "DETECTOR", detection.DETECTOR + 1)

    assert data.personal("patients").detector == detection.DETECTOR
    with data.kernel.catalog.read() as connection:
        assert len(connection.execute(sa.select(personal_report)).all()) == 1


def test_frequent_values_of_a_kept_profile_are_looked_at(data: Data) -> None:
    rows = ["plain"] * 200_000
    rows[100] = rows[101] = "ada@example.org"  # between the places that are looked at
    data.add("notes", {"note": rows})

    data.profile("notes")

    assert [one.kind for one in data.personal("notes").columns] == ["email"]


def test_what_is_kept_and_told_holds_no_value(data: Data) -> None:
    data.add("patients", PATIENTS)
    data.personal("patients")

    with data.kernel.catalog.read() as connection:
        kept = connection.execute(sa.select(sa.cast(personal_report.c.report, sa.Text))).scalar_one()
    told = str(data.kernel.events.read())
    assert "xxx@xxxxxxx.xxx" in kept
    for raw in ["Ada", "Lovelace", "ada@", "example."]:
        assert raw not in kept
        assert raw not in told


def test_files_have_no_columns(data: Data, tmp_path: Path) -> None:
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "a.txt").write_text("x")
    data.add_files("some", tmp_path / "some")

    with pytest.raises(ShapeError):
        data.personal("some")
