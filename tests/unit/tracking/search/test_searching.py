"""Pages, counts, facets, groups, columns and views of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.tracking import DatasetInput, Tracking
from everloop.tracking.search.language import FilterError
from everloop.tracking.search.selection import PageMismatchError
from everloop.tracking.searching import BadPageError, ViewNotFoundError
from everloop.tracking.series.columns import pack

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

COUNT = 30


@pytest.fixture
def tracking(any_kernel: Kernel) -> Tracking:
    found = Tracking(any_kernel)
    for at in range(COUNT):
        run = found.create_run(
            id=f"r{at:02}",
            experiment="even" if at % 2 == 0 else "odd",
            name=f"run {at}",
            params={"depth": at % 3, "model": "lgbm" if at < 20 else "xgb"},
            tags={"team": "risk"} if at % 5 else {},
            inputs=[DatasetInput(name="flights", ref=f"flights@v{at % 4}")],
        )
        if at < 25:
            found.log_batch(run.id, series=[pack("auc", [0.0, 1.0], [0, 1], [1.0, at / 10])])
    return found


def test_pages_join_in_the_asked_order_with_runs_without_a_value_at_the_end(tracking: Tracking) -> None:
    found: list[str] = []
    after = ""
    while True:
        page = tracking.search(order_by=["metrics.auc desc"], limit=7, after=after)
        assert page.total == COUNT
        found += [run.id for run in page.runs]
        after = page.next
        if not after:
            break
    assert found[:25] == [f"r{at:02}" for at in range(24, -1, -1)]
    assert sorted(found[25:]) == [f"r{at}" for at in range(25, 30)]


def test_a_filter_over_everything_a_run_has(tracking: Tracking) -> None:
    page = tracking.search(
        'metrics.auc > 1 and params.model == "lgbm" and tags.team is not None and experiment == "odd" '
        'and inputs.flights =~ "v3$" and "RUN 1" in name and max(metrics.auc) < 1.9 and id in ("r11", "r17", "r15")'
    )
    assert [run.id for run in page.runs] == ["r11"]
    assert tracking.count("params.depth == 2 or params.model == 'xgb'") == len(
        [at for at in range(COUNT) if at % 3 == 2 or at >= 20]
    )


def test_only_the_asked_columns_are_read(tracking: Tracking) -> None:
    [run] = tracking.search("id == 'r03'", columns=["params.depth", "metrics.auc"]).runs
    assert (run.params, run.tags, [metric.name for metric in run.metrics]) == ({"depth": 0}, {}, ["auc"])


def test_the_trash_is_searched_apart(tracking: Tracking) -> None:
    tracking.delete_run("r00")
    assert tracking.count() == COUNT - 1
    assert [run.id for run in tracking.search(deleted=True).runs] == ["r00"]


def test_a_new_name_of_an_experiment_is_found_at_once(tracking: Tracking) -> None:
    assert tracking.count("experiment == 'odd'") == COUNT // 2
    tracking.edit_experiment("odd", name="strange")
    assert tracking.count("experiment == 'odd'") == 0
    assert tracking.count("experiment =~ '^str'") == COUNT // 2


def test_a_mark_of_another_search_is_refused(tracking: Tracking) -> None:
    mark = tracking.search(limit=1).next
    with pytest.raises(PageMismatchError):
        tracking.search(order_by=["metrics.auc", "name"], after=mark)
    for wrong in ("nonsense", "e30=", mark[:-4]):
        with pytest.raises(BadPageError):
            tracking.search(after=wrong)


def test_a_page_goes_on_where_it_was_although_its_last_run_changed(tracking: Tracking) -> None:
    first = tracking.search(order_by=["params.model", "metrics.auc"], limit=5)
    tracking.log_batch(first.runs[-1].id, params={"model": "zzz"})
    second = tracking.search(order_by=["params.model", "metrics.auc"], limit=5, after=first.next)
    assert [run.id for run in first.runs + second.runs] == [f"r{at:02}" for at in range(10)]


def test_facets_count_values_and_numbers(tracking: Tracking) -> None:
    model, auc, team = tracking.facets(
        ["params.model", "metrics.auc", "tags.team"], filter="params.depth == 0", limit=2
    )
    assert model.values == [("lgbm", 7), ("xgb", 3)]
    assert (auc.runs, auc.least, auc.greatest) == (9, 0.0, 2.4)
    assert [count for _, count in auc.values] == [4, 5]
    assert (team.runs, team.values) == (8, [("risk", 8)])


def test_groups_have_figures(tracking: Tracking) -> None:
    found = tracking.group(
        ["params.model", "experiment"],
        aggregates=["mean(metrics.auc)", "count(metrics.auc)"],
        filter="params.depth == 0",
    )
    rows = {tuple(group.values): (group.runs, group.aggregates) for group in found}
    assert rows["lgbm", "even"] == (4, {"mean(metrics.auc)": pytest.approx(0.9), "count(metrics.auc)": 4.0})
    assert rows["xgb", "odd"] == (2, {"mean(metrics.auc)": pytest.approx(2.1), "count(metrics.auc)": 1.0})
    assert sum(group.runs for group in found) == 10
    assert found[0].runs >= found[-1].runs
    with pytest.raises(FilterError, match="mean"):
        tracking.group(["experiment"], aggregates=["sum(metrics.auc)"])


def test_columns_are_listed_by_name_and_experiment(tracking: Tracking) -> None:
    tracking.log_batch("r00", series=[pack("valid/AUC", [0.0], [0], [1.0])])
    fields = [column.field for column in tracking.run_columns()]
    assert fields == ["metrics.auc", "params.depth", "params.model", "tags.team", "metrics['valid/AUC']"]
    assert [one.name for one in tracking.run_columns(contains="auc", experiment="odd")] == ["auc"]
    assert [one.name for one in tracking.run_columns(kind="param")] == ["depth", "model"]


def test_all_runs_of_a_filter_are_a_table(tracking: Tracking) -> None:
    tracking.log_batch("r01", params={"depth": "deep"})
    table = tracking.table("experiment == 'odd'", order_by=["name"], columns=["params.depth", "metrics.auc"])
    assert table.column_names == [
        "id",
        "name",
        "experiment",
        "status",
        "created_at",
        "ended_at",
        "params.depth",
        "metrics.auc",
    ]
    assert table.num_rows == COUNT // 2
    assert "deep" in table["params.depth"].to_pylist()
    assert tracking.table("id == 'none'").num_rows == 0


def test_a_search_is_kept_under_a_name(tracking: Tracking) -> None:
    kept = tracking.save_view(
        "best", filter="metrics.auc > 0.9", order_by=["metrics.auc desc"], columns=["metrics.auc"]
    )
    assert tracking.views() == [kept]
    tracking.save_view("best", filter="metrics.auc > 0.95")
    assert [view.filter for view in tracking.views()] == ["metrics.auc > 0.95"]
    with pytest.raises(FilterError):
        tracking.save_view("worse", filter="metrics.auc >")
    tracking.delete_view("best")
    assert tracking.views() == []
    with pytest.raises(ViewNotFoundError, match="no saved view best"):
        tracking.delete_view("best")
