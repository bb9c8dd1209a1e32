"""A run waits for a person without a worker, goes on with the answer, and never asks twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.core.actors import Actor, acting_as
from everloop.core.errors import PermissionDeniedError
from everloop.data.service import Data
from everloop.pipelines import Pipelines
from everloop.pipelines.approvals import ApprovalDecidedError, ApprovalNotFoundError
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from tests.conftest import MakeKernel
    from tests.unit.pipelines.conftest import Project

    from everloop.core.clock import ManualClock
    from everloop.kernel.operations import Kernel
    from everloop.pipelines.steps import AnyPipeline

ADA = Actor(name="user:ada", roles=frozenset({"engineer"}))
BOB = Actor(name="user:bob", roles=frozenset({"approver"}))


@pytest.fixture
def flow(project: Project) -> AnyPipeline:
    project.write(
        flow="""
        from everloop.pipelines import approve, pipeline, step

        @step
        def train(x: int) -> int:
            print("training")
            return 2 * x

        @step
        def register(model: int) -> str:
            return f"model {model}"

        @pipeline
        def release(x: int) -> str:
            return register(approve(train(x), "Register it?", timeout="3d"))
        """
    )
    found: AnyPipeline = project.flow().release
    return found


def service(kernel: Kernel) -> Pipelines:
    return Pipelines(kernel, data=Data(kernel), tracking=Tracking(kernel))


def test_a_run_waits_and_goes_on_with_the_answer(any_kernel: Kernel, flow: AnyPipeline) -> None:
    pipelines = service(any_kernel)
    run = pipelines.run(flow, {"x": 4})
    assert [(step.node, step.status) for step in run.steps] == [
        ("train", "done"), ("approve", "waiting"), ("register", "pending"),
    ]  # fmt: skip
    assert run.status == "waiting"
    assert pipelines.work() == 0
    (question,) = pipelines.approvals()
    assert (question.node, question.message, question.role) == ("approve", "Register it?", "approver")

    with acting_as(ADA), pytest.raises(PermissionDeniedError, match="cannot answer for approver"):
        pipelines.decide(run.id, "approve", decision="approved")
    with acting_as(BOB):
        answer = pipelines.decide(run.id, "approve", decision="approved", comment="looks right")
    assert (answer.decided_by, answer.decision) == ("user:bob", "approved")
    assert pipelines.work() == 1

    done = pipelines.get(run.id)
    assert (done.status, pipelines.result(done)) == ("finished", "model 8")
    assert len(pipelines.attempts(run.id, node="train")) == 1
    assert pipelines.approvals() == []
    kinds = [event.kind for event in any_kernel.events.read() if "approval" in event.kind]
    assert kinds == ["pipeline.approval_asked", "pipeline.approval_decided"]


def test_a_refusal_fails_the_node_and_is_not_asked_again(kernel: Kernel, flow: AnyPipeline) -> None:
    pipelines = service(kernel)
    run = pipelines.run(flow, {"x": 1})
    pipelines.decide(run.id, "approve", decision="rejected", comment="too old")
    assert pipelines.decide(run.id, "approve", decision="rejected").comment == "too old"
    with pytest.raises(ApprovalDecidedError, match="was rejected by"):
        pipelines.decide(run.id, "approve", decision="approved")
    pipelines.work()

    done = pipelines.get(run.id)
    assert (done.status, [step.status for step in done.steps]) == (
        "failed",
        ["done", "failed", "upstream_failed"],
    )
    assert "too old" in done.error
    assert pipelines.resume(run.id).status == "failed"
    with pytest.raises(ApprovalNotFoundError, match="asks nothing at train"):
        pipelines.decide(run.id, "train", decision="approved")


def test_no_answer_in_time_is_a_refusal(
    make_kernel: MakeKernel, clock: ManualClock, flow: AnyPipeline
) -> None:
    pipelines = service(make_kernel(clock=clock))
    run = pipelines.run(flow, {"x": 1})
    clock.advance(seconds=3 * 86_400 - 1)
    assert pipelines.work() == 0
    clock.advance(seconds=2)
    assert pipelines.work() == 1
    assert "nobody with role approver answered in time" in pipelines.get(run.id).error


def test_as_a_plain_function_nobody_is_asked(flow: AnyPipeline) -> None:
    assert flow(3) == "model 6"
