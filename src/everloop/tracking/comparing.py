"""The verb that sets runs side by side, and runs as a table in a notebook. Tests: tests/unit/tracking/test_comparing.py."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from everloop.kernel.operations import operation
from everloop.tracking import queries
from everloop.tracking.charting import Charting
from everloop.tracking.drawing import table_of
from everloop.tracking.records import Plain
from everloop.tracking.searching import Searching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from everloop.tracking.records import Run


class ComparedField(msgspec.Struct, frozen=True, kw_only=True):
    """A field and its value in each run; None where a run has none."""

    field: str
    values: builtins.list[Plain]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Runs side by side.

    Attributes:
        runs: their ids.
        names: what to call each: its name where that is its alone, else its id.
        different: fields in which they are not all alike.
        same: the others.
    """

    runs: builtins.list[str]
    names: builtins.list[str]
    different: builtins.list[ComparedField]
    same: builtins.list[ComparedField]

    def _repr_html_(self) -> str:
        """Return the differences as a table, for notebooks."""
        rows = [[row.field, *row.values] for row in self.different]  # noqa: PD011 - no pandas
        note = f"{len(self.different)} fields differ, {len(self.same)} are the same"
        return table_of(["field", *self.names], rows, note=note)


class Comparing(Charting, Searching):
    """Runs side by side, and as tables."""

    @operation("POST /runs/compare", needs="run.read", emits="run.compared", cli="runs compare")
    def compare(
        self, runs: Annotated[builtins.list[str], msgspec.Meta(min_length=1, max_length=100)]
    ) -> Comparison:
        """Return what differs between runs, and what does not: params, metrics, tags, inputs, code and environment.

        Args:
            runs: ids of 1 to 100 runs.

        Raises:
            RunNotFoundError: one of them is not there.
        """
        self.unchanged()  # a POST only because the list of runs may be long
        with self.kernel.catalog.read() as connection:
            found = [queries.read_run(connection, one) or self.missing(one) for one in runs]
        fields = [_fields(run) for run in found]
        different: builtins.list[ComparedField] = []
        same: builtins.list[ComparedField] = []
        for field in dict.fromkeys(name for one in fields for name in one):
            values = [one.get(field) for one in fields]
            row = ComparedField(field=field, values=values)
            (same if all(_alike(value, values[0]) for value in values) else different).append(row)
        names = [run.name for run in found]
        shown = [
            name if name and names.count(name) == 1 else run.id
            for name, run in zip(names, found, strict=True)
        ]
        return Comparison(runs=builtins.list(runs), names=shown, different=different, same=same)

    def runs(
        self,
        filter: str = "",  # noqa: A002 - the word for it
        *,
        order_by: builtins.list[str] | None = None,
        columns: builtins.list[str] | None = None,
    ) -> RunTable:
        """Return all runs that a filter chooses, for pandas, Polars and Arrow, and their series by name.

        Args:
            filter: which runs.
            order_by: see `search`.
            columns: fields beside id, name, experiment, status and times; all params, tags and metrics by default.
        """
        return RunTable(self.table(filter, order_by=order_by, columns=columns), self.series_table)


def _fields(run: Run) -> dict[str, Plain]:
    """Return everything that may differ between runs, by the name that a filter has for it."""
    from everloop.tracking.search.tree import Field

    capture = run.capture
    found: dict[str, Plain] = {
        "experiment": run.experiment,
        "status": run.status,
        "owner": run.owner,
        "error": run.error,
        "duration": (run.ended_at - run.created_at).total_seconds() if run.ended_at else None,
    }
    found |= {str(Field("param", name)): value for name, value in sorted(run.params.items())}
    found |= {
        str(Field("metric", metric.name)): metric.mark or metric.value
        for metric in sorted(run.metrics, key=lambda one: one.name)
    }
    found |= {str(Field("tag", name)): value for name, value in sorted(run.tags.items())}
    found |= {str(Field("input", item.name)): item.ref for item in run.inputs}
    return found | {
        "commit": capture.commit,
        "branch": capture.branch,
        "diff": capture.diff,
        "script": capture.script,
        "command": " ".join(capture.command),
        "python": capture.python,
        "environment": capture.environment,
    }


def _alike(one: Plain, other: Plain) -> bool:
    return (
        one == other and (one is None) == (other is None) and isinstance(one, bool) == isinstance(other, bool)
    )


class RunTable:
    """Runs that a filter chose, as a table; `everloop.runs` returns it.

    Attributes:
        ids: of the runs, in the asked order.
    """

    def __init__(self, table: pa.Table, series: Callable[[Sequence[str], str], pa.Table]) -> None:
        self._table = table
        self._series = series
        self.ids = [str(one) for one in table.column("id").to_pylist()]

    def __len__(self) -> int:
        """Return the number of runs."""
        return self._table.num_rows

    def to_arrow(self) -> pa.Table:
        """Return one row a run: id, name, experiment, status, times, and a column for each param, tag and metric."""
        return self._table

    def to_pandas(self) -> pd.DataFrame:
        """Return the same for pandas."""
        return self._table.to_pandas()

    def to_polars(self) -> pl.DataFrame:
        """Return the same for Polars."""
        import polars as pl

        found = pl.from_arrow(self._table)
        assert isinstance(found, pl.DataFrame)  # noqa: S101 - a table is never a series
        return found

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:  # noqa: ANN401 - a capsule of the Arrow interface
        """Give the table to any library that reads Arrow."""
        return self._table.__arrow_c_stream__(requested_schema)  # type: ignore[no-untyped-call] # of the stubs

    def series(self, name: str) -> pa.Table:
        """Return all points of a metric of these runs: columns run, step, time, value; in the order of runs, steps and times."""
        return self._series(self.ids, name)

    def __repr__(self) -> str:
        """Return how many runs there are."""
        return f"<{len(self)} runs, {self._table.num_columns} columns>"

    def _repr_html_(self) -> str:
        """Return the first runs as a table, for notebooks."""
        part = self._table.slice(0, _MOST_DRAWN)
        rows = [list(row.values()) for row in part.to_pylist()]
        note = f"{len(self):,} runs" + (
            f", the first {_MOST_DRAWN} of them" if len(self) > _MOST_DRAWN else ""
        )
        return table_of(part.column_names, rows, note=note)


_MOST_DRAWN = 50
