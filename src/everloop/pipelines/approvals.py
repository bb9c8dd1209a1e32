"""Questions of runs to people, and their answers. Tests: tests/unit/pipelines/test_approvals.py."""

from __future__ import annotations

import builtins
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from everloop.core.actors import current_actor
from everloop.core.errors import ConflictError, NotFoundError, PermissionDeniedError
from everloop.kernel.operations import Service, operation
from everloop.pipelines.records import StepApproval
from everloop.pipelines.tables import pipeline_run, step_approval

if TYPE_CHECKING:
    from collections.abc import Iterable

    from everloop.kernel.operations import Kernel
    from everloop.pipelines.records import ApprovalRequest, PipelineRun

_SYSTEM = "system:pipelines"


class ApprovalNotFoundError(NotFoundError):
    """A run asks nothing at this node."""

    code = "pipelines.approval-not-found"


class ApprovalDecidedError(ConflictError):
    """A question was answered already, the other way."""

    code = "pipelines.approval-decided"


class Approvals(Service):
    """What people are asked by runs, and their answers; a run that waits takes no worker."""

    @operation("GET /pipeline-approvals", needs="pipeline.read", cli="pipeline approvals")
    def approvals(
        self, *, run: str = "", is_open: bool = True, limit: int = 100
    ) -> builtins.list[StepApproval]:
        """Return questions, newest first: the open ones, or all; of one run when it is named."""
        query = sa.select(step_approval).order_by(step_approval.c.asked_at.desc()).limit(limit)
        if run:
            query = query.where(step_approval.c.run_id == run)
        if is_open:
            query = query.where(step_approval.c.decision == "")
        with self.kernel.catalog.read() as connection:
            return [_record(row) for row in connection.execute(query)]

    @operation(
        "POST /pipeline-runs/{run}/approvals/{node}",
        needs="pipeline.approve",
        emits="pipeline.approval_decided",
        cli="pipeline approve",
    )
    def decide(
        self, run: str, node: str, *, decision: Literal["approved", "rejected"], comment: str = ""
    ) -> StepApproval:
        """Answer a question of a run; a run that waited for it goes on.

        Args:
            run: its id.
            node: the node that asks.
            decision: the answer; it cannot be changed later.
            comment: why, for people.

        Raises:
            ApprovalNotFoundError: nothing is asked there.
            ApprovalDecidedError: the answer was the other one.
            PermissionDeniedError: the actor has not the role that is asked.
        """
        actor = current_actor()
        with self.kernel.catalog.transaction() as connection:
            found = _find(connection, run, node)
            if found.role not in actor.roles and "admin" not in actor.roles:
                raise PermissionDeniedError(
                    f"{actor.name} cannot answer for {found.role}. Ask a person with that role.",
                    subject=f"run:{run}",
                )
            if found.decision:
                if found.decision == decision:
                    self.unchanged()
                    return found
                raise ApprovalDecidedError(
                    f"{node} of run {run} was {say(found)}. `everloop resume {run}` does not ask again; start a new run.",
                    subject=f"run:{run}",
                )
            _write(connection, found, decision, actor.name, comment, self.kernel)
            self.emit(
                connection,
                subject=f"run:{run}",
                payload={"node": node, "decision": decision, "role": found.role, "pipeline": found.pipeline},
            )
            return _find(connection, run, node)

    def expire_approvals(self) -> int:
        """Let questions that nobody answered in time count as refused; return how many."""
        now = self.kernel.clock.now()
        is_late = sa.and_(step_approval.c.decision == "", step_approval.c.expires_at < now)
        with self.kernel.catalog.read() as connection:
            if connection.execute(sa.select(step_approval.c.node).where(is_late).limit(1)).first() is None:
                return 0
        with self.kernel.catalog.transaction() as connection:
            late = [_record(row) for row in connection.execute(sa.select(step_approval).where(is_late))]
            for one in late:
                _write(connection, one, "expired", _SYSTEM, "", self.kernel)
                payload = {
                    "node": one.node,
                    "decision": "expired",
                    "role": one.role,
                    "pipeline": one.pipeline,
                }
                self.kernel.events.append(
                    connection, kind="pipeline.approval_decided", subject=f"run:{one.run}", payload=payload
                )
        return len(late)


def ask(
    connection: sa.Connection, kernel: Kernel, run: PipelineRun, node: str, request: ApprovalRequest
) -> StepApproval | None:
    """Ask once; return the answer if there is one."""
    known = answers(connection, run.id, [node], is_open=True)
    if known:
        return known[0] if known[0].decision else None
    now = kernel.clock.now()
    expires = None if request.timeout_s is None else now + timedelta(seconds=request.timeout_s)
    texts = {
        "message": request.message,
        "role": request.role,
        "decision": "",
        "decided_by": "",
        "comment": "",
    }
    values = {
        "run_id": run.id,
        "node": node,
        "pipeline": run.pipeline,
        "asked_at": now,
        "expires_at": expires,
    }
    connection.execute(step_approval.insert().values(**values, **texts))
    payload = {"node": node, "role": request.role, "message": request.message, "pipeline": run.pipeline}
    kernel.events.append(connection, kind="pipeline.approval_asked", subject=f"run:{run.id}", payload=payload)
    return None


def answers(
    connection: sa.Connection, run_id: str, nodes: Iterable[str], *, is_open: bool = False
) -> list[StepApproval]:
    """Return the questions of some nodes that were answered; with `is_open` the others too."""
    query = sa.select(step_approval).where(
        step_approval.c.run_id == run_id, step_approval.c.node.in_(sorted(nodes))
    )
    if not is_open:
        query = query.where(step_approval.c.decision != "")
    return [_record(row) for row in connection.execute(query)]


def say(answer: StepApproval) -> str:
    """Return an answer in words."""
    if answer.decision == "expired":
        return f"expired: nobody with role {answer.role} answered in time"
    return f"{answer.decision} by {answer.decided_by}" + f": {answer.comment}" * bool(answer.comment)


def _find(connection: sa.Connection, run: str, node: str) -> StepApproval:
    found = answers(connection, run, [node], is_open=True)
    if not found:
        raise ApprovalNotFoundError(
            f"run {run} asks nothing at {node}. `everloop pipeline approvals` lists what is asked.",
            subject=f"run:{run}",
        )
    return found[0]


def _write(
    connection: sa.Connection, one: StepApproval, decision: str, by: str, comment: str, kernel: Kernel
) -> None:
    """Write an answer, and queue the run when it waits."""
    where = sa.and_(step_approval.c.run_id == one.run, step_approval.c.node == one.node)
    change = {"decision": decision, "decided_by": by, "decided_at": kernel.clock.now(), "comment": comment}
    connection.execute(step_approval.update().where(where).values(change))
    waits = sa.and_(pipeline_run.c.id == one.run, pipeline_run.c.status == "waiting")
    connection.execute(pipeline_run.update().where(waits).values(status="queued"))


def _record(row: sa.Row[tuple[object, ...]]) -> StepApproval:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
    return StepApproval(run=values.pop("run_id"), **values)
