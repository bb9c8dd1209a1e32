"""The Parquet files of neptune-exporter, made after its schema: decimal steps, forks, distributions, files."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.importers.conftest import points

from everloop.importers import bring, open_source
from everloop.importers.bringing import id_here
from everloop.importers.records import BadSourceError

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.tracking import Tracking

FIELDS: dict[str, Any] = (
    {
        "project_id": pa.string(), "run_id": pa.string(), "attribute_path": pa.string(), "attribute_type": pa.string(),
        "step": pa.decimal128(18, 6), "timestamp": pa.timestamp("ms", "UTC"), "int_value": pa.int64(), "float_value": pa.float64(),
        "string_value": pa.string(), "bool_value": pa.bool_(), "datetime_value": pa.timestamp("ms", "UTC"),
        "string_set_value": pa.list_(pa.string()), "file_value": pa.struct([("path", pa.string())]),
        "histogram_value": pa.struct([("type", pa.string()), ("edges", pa.list_(pa.float64())), ("values", pa.list_(pa.float64()))]),
    }
)  # fmt: skip
SCHEMA = pa.schema(FIELDS)
NOW = datetime(2025, 1, 2, tzinfo=UTC)


def row(run: str, path: str, kind: str, step: str | None = None, **value: Any) -> dict[str, Any]:
    return {
        "project_id": "team/delays", "run_id": run, "attribute_path": path, "attribute_type": kind,
        "step": None if step is None else Decimal(step), "timestamp": NOW, **value,
    }  # fmt: skip


def test_decimal_steps_forks_distributions_texts_and_files_come(tracking: Tracking, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "model.bin").write_bytes(b"weights")
    (tmp_path / "secret").write_text("not yours")
    rows = [
        row("RUN-1", "sys/name", "string", string_value="first"),
        row("RUN-1", "sys/creation_time", "datetime", datetime_value=NOW),
        row("RUN-1", "sys/custom_run_id", "string", string_value="one"),
        row("RUN-1", "sys/tags", "string_set", string_set_value=["good", "old"]),
        row("RUN-1", "params/lr", "float", float_value=0.1),
        row("RUN-1", "params/depth", "int", int_value=3),
        row("RUN-1", "params/flag", "bool", bool_value=True),
        *(row("RUN-1", "loss", "float_series", f"{step}.25", float_value=step / 7) for step in range(50)),
        row("RUN-1", "said", "string_series", "1.5", string_value="hello"),
        row(
            "RUN-1",
            "spread",
            "histogram_series",
            "2",
            histogram_value={"type": "COUNTING", "edges": [0.0, 1.0, 3.0], "values": [2.0, 5.0]},
        ),
        row("RUN-1", "model", "file", file_value={"path": "model.bin"}),
        row("RUN-1", "bad", "file", file_value={"path": "../secret"}),
        row("RUN-2", "sys/forking/parent", "string", string_value="one"),
        row("RUN-2", "sys/forking/step", "float", float_value=10.25),
        row("RUN-2", "loss", "float_series", "11.25", float_value=9.0),
    ]
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), tmp_path / "data" / "part_0.parquet")

    source = open_source("neptune", str(tmp_path / "data"))
    report = bring(tracking, source)

    first, fork = tracking.get_run(id_here(source, "RUN-1")), tracking.get_run(id_here(source, "RUN-2"))
    assert (first.name, first.experiment, first.created_at) == ("first", "delays", NOW)
    assert first.params == {"params.lr": 0.1, "params.depth": 3, "params.flag": True}
    assert {"tags.good", "tags.old"} <= first.tags.keys()
    assert points(tracking, first.id)["loss"] == [(step + 0.25, step / 7) for step in range(50)]
    assert (fork.fork_of, fork.fork_step) == (first.id, 10.25)
    assert [step for step, _ in points(tracking, fork.id)["loss"]] == [
        *(step + 0.25 for step in range(11)),
        11.25,
    ]
    shown = {item.name: (item.step, tracking.read_media(item)) for item in tracking.media(first.id)}
    assert shown["said"] == (1.5, "hello")
    assert (shown["spread"][0], shown["spread"][1].counts.tolist(), shown["spread"][1].borders.tolist()) == (
        2.0,
        [2, 5],
        [0, 1, 3],
    )
    assert [(one.name, one.size_bytes) for one in tracking.artifacts(first.id)] == [("model.bin", 7)]
    assert [(loss.run, loss.what) for loss in report.losses] == [("RUN-1", "bad")]
    assert bring(tracking, open_source("neptune", str(tmp_path / "data"))).new_points == 0


def test_other_parquet_files_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(BadSourceError, match="attribute_path"):
        open_source("neptune", str(tmp_path))
