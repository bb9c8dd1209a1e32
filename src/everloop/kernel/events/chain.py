"""Seal events into a hash chain, verify it, and sign checkpoints of it.

The hash of an event is SHA-256 over the canonical JSON of its fields, its position and the hash before it. A chain alone
cannot show that its end was cut off: that takes a checkpoint kept somewhere else, signed with the home's Ed25519 key.
Tests: tests/unit/kernel/test_events.py.
"""

from __future__ import annotations

import base64
import hashlib
import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from everloop.core.clock import to_microseconds
from everloop.core.digests import canonical_json
from everloop.core.errors import EverloopError
from everloop.kernel.events.tables import checkpoint, event

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from everloop.core.clock import Clock
    from everloop.kernel.catalog import Catalog

GENESIS = "0" * 64
_BATCH = 1000
_ADVISORY_LOCK = 0x45564C53
_log = logging.getLogger(__name__)


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement: at `position` the chain had this `hash`. Keys and signature are base64."""

    position: int
    hash: str
    time: datetime
    public_key: str
    signature: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What `verify` found.

    Attributes:
        is_intact: nothing sealed was changed, and no checkpoint is contradicted.
        sealed: number of events in the chain.
        unsealed: number of events at the tail that have no place in the chain yet; they prove nothing.
        first_bad: position of the first event that is wrong or missing; None when intact.
        reason: what is wrong there.
    """

    is_intact: bool
    sealed: int
    unsealed: int
    first_bad: int | None = None
    reason: str = ""


class InvalidCheckpointError(EverloopError):
    """A checkpoint file is not readable, or its signature is not valid."""

    code = "events.invalid-checkpoint"


def seal(catalog: Catalog) -> int:
    """Give every committed event its position and hash; any number of sealers may run."""
    pending = sa.select(sa.literal(1)).where(event.c.position.is_(None)).limit(1)
    total = 0
    while True:
        with catalog.read() as connection:
            if connection.execute(pending).first() is None:
                return total
        with catalog.transaction() as connection:
            total += _seal_batch(connection, catalog.dialect)


def seal_quietly(catalog: Catalog) -> None:
    """Seal from a background thread, where a closed or busy catalog only means: later."""
    try:
        seal(catalog)
    except (EverloopError, SQLAlchemyError) as error:
        _log.debug("sealing is put off", extra={"error": str(error)})


def _seal_batch(connection: sa.Connection, dialect: str) -> int:
    if dialect == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    position, previous = _end_of_chain(connection)
    rows = connection.execute(
        sa.select(event).where(event.c.position.is_(None)).order_by(event.c.seq).limit(_BATCH)
    ).all()
    updates = []
    for row in rows:
        position += 1
        digest = _hash(position, previous, row)
        updates.append({"s": row.seq, "p": position, "v": previous, "h": digest})
        previous = digest
    if updates:
        statement = event.update().where(event.c.seq == sa.bindparam("s"))
        values: dict[str, sa.BindParameter[Any]] = {
            "position": sa.bindparam("p"),
            "previous_hash": sa.bindparam("v"),
            "hash": sa.bindparam("h"),
        }
        connection.execute(statement.values(values), updates)
    return len(updates)


def _end_of_chain(connection: sa.Connection) -> tuple[int, str]:
    query = sa.select(event.c.position, event.c.hash).where(event.c.position.is_not(None))
    last = connection.execute(query.order_by(event.c.position.desc()).limit(1)).first()
    return (last.position, last.hash) if last else (0, GENESIS)


def _hash(position: int, previous: str, row: sa.Row[Any]) -> str:
    fields = [
        position,
        previous,
        row.id,
        to_microseconds(row.time),
        row.actor,
        row.kind,
        row.subject,
        row.payload,
    ]
    return hashlib.sha256(canonical_json(fields)).hexdigest()


def verify(catalog: Catalog, *, against: Checkpoint | None = None) -> Verification:
    """Walk the whole chain and name the first event that is wrong or missing.

    Args:
        catalog: where the log is.
        against: a checkpoint from outside; finds a truncation, or a chain that was rewritten as a whole.

    Raises:
        InvalidCheckpointError: the signature of `against` is not valid.
    """
    if against is not None:
        _check_signature(against)
    with catalog.read() as connection:
        kept = {row.position: row.hash for row in connection.execute(sa.select(checkpoint))}
        if against is not None:
            kept[against.position] = against.hash
        unsealed = _count(connection, event.c.position.is_(None))
        return _walk(connection, kept, unsealed)


