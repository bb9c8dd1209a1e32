"""The verbs that find runs: pages, counts, facets, groups, the catalogue of columns, saved views. Tests: tests/unit/tracking/search."""

from __future__ import annotations

import base64
import builtins
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import msgspec
import sqlalchemy as sa

from everloop.core.actors import current_actor
from everloop.core.errors import InvalidInputError, NotFoundError
from everloop.kernel.operations import operation
from everloop.tracking import queries
from everloop.tracking.naming import check_names
from everloop.tracking.recording import Recording
from everloop.tracking.records import Plain, Run, View
from everloop.tracking.tables import experiment as experiments
from everloop.tracking.tables import experiment_key, run_key, run_view

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from everloop.tracking.search.selection import Selection
    from everloop.tracking.search.tree import Order, Tree

Limit = Annotated[int, msgspec.Meta(ge=1, le=10_000)]
KeyKind = Literal["metric", "param", "tag"]


class BadPageError(InvalidInputError):
    """A page mark was not made by this search."""

    code = "tracking.bad-page"


class ViewNotFoundError(NotFoundError):
    """No saved view has this name."""

    code = "tracking.view-not-found"


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the runs that a filter chooses.

    Attributes:
        runs: in the asked order.
        next: mark of the next page; empty at the end.
        total: how many runs the filter chooses.
    """

    runs: builtins.list[Run]
    next: str
    total: int


class Facet(msgspec.Struct, frozen=True, kw_only=True):
    """How the chosen runs spread over the values of a field.

    Attributes:
        field: as written in a filter.
        runs: how many have a value.
        values: the most frequent values with their numbers of runs; for metrics the bins of a histogram by their lower border.
        least, greatest, mean: of the values that are numbers.
    """

    field: str
    runs: int
    values: builtins.list[tuple[Plain, int]]
    least: float | None = None
    greatest: float | None = None
    mean: float | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Runs that share the values of the fields they are grouped by.

    Attributes:
        values: one for each field grouped by; None where runs have none.
        runs: how many.
        aggregates: by text as asked, `mean(metrics.auc)`; None where no run has a number.
    """

    values: builtins.list[Plain]
    runs: int
    aggregates: dict[str, float | None]


class RunColumn(msgspec.Struct, frozen=True, kw_only=True):
    """A param, metric or tag that runs have: a column of a table, and what a filter is completed with."""

    kind: KeyKind
    name: str
    field: str


