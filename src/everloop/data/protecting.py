"""The verbs of personal data: what a version holds, and versions in which it is masked.

Tests: tests/unit/data/personal/test_protecting.py, tests/property/test_masking.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from everloop.core.digests import Digest
from everloop.core.errors import ConflictError
from everloop.data import committed, rules
from everloop.data import queries as datasets
from everloop.data.manifests import decode_manifest
from everloop.data.personal import queries
from everloop.data.personal import rules as decide
from everloop.data.personal.keys import MaskingKeyError, fingerprint, load_key
from everloop.data.personal.records import Masked, MaskedPart, MaskRule, PersonalReport
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    import sqlalchemy as sa

    from everloop.data.records import DatasetVersion, TableReference


class MaskTargetError(ConflictError):
    """A masked version was to go into a dataset that holds other versions."""

    code = "data.mask-target"


class _Made(NamedTuple):
    content: TableReference
    policy: Digest
    fresh: int
    known: int


class Protecting(Service):
    """Find personal data, and keep it out of what others see."""

    @operation("GET /dataset-versions/{ref}/personal", needs="dataset.read", cli="data personal")
    def personal(self, ref: str, *, as_of: datetime | None = None) -> PersonalReport:
        """Return the personal data found in a table version: columns, kinds, shares, shapes of values, never values.

        Looked for on the first call for a content and kept by its digest. Rows are looked at, not all of them: see
        `everloop.data.personal.detection`.
        """
        return self._report(self._source(ref, as_of)[1])

    @operation(
        "POST /dataset-versions/{ref}/masked", needs="dataset.mask", emits="dataset.masked", cli="data mask"
    )
    def mask(
        self, ref: str, policy: dict[str, str], *, to: str, branch: str = rules.MAIN, message: str = ""
    ) -> Masked:
        """Add a version to another dataset that holds the rows of a version with some columns masked.

        Parts that were masked before by the same policy are not read again, so masking a version after an append costs the append. It
        runs where the home is, whose key it needs.

        Args:
            ref: the version.
            policy: for each column what is done to it: `drop`; `hash`, a keyed hash that is the same in every version and dataset of
                this home; `keep-format`, another value of the same form; `redact` or `redact:TEXT`; `generalize`, times to the
                year (or `generalize:month`, `decade`), numbers to bins (`generalize:10`), texts to their first characters
                (`generalize:2`). Other columns stay as they are.
            to: the dataset of the masked versions.
            branch: which branch of it moves.
            message: why, for people.

        Raises:
            MaskPolicyError: a column or method is unknown, or they do not fit.
            MaskTargetError: `to` holds versions that were not masked.
            MaskingKeyError: `to` was masked with another key.
            VersionMovedError: another version was added meanwhile.
        """
        rules.parse_reference(to)
        rules.parse_ref_name(branch)
        source, content = self._source(ref, None)
        chosen = decide.parse_policy(policy, content.columns)
        key = load_key(self.kernel.home)
        with self.kernel.catalog.read() as connection:
            _refuse_target(connection, source, to, fingerprint(key))
            parent = datasets.head_number(connection, to, branch)
        made = self._mask_parts(content, chosen, key)
        with self.kernel.catalog.transaction() as connection:
            committed.refuse_moved(connection, to, branch, parent)
            known = committed.same_content(connection, to, parent, made.content)
            if known is not None:
                self.unchanged()
                version = msgspec.structs.replace(known, is_unchanged=True)
            else:
                version = committed.write_version(
                    self.kernel,
                    connection,
                    to,
                    made.content,
                    parent=parent,
                    branch=branch,
                    operation="mask",
                    message=message or f"{source.ref} masked",
                    keys=decide.kept_keys(source.keys, chosen),
                    event_time=decide.kept_time(source.event_time, chosen),
                    known_time=decide.kept_time(source.known_time, chosen),
                )
                self._tell_masked(connection, source, version, made, chosen, fingerprint(key))
        found = self._report(content)
        covered = {rule.column for rule in chosen}
        return Masked(
            source=source.ref,
            version=version,
            policy=made.policy,
            rules=chosen,
            masked_parts=made.fresh,
            known_parts=made.known,
            unmasked=sorted({one.column for one in found.columns} - covered),
        )

    def _source(self, ref: str, as_of: datetime | None) -> tuple[DatasetVersion, TableReference]:
        with self.kernel.catalog.read() as connection:
            found = datasets.version_of(datasets.find_row(connection, rules.parse_reference(ref), as_of))
            committed.refuse_other_shape(connection, found.dataset, "table")
        content = decode_manifest(self.kernel.objects.get(Digest(found.manifest)))
        return found, msgspec.structs.replace(content, name=found.ref)

    def _report(self, content: TableReference) -> PersonalReport:
        from everloop.data.personal import detection
        from everloop.data.statistics import known_profile

        with self.kernel.catalog.read() as connection:
            known = queries.find_report(connection, content.digest, detector=detection.DETECTOR)
        if known is None:
            from everloop.data.table import Table

            table = Table.open(content, self.kernel.objects)
            known = detection.find_personal(table, profile=known_profile(content, self.kernel))
            with self.kernel.catalog.transaction() as connection:
                queries.keep_report(connection, known)
        return msgspec.structs.replace(known, ref=content.name)

    def _mask_parts(self, content: TableReference, chosen: list[MaskRule], key: bytes) -> _Made:
        """Mask the parts that this policy has not seen, and keep what came of each at once."""
        from everloop.data.personal import masking

        policy = masking.policy_digest(chosen, content.columns, key)
        parts = [part for part in content.parts if part.live] or content.parts[:1]
        known = self._known_parts(policy, [part.key for part in parts])
        fresh = 0
        for part in parts:
            if part.key not in known:
                known[part.key] = masking.mask_part(part, chosen, key, self.kernel.objects)
                fresh += 1
                with self.kernel.catalog.transaction() as connection:
                    queries.keep_masked_parts(connection, policy, {part.key: known[part.key]})
        columns = masking.masked_columns(content.columns, chosen)
        joined = masking.joined([known[part.key] for part in parts], columns)
        return _Made(joined, policy, fresh, len(parts) - fresh)

    def _known_parts(self, policy: Digest, parts: list[str]) -> dict[str, MaskedPart]:
        """Return masked parts whose objects are in the store still; asking for them keeps them there."""
        with self.kernel.catalog.read() as connection:
            found = queries.masked_parts(connection, policy, parts)
        objects = {Digest(one.digest) for masked in found.values() for one in masked.parts}
        missing = self.kernel.objects.missing(objects)
        return {
            part: masked
            for part, masked in found.items()
            if not any(Digest(one.digest) in missing for one in masked.parts)
        }

    def _tell_masked(
        self,
        connection: sa.Connection,
        source: DatasetVersion,
        version: DatasetVersion,
        made: _Made,
        chosen: list[MaskRule],
        key: str,
    ) -> None:
        queries.insert_mask(
            connection,
            {
                "dataset": version.dataset,
                "version": version.version,
                "source": source.ref,
                "policy": made.policy,
                "fingerprint": key,
                "rules": chosen,
            },
        )
        subject = f"dataset:{version.ref}"
        methods = {rule.column: rule.method for rule in chosen}
        facts = {"source": source.ref, "policy": made.policy, "columns": methods, "rows": version.rows}
        event = self.emit(connection, subject=subject, payload=facts)
        # What waits for new versions of a dataset waits for these, too.
        told = committed.facts_of(version)
        self.kernel.events.append(connection, kind="dataset.versioned", subject=subject, payload=told)
        self.kernel.events.link(
            connection, source=f"dataset:{source.ref}", verb="masked", target=subject, event=event
        )


def _refuse_target(connection: sa.Connection, source: DatasetVersion, to: str, key: str) -> None:
    """Refuse to put masked rows among others, or to mix keys."""
    if to == source.dataset:
        raise MaskTargetError(
            f"{source.ref} cannot be masked into its own dataset, where rows stand as they are. Name another: {to}-masked.",
            subject=f"dataset:{to}",
        )
    if not datasets.latest_number(connection, to):
        return
    before = queries.last_mask(connection, to)
    if before is None:
        raise MaskTargetError(
            f"dataset {to} holds versions that were not masked. Name a dataset of its own for the masked ones.",
            subject=f"dataset:{to}",
        )
    if before.fingerprint != key:
        raise MaskingKeyError(
            f"dataset {to} was masked with another key than this home's, so its values would not meet. Bring keys/masking.key of "
            "that home here, or name another dataset.",
            subject=f"dataset:{to}",
        )
