"""The prediction log: raw frames in, Parquet objects out.

The gateway writes a frame a request: body and answers as they are; of one that failed, which rows of which version and why. Another process converts frames to Parquet, because doing
it in the gateway costs a third of its throughput or more. Converting is idempotent: a part is named by its segment and
offset, so a kill between storing the object and writing the row changes nothing. Tests: tests/unit/serving/test_prediction_log.py.
"""

from __future__ import annotations

import fcntl
import io
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from everloop.core.clock import from_microseconds, to_microseconds
from everloop.core.digests import Digest
from everloop.registry.model import SIGNATURE
from everloop.registry.records import Signature
from everloop.serving import tables
from everloop.serving.decoding import RequestDecoder
from everloop.serving.frames import SUFFIX, is_abandoned, read_frames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from everloop.kernel.operations import Kernel

LOG_COLUMNS = (
    "id", "time", "logged_at", "deployment", "version", "model_digest", "prediction", "probabilities", "latency_us", "request_rows",
    "label", "label_text", "label_time", "known_at",
)  # fmt: skip
_TYPES = {"double": pa.float64(), "long": pa.int64(), "boolean": pa.bool_(), "string": pa.string()}
_TIME = pa.timestamp("us", tz="UTC")
_FAILURE_TYPES: dict[str, Any] = {
    "id": pa.string(),
    "time": _TIME,
    "logged_at": _TIME,
    "deployment": pa.string(),
    "version": pa.int64(),
    "model_digest": pa.string(),
    "code": pa.string(),
    "reason": pa.string(),
}
# A part holds about so many rows; a segment with more becomes several parts.
_PART_ROWS = 200_000


class PredictionFrame(msgspec.Struct, array_like=True, frozen=True):
    """One answered request, raw.

    Attributes:
        at: microseconds since 1970 by the world's clock.
        versions: the versions that answered, with their models' digests.
        which: for each row the place in `versions`; empty when one version answered all.
        outputs: little-endian doubles, `width` a row.
    """

    request: str
    at: int
    latency_us: int
    versions: list[tuple[int, str]]
    which: bytes
    width: int
    outputs: bytes
    body: bytes


class FailureFrame(msgspec.Struct, array_like=True, frozen=True):
    """Rows that a version could not answer.

    Attributes:
        at: microseconds since 1970 by the world's clock.
        code: of the error.
        ids, times: of each row; microseconds.
    """

    request: str
    at: int
    version: int
    digest: str
    code: str
    reason: str
    ids: list[str]
    times: list[int]


class LabelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Labels as they arrive.

    Attributes:
        times: when each label happened; empty when it is not known.
        known_at: when the labels became known, for all or for each; now when absent.
    """

    ids: list[str]
    labels: list[bool | int | float | str | None]
    times: list[datetime] = []
    known_at: datetime | list[datetime] | None = None


class LabelFrame(msgspec.Struct, array_like=True, frozen=True):
    """One delivery of labels, raw."""

    at: int
    body: bytes


class _Group(NamedTuple):
    """Rows of one model on the way to a table."""

    signature: Signature
    meta: dict[str, list[Any]]
    rows: list[tuple[Any, ...]]


def log_folder(home: Path, deployment: str) -> Path:
    """Return where a deployment's segments lie."""
    return home / "predictions" / deployment


def feature_column(name: str) -> str:
    """Return a feature's column in the log: its own name, with `feature.` before it when the log uses that name."""
    return f"feature.{name}" if name in LOG_COLUMNS else name


def convert(kernel: Kernel) -> int:
    """Turn every frame that is not yet in a part into Parquet objects; return the number of rows.

    Segments whose writer is gone are removed when all of their frames are in parts. One process converts at a time.
    """
    root = kernel.home / "predictions"
    if not root.is_dir():
        return 0
    signatures = Signatures(kernel)
    with _only_one(root / ".converting"):
        return sum(_convert_segment(kernel, path, signatures) for path in sorted(root.glob(f"*/*{SUFFIX}")))