class Searching(Recording):
    """Runs by what they are and hold."""

    @operation("POST /runs/search", needs="run.read", emits="run.searched", cli="runs search")
    def search(
        self,
        filter: str = "",  # noqa: A002 - the word for it
        *,
        order_by: builtins.list[str] | None = None,
        limit: Limit = 100,
        after: str = "",
        columns: builtins.list[str] | None = None,
        deleted: bool = False,
    ) -> RunPage:
        """Return a page of the runs that a filter chooses, newest first where no order is asked.

        Args:
            filter: like `metrics.auc > 0.9 and params.model =~ "lgbm|xgb"`; see the guide of tracking.
            order_by: fields, each with `desc` or not; runs without a value come last.
            limit: at most this many.
            after: the `next` of the page before, of the same filter and order.
            columns: fields to read; all params, tags and metrics by default.
            deleted: runs in the trash instead of the others.

        Raises:
            FilterError: with the place of what cannot be read.
            BadPageError: `after` is of another search.
        """
        self.unchanged()  # a POST only because a filter may be long
        from everloop.tracking.search.language import parse, parse_field, parse_order

        fields = None if columns is None else [parse_field(one) for one in columns]
        orders = parse_order(order_by or ["created_at desc"])
        with self._selection(parse(filter), deleted=deleted) as chosen:
            numbers, mark = chosen.page(orders, limit=limit, after=_unmark(after))
            keys = None
            if fields is not None:
                keys = [
                    number
                    for kind in ("metric", "param", "tag")
                    for number in queries.key_ids(
                        chosen.connection, kind, [one.name for one in fields if one.kind == kind]
                    ).values()
                ]
            runs = queries.read_runs(chosen.connection, numbers, keys=keys)
            return RunPage(runs=runs, next=_mark(mark), total=chosen.count)

    def find(self, tree: Tree, *, deleted: bool = False) -> npt.NDArray[np.int64]:
        """Return the numbers of the runs that a tree chooses, oldest first; for grammars of other products."""
        with self._selection(tree, deleted=deleted) as chosen:
            return chosen.numbers

    def find_page(
        self,
        tree: Tree,
        orders: Sequence[Order],
        *,
        limit: int,
        after: str = "",
        deleted: bool | None = False,
    ) -> RunPage:
        """Return a page of the runs that a tree chooses; for grammars of other products.

        Args:
            tree: which runs.
            orders: see `search`.
            limit: at most this many.
            after: the `next` of the page before.
            deleted: runs in the trash instead of the others; None for both.

        Raises:
            BadPageError: `after` is of another search.
        """
        with self._selection(tree, deleted=deleted) as chosen:
            numbers, mark = chosen.page(orders, limit=limit, after=_unmark(after))
            runs = queries.read_runs(chosen.connection, numbers)
            return RunPage(runs=runs, next=_mark(mark), total=chosen.count)

    @operation("POST /runs/count", needs="run.read", emits="run.searched", cli="runs count")
    def count(self, filter: str = "", *, deleted: bool = False) -> int:  # noqa: A002 - the word for it
        """Return how many runs a filter chooses."""
        self.unchanged()
        from everloop.tracking.search.language import parse

        with self._selection(parse(filter), deleted=deleted) as chosen:
            return chosen.count

    @operation("POST /runs/facets", needs="run.read", emits="run.searched", cli="runs facets")
    def facets(
        self,
        fields: Annotated[builtins.list[str], msgspec.Meta(max_length=100)],
        *,
        filter: str = "",  # noqa: A002 - the word for it
        limit: Limit = 20,
    ) -> builtins.list[Facet]:
        """Return how the chosen runs spread over the values of some fields.

        Args:
            fields: like `params.model` or `metrics.auc`.
            filter: which runs.
            limit: at most this many values, or bins, for each field.
        """
        self.unchanged()
        from everloop.tracking.search.language import parse, parse_field

        with self._selection(parse(filter)) as chosen:
            return [Facet(**chosen.facet(parse_field(one), limit=limit)) for one in fields]

    @operation("POST /runs/groups", needs="run.read", emits="run.searched", cli="runs group")
    def group(
        self,
        by: Annotated[builtins.list[str], msgspec.Meta(min_length=1, max_length=10)],
        *,
        aggregates: builtins.list[str] | None = None,
        filter: str = "",  # noqa: A002 - the word for it
        limit: Limit = 1000,
    ) -> builtins.list[Group]:
        """Return the groups of the chosen runs, largest first.

        Args:
            by: fields whose values a group shares.
            aggregates: like `mean(metrics.auc)`; mean, median, min, max, std, count.
            filter: which runs.
            limit: at most this many groups.
        """
        self.unchanged()
        from everloop.tracking.search.language import parse, parse_field

        with self._selection(parse(filter)) as chosen:
            found = chosen.groups([parse_field(one) for one in by], aggregates or [], limit=limit)
        return [Group(values=values, runs=runs, aggregates=figures) for values, runs, figures in found]

    @operation("GET /runs/columns", needs="run.read", cli="runs columns")
    def run_columns(
        self, *, experiment: str = "", contains: str = "", kind: KeyKind | None = None, limit: Limit = 1000
    ) -> builtins.list[RunColumn]:
        """Return the params, metrics and tags that runs have, by name.

        Args:
            experiment: only of runs of this group.
            contains: only names that hold this text, whatever its case.
            kind: only metrics, params or tags.
            limit: at most this many.
        """
        from everloop.tracking.search.tree import Field

        query = (
            sa.select(run_key.c.kind, run_key.c.name)
            .where(run_key.c.kind.in_(get_args(KeyKind)))
            .order_by(run_key.c.name, run_key.c.kind)
            .limit(limit)
        )
        if kind is not None:
            query = query.where(run_key.c.kind == kind)
        if contains:
            query = query.where(sa.func.lower(run_key.c.name).contains(contains.lower(), autoescape=True))
        if experiment:
            ids = (
                sa.select(experiment_key.c.key_id)
                .join(experiments, experiments.c.id == experiment_key.c.experiment_id)
                .where(experiments.c.name == experiment)
            )
            query = query.where(run_key.c.id.in_(ids))
        with self.kernel.catalog.read() as connection:
            rows = connection.execute(query).all()
        return [RunColumn(kind=row.kind, name=row.name, field=str(Field(row.kind, row.name))) for row in rows]

    def table(
        self,
        filter: str = "",  # noqa: A002 - the word for it
        *,
        order_by: builtins.list[str] | None = None,
        columns: builtins.list[str] | None = None,
    ) -> pa.Table:
        """Return all runs that a filter chooses as an Arrow table, one row a run; `.to_pandas()` and Polars take it from there.

        Args:
            filter: which runs.
            order_by: see `search`.
            columns: fields beside id, name, experiment, status and times; all params, tags and metrics by default.
        """
        from everloop.tracking.search.tabulating import as_table

        runs: builtins.list[Run] = []
        after = ""
        while True:
            page = self.search(filter, order_by=order_by, limit=1000, after=after, columns=columns)
            runs += page.runs
            after = page.next
            if not after:
                return as_table(runs, columns)

    @operation("PUT /views/{name}", needs="run.write", emits="view.saved", cli="runs save-view")
    def save_view(
        self,
        name: str,
        *,
        filter: str = "",  # noqa: A002 - the word for it
        order_by: builtins.list[str] | None = None,
        columns: builtins.list[str] | None = None,
        group_by: builtins.list[str] | None = None,
    ) -> View:
        """Keep a search under a name; the same name again replaces it."""
        from everloop.tracking.search.language import parse, parse_field, parse_order

        check_names([name])
        parse(filter)
        parse_order(order_by or [])
        for one in [*(columns or []), *(group_by or [])]:
            parse_field(one)
        view = View(
            name=name,
            filter=filter,
            order_by=order_by or [],
            columns=columns or [],
            group_by=group_by or [],
            owner=current_actor().name,
        )
        with self.kernel.catalog.transaction() as connection:
            queries.put_rows(connection, run_view, [{"name": name, "view": view}], change=("view",))
            self.emit(connection, subject=f"view:{name}", payload=view)
        return view

    @operation("GET /views", needs="run.read", cli="runs views")
    def views(self) -> builtins.list[View]:
        """Return the saved views by name."""
        with self.kernel.catalog.read() as connection:
            return builtins.list(
                connection.execute(sa.select(run_view.c.view).order_by(run_view.c.name)).scalars()
            )

    @operation("DELETE /views/{name}", needs="run.write", emits="view.deleted", cli="runs rm-view")
    def delete_view(self, name: str) -> None:
        """Remove a saved view.

        Raises:
            ViewNotFoundError: as named.
        """
        with self.kernel.catalog.transaction() as connection:
            gone = connection.execute(run_view.delete().where(run_view.c.name == name)).rowcount
            if not gone:
                raise ViewNotFoundError(
                    f"there is no saved view {name}. `everloop runs views` lists them.",
                    subject=f"view:{name}",
                )
            self.emit(connection, subject=f"view:{name}")

    @cached_property
    def _columns(self) -> Any:  # noqa: ANN401 - `Columns`, which brings numpy along
        from everloop.tracking.search.columns import Columns

        return Columns(self.kernel.catalog)

    @contextmanager
    def _selection(self, tree: Tree, *, deleted: bool | None = False) -> Iterator[Selection]:
        from everloop.tracking.search.selection import Selection

        with self._columns.lock, self.kernel.catalog.read() as connection:
            self._columns.refresh(connection)
            yield Selection(self._columns, connection, tree, deleted=deleted)


def _mark(mark: builtins.list[Any] | None) -> str:
    return "" if mark is None else base64.urlsafe_b64encode(msgspec.json.encode(mark)).decode()


def _unmark(text: str) -> builtins.list[Any] | None:
    if not text:
        return None
    try:
        found = msgspec.json.decode(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, msgspec.DecodeError):
        found = None
    if not isinstance(found, list) or not found or not isinstance(found[-1], int):
        raise BadPageError(
            "this is no mark of a page. Pass the `next` of a page as it came.", subject=text[:60]
        )
    return found
