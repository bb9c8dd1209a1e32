"""Suites run where the data is, name the versions they looked into, and keep what must not run elsewhere out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.data import checks as check
from everloop.data.branching import PublishRefusedError
from everloop.data.queries import DatasetNotFoundError
from everloop.data.records import Check, Suite
from everloop.data.service import Data, SuiteFailedError

if TYPE_CHECKING:
    from tests.conftest import MakeKernel

    from everloop.core.clock import ManualClock

KNOWN = Suite("known", [check.references("dest", table="airports", key="faa")])


def test_a_reference_is_pinned_to_the_version_it_was_checked_against(data: Data) -> None:
    data.add("airports", {"faa": ["EWR"]})
    data.add("airports", {"faa": ["EWR", "JFK"]})
    data.add("flights", {"dest": ["JFK", None]})

    run = data.check("flights", suite=KNOWN)
    early = data.check(
        "flights", suite=Suite("s", [check.references("dest", table="airports@v1", key="faa")])
    )

    assert (run.result.verdict, run.suite.checks[0].table) == ("passed", "airports@v2")
    assert (early.result.verdict, early.result.results[0].reason) == ("failed", "1 of 2 rows")
    assert data.checks("flights") == [early, run]


def test_rows_without_their_counterpart_are_put_aside_at_ingest(data: Data) -> None:
    data.add("airports", {"faa": ["EWR"]})
    suite = Suite("s", [check.references("dest", table="airports", key="faa", severity="quarantine")])

    version = data.add("flights", {"dest": ["EWR", "XXX"]}, suite=suite)

    assert data.read("flights").to_arrow().to_pylist() == [{"dest": "EWR"}]
    assert data.read(version.quarantine).to_arrow().to_pylist() == [
        {"dest": "XXX", "quarantine_reason": "references(dest, airports@v1, faa)"}
    ]


def test_rows_within_the_allowed_share_are_not_put_aside(data: Data) -> None:
    rules = [
        check.between("a", 0, 9, share=0.6, severity="quarantine"),
        check.not_in_set("a", [2], severity="quarantine"),
    ]

    version = data.add("t", {"a": [1, 2, 99]}, suite=Suite("s", rules))

    assert data.read("t").to_arrow().to_pylist() == [{"a": 1}, {"a": 99}]
    assert data.read(version.quarantine).num_rows == 1


def test_a_reference_to_no_dataset_refuses_the_add(data: Data) -> None:
    with pytest.raises(DatasetNotFoundError):
        data.add("flights", {"dest": ["EWR"]}, suite=KNOWN)


def test_publish_looks_into_other_datasets(data: Data) -> None:
    data.add("airports", {"faa": ["EWR"]})
    data.add("flights", {"dest": ["EWR"]})
    data.set_suite("flights", suite=KNOWN)
    data.branch("flights", "next")
    data.add("flights", {"dest": ["XXX"]}, branch="next")

    with pytest.raises(PublishRefusedError, match="airports@v1"):
        data.publish("flights", branch="next")


def test_freshness_is_judged_by_the_clock_of_the_home(make_kernel: MakeKernel, clock: ManualClock) -> None:
    data = Data(make_kernel(clock=clock))
    data.add("t", {"at": [clock.now()]})
    suite = Suite("s", [check.fresh("at", "1h")])
    young = data.check("t", suite=suite).result.verdict
    clock.advance(7200)

    assert (young, data.check("t", suite=suite).result.verdict) == ("passed", "failed")


def test_a_function_checks_at_ingest_and_is_not_kept_with_a_dataset(data: Data) -> None:
    suite = Suite("s", [check.python(lambda rows: rows.num_rows < 2, name="few")])
    data.add("t", {"a": [1]}, suite=suite)

    with pytest.raises(SuiteFailedError, match="few"):
        data.add("t", {"a": [1, 2]}, suite=suite)
    with pytest.raises(check.InvalidCheckError, match="runs in others"):
        data.set_suite("t", suite=suite)


def test_a_function_named_in_a_suite_that_was_sent_is_not_imported(data: Data) -> None:
    data.add("t", {"a": [1]})

    with pytest.raises(check.InvalidCheckError, match="never imports"):
        data.check("t", suite=Suite("s", [Check(kind="python", function="os:getcwd")]))


def test_a_suite_that_cannot_run_is_not_kept(data: Data) -> None:
    data.add("t", {"a": [1]})

    with pytest.raises(check.InvalidCheckError, match="does not parse"):
        data.set_suite("t", suite=Suite("s", [Check(kind="expression", sql="a >")]))