class Signatures:
    """Signatures and decoders by model digest, read once."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._known: dict[str, tuple[Signature, RequestDecoder]] = {}

    def get(self, digest: str) -> tuple[Signature, RequestDecoder]:
        """Return the signature of a model and what decodes its requests."""
        if digest not in self._known:
            objects = self._kernel.objects
            files = msgspec.json.decode(objects.get(Digest(digest)), type=dict[str, str])
            signature = msgspec.json.decode(objects.get(Digest(files[SIGNATURE])), type=Signature)
            self._known[digest] = (signature, RequestDecoder(signature))
        return self._known[digest]


def _convert_segment(kernel: Kernel, path: Path, signatures: Signatures) -> int:
    kind, deployment = path.name.partition("-")[0], path.parent.name
    is_done = is_abandoned(path)
    rows = 0
    start = _converted_until(kernel, path.name)
    while True:
        frames, end = _next_frames(path, start, kind)
        if end == start:
            break
        table = _table(kind, frames, deployment, signatures)
        _store_part(kernel, path.name, (start, end), deployment, kind, table)
        rows, start = rows + table.num_rows, end
    if is_done:
        path.unlink(missing_ok=True)
    return rows


def _table(kind: str, frames: list[bytes], deployment: str, signatures: Signatures) -> pa.Table:
    match kind:
        case "predictions":
            return _predictions(frames, deployment, signatures)
        case "failures":
            return _failures(frames, deployment)
        case _:
            return _labels(frames)


def _next_frames(path: Path, start: int, kind: str) -> tuple[list[bytes], int]:
    frames: list[bytes] = []
    end, rows = start, 0
    for frame in read_frames(path, start):
        frames.append(frame.content)
        end = frame.end
        rows += _row_count(frame.content) if kind == "predictions" else len(frame.content) // 30
        if rows >= _PART_ROWS:
            break
    return frames, end


def _row_count(content: bytes) -> int:
    frame = msgspec.msgpack.decode(content, type=PredictionFrame)
    return len(frame.outputs) // 8 // max(frame.width, 1)


def _predictions(frames: list[bytes], deployment: str, signatures: Signatures) -> pa.Table:
    groups: dict[tuple[int, str], _Group] = {}
    for content in frames:
        frame = msgspec.msgpack.decode(content, type=PredictionFrame)
        for place, (version, digest) in enumerate(frame.versions):
            signature, decoder = signatures.get(digest)
            group = groups.setdefault((version, digest), _Group(signature, {}, []))
            _add_frame(group, frame, place, decoder)
    tables_ = [
        _group_table(group, deployment, version, digest)
        for (version, digest), group in groups.items()
        if group.rows
    ]
    return pa.concat_tables(tables_, promote_options="default") if tables_ else pa.table({})


def _add_frame(group: _Group, frame: PredictionFrame, place: int, decoder: RequestDecoder) -> None:
    request = decoder.decode(frame.body)
    count = len(request.rows)
    mine = [row for row in range(count) if not frame.which or frame.which[row] == place]
    answers = np.frombuffer(frame.outputs, dtype="<f8").reshape(count, frame.width)
    times = [to_microseconds(time) for time in request.times] or [frame.at] * count
    ids = request.ids or [f"{frame.request}-{row}" for row in range(count)]
    columns: dict[str, list[Any]] = {
        "id": [ids[row] for row in mine],
        "time": [times[row] for row in mine],
        "logged_at": [frame.at] * len(mine),
        "latency_us": [frame.latency_us] * len(mine),
        "request_rows": [count] * len(mine),
        "answer": [answers[row] for row in mine],
    }
    for name, values in columns.items():
        group.meta.setdefault(name, []).extend(values)
    group.rows.extend(request.rows[row] for row in mine)


def _group_table(group: _Group, deployment: str, version: int, digest: str) -> pa.Table:
    meta, count = group.meta, len(group.rows)
    columns: dict[str, Any] = {
        "id": pa.array(meta["id"], pa.string()),
        "time": pa.array(meta["time"], pa.int64()).cast(_TIME),
        "logged_at": pa.array(meta["logged_at"], pa.int64()).cast(_TIME),
        "deployment": pa.array([deployment] * count, pa.string()),
        "version": pa.array([version] * count, pa.int64()),
        "model_digest": pa.array([digest] * count, pa.string()),
    }
    for column, values in zip(group.signature.inputs, zip(*group.rows, strict=True), strict=True):
        columns[feature_column(column.name)] = pa.array(values, _TYPES[column.kind])
    many = group.signature.output.kind == "probabilities"
    columns["prediction"] = pa.array(
        [None if many else float(answer[0]) for answer in meta["answer"]], pa.float64()
    )
    if many:
        columns["probabilities"] = pa.array(
            [answer.tolist() for answer in meta["answer"]], pa.list_(pa.float64())
        )
    for name in ("latency_us", "request_rows"):
        columns[name] = pa.array(meta[name], pa.int64())
    return pa.table(columns)


def _failures(frames: list[bytes], deployment: str) -> pa.Table:
    rows = []
    for content in frames:
        frame = msgspec.msgpack.decode(content, type=FailureFrame)
        shared = {
            "logged_at": frame.at,
            "deployment": deployment,
            "version": frame.version,
            "model_digest": frame.digest,
        }
        for name, at in zip(frame.ids, frame.times, strict=True):
            rows.append({"id": name, "time": at, **shared, "code": frame.code, "reason": frame.reason})
    return pa.Table.from_pylist(rows, pa.schema(_FAILURE_TYPES))


def _labels(frames: list[bytes]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        "id": [],
        "label": [],
        "label_text": [],
        "label_time": [],
        "known_at": [],
    }
    for content in frames:
        frame = msgspec.msgpack.decode(content, type=LabelFrame)
        request = msgspec.json.decode(frame.body, type=LabelRequest)
        known = request.known_at or from_microseconds(frame.at)
        count = len(request.ids)
        columns["id"] += request.ids
        columns["label"] += [
            None if isinstance(label, str) or label is None else float(label) for label in request.labels
        ]
        columns["label_text"] += [label if isinstance(label, str) else None for label in request.labels]
        columns["label_time"] += request.times or [None] * count
        columns["known_at"] += known if isinstance(known, list) else [known] * count
    types = {
        "id": pa.string(),
        "label": pa.float64(),
        "label_text": pa.string(),
        "label_time": _TIME,
        "known_at": _TIME,
    }
    return pa.table({name: pa.array(values, types[name]) for name, values in columns.items()})


def _store_part(
    kernel: Kernel, segment: str, offsets: tuple[int, int], deployment: str, kind: str, table: pa.Table
) -> None:
    column = "known_at" if kind == "labels" else "time"
    times = (
        table.column(column).cast(pa.int64()).to_numpy() if table.num_rows else np.zeros(1, dtype=np.int64)
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    row = {
        "segment": segment,
        "start_offset": offsets[0],
        "end_offset": offsets[1],
        "deployment": deployment,
        "kind": kind,
        "digest": kernel.objects.put(buffer.getvalue()),
        "rows": table.num_rows,
        "first_at": from_microseconds(int(times.min())),
        "last_at": from_microseconds(int(times.max())),
    }
    with kernel.catalog.transaction() as connection:
        connection.execute(tables.log_part.insert().values(row))


def _converted_until(kernel: Kernel, segment: str) -> int:
    part = tables.log_part
    with kernel.catalog.read() as connection:
        found = connection.execute(
            sa.select(sa.func.max(part.c.end_offset)).where(part.c.segment == segment)
        ).scalar()
    return int(found or 0)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
