"""Each method does to a column what it says, streams part by part, and leaves the raw values behind."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from everloop.core.digests import Digest
from everloop.data.personal import keys, masking, validators
from everloop.data.personal.keys import MaskingKeyError, load_key
from everloop.data.personal.pseudonyms import keep_format, keep_number
from everloop.data.personal.records import MaskRule
from everloop.data.personal.rules import MaskPolicyError, kept_keys, kept_time, parse_policy
from everloop.data.protecting import MaskTargetError
from everloop.data.records import Column
from everloop.data.service import Data

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeKernel

    from everloop.kernel.operations import Kernel

KEY = bytes(range(32))
COLUMNS = [
    Column(name="id", type="int64"),
    Column(name="email", type="string"),
    Column(name="seen", type="bool"),
]
PATIENTS: dict[str, list[Any]] = {
    "id": [1, 2, 3, 4],
    "email": ["ada.lovelace@example.org", "bob.builder@example.org", None, "cleo.patra@example.org"],
    "card": ["4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", None],
    "phone": ["+44 20 7946 0018", "+44 20 7946 0019", "+44 20 7946 0020", None],
    "name": ["Ada Lovelace", "Bob Builder", "Özlem Yıldız", None],
    "born": [date(1980, 5, 1), date(1991, 6, 2), date(1971, 11, 30), None],
    "zip": ["90210", "10115", "7500", None],
    "weight": [61.5, 80.0, 55.2, None],
}
POLICY = {
    "email": "hash", "card": "keep-format", "phone": "drop", "name": "redact", "born": "generalize", "zip": "generalize:3",
    "weight": "generalize",
}  # fmt: skip


def masked(rule: str, values: Any, kind: Any = None) -> list[Any]:
    rows = pa.table({"a": pa.array(values, kind)})
    rules = parse_policy({"a": rule}, [Column(name="a", type=str(rows.schema.field("a").type))])
    return masking.mask_rows(rows, rules, KEY).column("a").to_pylist()


def test_every_method_does_what_it_says(any_kernel: Kernel) -> None:
    data = Data(any_kernel)
    data.add("patients", PATIENTS, keys=["id"])

    found = data.mask("patients", POLICY, to="masked")
    rows = data.read("masked").to_arrow().to_pydict()

    assert list(rows) == ["id", "email", "card", "name", "born", "zip", "weight"]
    assert rows["id"] == [1, 2, 3, 4]
    assert [len(text) for text in rows["email"] if text] == [32, 32, 32]
    assert [validators.passes_luhn(validators.bare(text)) for text in rows["card"] if text] == [True] * 3
    assert [len(text) for text in rows["card"] if text] == [19, 19, 15]
    assert rows["name"] == [masking.REDACTED] * 3 + [None]
    assert rows["born"] == [date(1980, 1, 1), date(1991, 1, 1), date(1971, 1, 1), None]
    assert rows["zip"] == ["90***", "10***", "75**", None]  # never more than half stays
    assert rows["weight"] == [60.0, 80.0, 50.0, None]
    assert (found.version.operation, found.version.keys, found.unmasked) == ("mask", ["id"], [])


def test_no_raw_value_is_in_the_parts_the_manifest_or_the_catalog(
    make_kernel: MakeKernel, tmp_path: Path
) -> None:
    kernel = make_kernel(home=tmp_path / "home")
    data = Data(kernel)
    data.add("patients", PATIENTS)
    version = data.mask("patients", {**POLICY, "weight": "drop"}, to="masked").version
    parts = data.content(version.ref).parts
    written = [
        kernel.objects.get(Digest(digest)) for digest in [*(part.digest for part in parts), version.manifest]
    ]
    shown = str(data.read(version.ref).to_arrow().to_pylist()).encode()
    kernel.close()
    catalog = b"".join(file.read_bytes() for file in (tmp_path / "home").glob("catalog.db*"))
    key = (tmp_path / "home" / "keys" / "masking.key").read_bytes()

    for name in ["email", "card", "phone", "name"]:
        for raw in filter(None, PATIENTS[name]):
            assert all(str(raw).encode() not in content for content in [*written, shown, catalog])
    assert key not in catalog
    assert bytes.fromhex(key.decode()) not in catalog


def test_an_append_to_the_source_masks_only_what_came(data: Data) -> None:
    data.add("t", {"email": ["ada@example.org"]})
    first = data.mask("t", {"email": "hash"}, to="m")
    data.add("t", {"email": ["bob@example.org"]}, mode="append")

    second = data.mask("t", {"email": "hash"}, to="m")
    again = data.mask("t", {"email": "hash"}, to="m")

    assert [(one.masked_parts, one.known_parts) for one in (first, second, again)] == [(1, 0), (1, 1), (0, 2)]
    assert data.diff("m@v1", "m@v2").is_append
    assert (again.version.ref, again.version.is_unchanged) == ("m@v2", True)
    assert data.read("m@v2").to_arrow().column("email").to_pylist()[:1] == (
        data.read("m@v1").to_arrow().column("email").to_pylist()
    )


def test_rows_deleted_in_the_source_are_not_in_the_masked_version(data: Data) -> None:
    data.add("t", {"id": [1, 2, 3], "email": ["a@x.org", "b@x.org", "c@x.org"]})
    data.remove("t", "id = 2")

    data.mask("t", {"email": "redact"}, to="m")

    assert data.read("m").to_arrow().column("id").to_pylist() == [1, 3]


def test_a_masked_part_that_was_collected_is_masked_again(data: Data) -> None:
    data.add("t", {"email": ["ada@example.org"]})
    data.mask("t", {"email": "hash"}, to="m")
    data.kernel.objects.delete(Digest(data.content("m").parts[0].digest))

    found = data.mask("t", {"email": "hash"}, to="n")

    assert (found.masked_parts, data.read("n").num_rows) == (1, 1)


def test_an_empty_table_is_masked(data: Data) -> None:
    data.add("t", {"email": ["ada@example.org"]})
    data.remove("t", "true")

    assert data.mask("t", {"email": "hash"}, to="m").version.rows == 0
    assert data.read("m").to_arrow().schema.names == ["email"]


def test_equal_values_meet_across_datasets_types_and_columns(data: Data) -> None:
    data.add("visits", {"patient": [7, 8], "at": [1, 2]})
    data.add("people", {"id": ["8", "9"]})
    data.mask("visits", {"patient": "hash"}, to="visits-masked")
    data.mask("people", {"id": "hash"}, to="people-masked")

    visits = data.read("visits-masked").to_arrow().column("patient").to_pylist()
    people = data.read("people-masked").to_arrow().column("id").to_pylist()

    assert visits[1] == people[0]
    assert len({*visits, *people}) == 3


def test_lineage_and_event_name_source_policy_and_columns(data: Data) -> None:
    data.add("t", {"email": ["ada@example.org"]})
    found = data.mask("t", {"email": "redact:gone"}, to="m")

    (edge,) = data.kernel.events.edges("dataset:m@v1")
    told = {event.kind: event for event in data.kernel.events.read(subject="dataset:m@v1")}
    assert (edge.source, edge.verb) == ("dataset:t@v1", "masked")
    assert set(told) == {"dataset.masked", "dataset.versioned"}
    assert told["dataset.masked"].payload["columns"] == {"email": "redact"}
    assert told["dataset.masked"].payload["policy"] == found.policy


def test_columns_with_personal_data_that_no_rule_covers_are_named(data: Data) -> None:
    data.add("t", {"email": ["ada@example.org"], "vorname": ["Ada"], "n": [1]})

    assert data.mask("t", {"email": "hash"}, to="m").unmasked == ["vorname"]


def test_a_target_that_holds_other_versions_is_refused(data: Data) -> None:
    data.add("t", {"email": ["ada@example.org"]})
    data.add("other", {"a": [1]})

    for to in ("t", "other"):
        with pytest.raises(MaskTargetError):
            data.mask("t", {"email": "hash"}, to=to)


def test_another_home_masks_differently_and_does_not_mix_with_this_one(
    make_kernel: MakeKernel, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    objects = str(tmp_path / "objects")
    one, other = (
        Data(make_kernel(home=tmp_path / name, catalog_url=url, objects_url=objects)) for name in ("a", "b")
    )
    one.add("t", {"email": ["ada@example.org"]})
    one.mask("t", {"email": "hash"}, to="m")

    with pytest.raises(MaskingKeyError, match="another key"):
        other.mask("t", {"email": "hash"}, to="m")
    other.mask("t", {"email": "hash"}, to="n")
    assert one.read("m").to_arrow() != one.read("n").to_arrow()


def test_a_key_is_kept_for_its_owner_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    first = load_key(tmp_path)
    file = tmp_path / "keys" / keys.FILE

    assert load_key(tmp_path) == first
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == [keys.FILE]
    file.write_text("short")
    with pytest.raises(MaskingKeyError, match="backup"):
        load_key(tmp_path)


def test_a_policy_that_does_not_fit_names_every_fault() -> None:
    with pytest.raises(MaskPolicyError) as caught:
        parse_policy({"x": "drop", "email": "shred", "seen": "keep-format", "id": "generalize:-1"}, COLUMNS)

    assert caught.value.details["faults"] == [
        "there is no column x",
        "email: there is no method 'shred'",
        "seen: keep-format does not fit bool",
        "id: generalize:N says how wide a bin is",
    ]
    for policy in (
        {},
        {"id": "drop", "email": "drop", "seen": "drop"},
        {"id": "redact:0"},
        {"email": "hash:md5"},
    ):
        with pytest.raises(MaskPolicyError):
            parse_policy(policy, COLUMNS)


def test_keys_and_times_stay_only_while_they_say_the_same() -> None:
    def rule(column: str, method: str) -> list[MaskRule]:
        return [MaskRule(column=column, method=method)]  # type: ignore[arg-type]

    assert kept_keys(["id"], rule("id", "hash")) == ["id"]
    assert kept_keys(["id"], rule("other", "drop")) == ["id"]
    assert kept_keys(["id", "day"], rule("id", "generalize")) == []
    assert [kept_time("at", rule("at", method)) for method in ("generalize", "hash", "drop", "redact")] == [
        "at", "", "", "",
    ]  # fmt: skip


def test_values_are_generalised_within_their_type() -> None:
    moment = datetime(2024, 5, 17, 13, 30, tzinfo=UTC)

    assert masked("generalize:month", [moment]) == [datetime(2024, 5, 1, tzinfo=UTC)]
    assert masked("generalize:decade", [date(1987, 3, 2)]) == [date(1980, 1, 1)]
    assert masked("generalize:25", [-1, 0, 24, 25, None]) == [-25, 0, 0, 25, None]
    assert masked("generalize", [-128, 127], pa.int8()) == [-128, 120]
    assert masked("generalize:0.5", [1.74, -0.2]) == [1.5, -0.5]
    assert masked("generalize", ["SW1A 1AA", "a", ""]) == ["SW******", "*", ""]
    assert masked("redact", [1, None]) == [None, None]


def test_numbers_keep_their_digits_their_sign_and_their_type() -> None:
    values = [4_111_111_111_111_111, -1_234_567, 2**63 - 1, -(2**63), 7, 0, 90_210]
    found = masked("keep-format", values, pa.int64())

    assert [len(str(abs(int(str(one))))) for one in found] == [16, 7, 19, 19, 1, 1, 5]
    assert [int(str(one)) < 0 for one in found] == [False, True, False, True, False, False, False]
    assert found[4:] == [0, 0, 10_000]  # too few numbers to hide among
    assert keep_number(2_000_000_000, KEY, largest=2**31 - 1) <= 2**31 - 1


def test_an_account_keeps_its_country_and_has_check_digits() -> None:
    found = keep_format("DE89 3704 0044 0532 0130 00", KEY)

    assert validators.is_iban(found)
    assert (found[:2], found[4::5]) == ("DE", " " * 5)
    assert keep_format("GB82WEST12345698765432", KEY)[4:8].isalpha()


def test_short_values_become_constant() -> None:
    assert keep_format("Li", KEY) == keep_format("Xu", KEY) == "Xx"
    assert keep_format("12-34", KEY) == "00-00"
    assert keep_format("a@b.org", KEY) == "x@x.org"


def test_masking_keeps_few_rows_in_memory(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table({"email": [f"user{n}@example.org" for n in range(300_000)]})
    data.add("t", rows)
    sizes: list[int] = []
    original = masking.mask_rows

    def watched(part: pa.Table, rules: list[MaskRule], key: bytes) -> pa.Table:
        sizes.append(part.num_rows)
        return original(part, rules, key)

    monkeypatch.setattr(masking, "mask_rows", watched)

    data.mask("t", {"email": "hash"}, to="m")

    assert sum(sizes) == 300_000
    assert max(sizes) < 200_000