def _walk(connection: sa.Connection, anchors: dict[int, str], unsealed: int) -> Verification:
    position, previous = 0, GENESIS
    query = sa.select(event).where(event.c.position.is_not(None)).order_by(event.c.position)
    with connection.execute(query.execution_options(yield_per=_BATCH)) as rows:
        for row in rows:
            position += 1
            reason = _fault(row, position, previous) or _contradiction(row, anchors)
            if reason:
                return Verification(
                    is_intact=False, sealed=position - 1, unsealed=unsealed, first_bad=position, reason=reason
                )
            previous = row.hash
    if anchors and max(anchors) > position:
        reason = (
            f"the log ends at {position}, but a checkpoint signed event {max(anchors)}: the end was cut off"
        )
        return Verification(
            is_intact=False, sealed=position, unsealed=unsealed, first_bad=position + 1, reason=reason
        )
    return Verification(is_intact=True, sealed=position, unsealed=unsealed)


def _fault(row: sa.Row[Any], position: int, previous: str) -> str:
    if row.position != position:
        return f"event {position} is missing; the next one kept is {row.position}"
    if row.previous_hash != previous:
        return f"event {position} does not follow event {position - 1}: it was moved or replaced"
    if row.hash != _hash(position, previous, row):
        return f"event {position} ({row.kind} of {row.subject}) was changed after it was sealed"
    return ""


def _contradiction(row: sa.Row[Any], anchors: dict[int, str]) -> str:
    if anchors.get(row.position, row.hash) != row.hash:
        return f"event {row.position} differs from the one a signed checkpoint names: the log was rewritten"
    return ""


def _count(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> int:
    return int(
        connection.execute(sa.select(sa.func.count()).select_from(event).where(condition)).scalar_one()
    )


def sign_checkpoint(catalog: Catalog, clock: Clock, key_file: Path) -> Checkpoint:
    """Sign the end of the chain, keep the checkpoint in the catalog and return it for export.

    The key is made on first use and readable by its owner only.
    """
    seal(catalog)
    key = _load_key(key_file)
    with catalog.transaction(durable=True) as connection:
        position, digest = _end_of_chain(connection)
        made = _sign(key, position, digest, clock.now())
        known = connection.execute(
            sa.select(checkpoint.c.position).where(checkpoint.c.position == position)
        ).first()
        if known is None:
            connection.execute(checkpoint.insert().values(msgspec.structs.asdict(made)))
    return made


def read_checkpoint(file: Path) -> Checkpoint:
    """Read the newest checkpoint of an exported file (one JSON document a line).

    Raises:
        InvalidCheckpointError: the file holds none.
    """
    try:
        last = file.read_text().strip().splitlines()[-1]
        return msgspec.json.decode(last, type=Checkpoint)
    except (OSError, IndexError, msgspec.DecodeError) as error:
        raise InvalidCheckpointError(
            f"{file} holds no checkpoint: {error}. Choose a file written by `everloop events checkpoint`."
        ) from error


def _load_key(file: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made = Ed25519PrivateKey.generate()
        pem = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.touch(mode=0o600)
        file.write_bytes(pem)
        return made
    loaded = serialization.load_pem_private_key(file.read_bytes(), password=None)
    if not isinstance(loaded, Ed25519PrivateKey):
        raise InvalidCheckpointError(
            f"{file} is not an Ed25519 key. Move it away; a new one is made at the next checkpoint."
        )
    return loaded


def _message(position: int, digest: str, time: datetime) -> bytes:
    return canonical_json(["everloop-checkpoint-1", position, digest, to_microseconds(time)])


def _sign(key: Ed25519PrivateKey, position: int, digest: str, time: datetime) -> Checkpoint:
    return Checkpoint(
        position=position,
        hash=digest,
        time=time,
        public_key=base64.b64encode(key.public_key().public_bytes_raw()).decode(),
        signature=base64.b64encode(key.sign(_message(position, digest, time))).decode(),
    )


def _check_signature(made: Checkpoint) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(made.public_key))
        key.verify(base64.b64decode(made.signature), _message(made.position, made.hash, made.time))
    except (InvalidSignature, ValueError) as error:
        raise InvalidCheckpointError(
            f"the signature of the checkpoint at event {made.position} is not valid: the file was changed. Use another copy."
        ) from error
