"""Frozen values of personal data. They hold shapes of values, never values. Tests: tests/unit/data/personal."""

from __future__ import annotations

from typing import Literal

import msgspec

from everloop.data.records import DatasetVersion, Part, Tally

PersonalKind = Literal[
    "email", "phone", "card", "iban", "ip-address", "us-ssn", "uk-nino", "de-steuer-id", "fr-nir", "es-dni",
    "it-codice-fiscale", "nl-bsn", "pl-pesel", "se-personnummer", "birth-date", "person-name", "address", "postcode",
]  # fmt: skip
Confidence = Literal["checksum", "pattern", "name"]
MaskMethod = Literal["drop", "hash", "keep-format", "redact", "generalize"]


class PersonalColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of personal data in one column.

    Attributes:
        share: of the different values looked at that are of this kind.
        confidence: what it rests on: a checksum that too many values pass for chance, a pattern, or the column's name.
        seen: how many different values were looked at.
        examples: shapes of some values: letters as `x`, digits as `9`.
        is_within: the kind was found inside longer texts.
    """

    column: str
    type: str
    kind: PersonalKind
    share: float
    confidence: Confidence
    seen: int
    examples: list[str]
    is_within: bool = False


class PersonalReport(msgspec.Struct, frozen=True, kw_only=True):
    """The personal data found in a content.

    Attributes:
        ref: the version asked for; digest: of its content, by which the report is kept.
        rows: of the table; sampled: how many of them were looked at.
        detector: version of the rules that looked; a report of older rules is made again.
        columns: what was found, in the order of the columns; nothing found is no proof that nothing is there.
    """

    ref: str = ""
    digest: str
    rows: int
    sampled: int
    detector: int
    columns: list[PersonalColumn]


class MaskRule(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to one column; `argument` is of the method: a text, a width, `month`, a length."""

    column: str
    method: MaskMethod
    argument: str = ""


class MaskedPart(msgspec.Struct, frozen=True, kw_only=True):
    """What a part became under a policy."""

    parts: list[Part]
    tally: Tally
    order: str


class Masked(msgspec.Struct, frozen=True, kw_only=True):
    """A derived version.

    Attributes:
        source: the version that was masked.
        version: what came of it.
        policy: digest of the rules and of the key's fingerprint; equal policies give equal values for equal values.
        masked_parts: parts that were masked now; known_parts: those that were masked before.
        unmasked: columns in which personal data was found and that no rule covers.
    """

    source: str
    version: DatasetVersion
    policy: str
    rules: list[MaskRule]
    masked_parts: int
    known_parts: int
    unmasked: list[str]
