"""The verbs of alerting. Tests: tests/unit/alerting/test_service.py."""

from __future__ import annotations

import builtins
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import sqlalchemy as sa

from everloop.alerting import rules
from everloop.alerting.channels import open_channel
from everloop.alerting.records import (
    Alert,
    Channel,
    ChannelKind,
    Delivery,
    Memory,
    Observation,
    Severity,
    Silence,
    Verdict,
)
from everloop.alerting.tables import alert, alert_channel, alert_delivery, alert_memory, alert_silence
from everloop.core.actors import current_actor
from everloop.core.durations import parse_duration
from everloop.core.errors import EverloopError, NotFoundError
from everloop.core.ids import new_id
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

_AT_ONCE = 100


class AlertNotFoundError(NotFoundError):
    """No alert has this id."""

    code = "alerting.alert-not-found"


class Alerting(Service):
    """Alerts, silences and channels."""

    stage: ClassVar[str] = "alerting"

    def observe(self, observations: Iterable[Observation]) -> builtins.list[Verdict]:
        """Judge observations in order; open, repeat and resolve alerts, each with its event and messages in one transaction.

        Called by the stages that watch, in the process that watches.
        """
        return [self._observe(seen) for seen in observations]

    def _observe(self, seen: Observation) -> Verdict:
        with self.kernel.catalog.transaction() as connection:
            memory = _memory(connection, seen.subject, seen.rule.name)
            verdict, memory = rules.judge(memory, seen)
            if verdict.action == "fire" and (silence := _silence(connection, seen)):
                verdict = Verdict(
                    action="none", reason=f"silenced until {silence.until:%Y-%m-%d %H:%M}: {silence.reason}"
                )
            if verdict.action == "fire":
                memory = rules.opened(memory, self._open(connection, seen, verdict), seen)
            elif verdict.action == "repeat":
                self._repeat(connection, memory.open_alert, seen)
            elif verdict.action == "resolve":
                self._resolve(connection, seen.subject, seen.rule.name, seen.at, verdict.reason)
            _remember(connection, seen.subject, seen.rule.name, memory)
        return verdict

    def _open(self, connection: sa.Connection, seen: Observation, verdict: Verdict) -> str:
        made = Alert(
            id=new_id(),
            rule=seen.rule.name,
            subject=seen.subject,
            severity=seen.rule.severity,
            state="firing",
            message=seen.message,
            group=seen.group or f"{seen.subject}/{seen.rule.name}",
            opened_at=seen.at,
            updated_at=seen.at,
            observations=1,
            evidence={**seen.evidence, "why": verdict.reason},
        )
        values = msgspec.structs.asdict(made)
        connection.execute(alert.insert().values(group_key=values.pop("group"), **values))
        event = self.emit(connection, kind="alert.fired", subject=f"alert:{made.id}", payload=made)
        self.kernel.events.link(
            connection, source=seen.subject, verb="raised", target=f"alert:{made.id}", event=event
        )
        if not any(rules.is_at_least(other, made.severity) for other in _open_siblings(connection, made)):
            self._queue(connection, made, "fired")
        return made.id

    def _repeat(self, connection: sa.Connection, identity: str, seen: Observation) -> None:
        values = {"updated_at": seen.at, "message": seen.message, "observations": alert.c.observations + 1}
        connection.execute(alert.update().where(alert.c.id == identity).values(values))

    def _resolve(self, connection: sa.Connection, subject: str, rule: str, at: datetime, reason: str) -> None:
        query = sa.select(alert).where(
            alert.c.subject == subject, alert.c.rule == rule, alert.c.state != "resolved"
        )
        for row in connection.execute(query).all():
            connection.execute(
                alert.update().where(alert.c.id == row.id).values(state="resolved", updated_at=at)
            )
            ended = msgspec.structs.replace(_alert(row), state="resolved", updated_at=at, message=reason)
            self.emit(
                connection,
                kind="alert.resolved",
                subject=f"alert:{row.id}",
                payload={"reason": reason, "rule": rule},
            )
            self._queue_end(connection, ended)

    def _queue_end(self, connection: sa.Connection, ended: Alert) -> None:
        """Tell the end of an alert where its beginning was told."""
        query = sa.select(alert_delivery.c.channel).where(
            alert_delivery.c.alert == ended.id, alert_delivery.c.kind == "fired"
        )
        told = set(connection.execute(query).scalars())
        if left := _open_siblings(connection, ended):
            note = f"{ended.message}; {len(left)} more of its group still open"
            ended = msgspec.structs.replace(ended, message=note)
        self._queue(connection, ended, "resolved", told)

    def _queue(
        self, connection: sa.Connection, message: Alert, kind: str, only: Container[str] | None = None
    ) -> None:
        for row in connection.execute(sa.select(alert_channel)).all():
            if message.severity in row.channel.severities and (only is None or row.name in only):
                connection.execute(
                    alert_delivery.insert().values(
                        id=new_id(), alert=message.id, channel=row.name, kind=kind, message=message, attempts=0,
                        next_try_at=self.kernel.clock.now(), delivered_at=None, error="",
                    )
                )  # fmt: skip

    def close_all(self, subject: str, *, reason: str) -> int:
        """Resolve every open alert of a subject whose cause is gone, such as a replaced model; return how many."""
        now = self.kernel.clock.now()
        with self.kernel.catalog.transaction() as connection:
            rows = connection.execute(sa.select(alert_memory).where(alert_memory.c.subject == subject)).all()
            open_rows = [row for row in rows if row.memory.open_alert]
            for row in rows:
                _remember(
                    connection,
                    subject,
                    row.rule,
                    rules.closed_by_hand(row.memory, now)
                    if row.memory.open_alert
                    else msgspec.structs.replace(row.memory, recent=()),
                )
            for row in open_rows:
                self._resolve(connection, subject, row.rule, now, reason)
        return len(open_rows)

    def tick(self) -> int:
        """Deliver what waits in the outbox; return how many messages arrived."""
        now = self.kernel.clock.now()
        due = sa.select(alert_delivery).where(
            alert_delivery.c.delivered_at.is_(None), alert_delivery.c.next_try_at <= now
        )
        with self.kernel.catalog.read() as connection:
            rows = connection.execute(due.order_by(alert_delivery.c.id).limit(_AT_ONCE)).all()
            channels = {row.name: row.channel for row in connection.execute(sa.select(alert_channel)).all()}
        return sum(self._deliver(row, channels.get(row.channel), now) for row in rows)

    def _deliver(self, row: sa.Row[Any], channel: Channel | None, now: datetime) -> bool:
        if not self._claim(row, now):
            return False
        error = "the channel was removed"
        try:
            if channel is not None:
                open_channel(channel, self.kernel.settings).deliver(row.id, row.kind, row.message)
                error = ""
        except EverloopError as failure:
            # Also a missing secret or a host that is not listed: one channel must not hold up the others.
            error = str(failure)
        values: dict[str, Any] = {"error": error}
        if not error or channel is None:
            values["delivered_at"] = now
        with self.kernel.catalog.transaction() as connection:
            connection.execute(alert_delivery.update().where(alert_delivery.c.id == row.id).values(values))
        return not error

    def _claim(self, row: sa.Row[Any], now: datetime) -> bool:
        """Take one try of a message, so that no other process makes the same; say when the next one is due."""
        attempts = row.attempts + 1
        mine = sa.and_(
            alert_delivery.c.id == row.id,
            alert_delivery.c.attempts == row.attempts,
            alert_delivery.c.delivered_at.is_(None),
        )
        values = {"attempts": attempts, "next_try_at": now + timedelta(seconds=rules.backoff_s(attempts))}
        with self.kernel.catalog.transaction() as connection:
            return connection.execute(alert_delivery.update().where(mine).values(values)).rowcount == 1

    @operation("GET /alerts", needs="alert.read", cli="alert ls")
    def list(
        self, *, subject: str = "", is_open: bool = False, after: str = "", limit: int = 100
    ) -> builtins.list[Alert]:
        """Return alerts, newest first.

        Args:
            subject: only of this subject.
            is_open: only those not resolved.
            after: id of the last alert already seen.
            limit: at most this many.
        """
        query = sa.select(alert).order_by(alert.c.id.desc()).limit(limit)
        if subject:
            query = query.where(alert.c.subject == subject)
        if is_open:
            query = query.where(alert.c.state != "resolved")
        if after:
            query = query.where(alert.c.id < after)
        with self.kernel.catalog.read() as connection:
            return [_alert(row) for row in connection.execute(query)]

    @operation(
        "POST /alerts/{alert_id}/acknowledgement",
        needs="alert.acknowledge",
        emits="alert.acknowledged",
        cli="alert ack",
    )
    def acknowledge(self, alert_id: str, *, comment: str = "") -> Alert:
        """Take an alert on oneself."""
        with self.kernel.catalog.transaction() as connection:
            row = connection.execute(sa.select(alert).where(alert.c.id == alert_id)).first()
            if row is None:
                raise AlertNotFoundError(
                    f"there is no alert {alert_id}. `everloop alert ls` lists them.",
                    subject=f"alert:{alert_id}",
                )
            values = {
                "state": "acknowledged" if row.state == "firing" else row.state,
                "acknowledged_by": current_actor().name,
            }
            connection.execute(alert.update().where(alert.c.id == alert_id).values(values))
            self.emit(connection, subject=f"alert:{alert_id}", payload={"comment": comment})
            return msgspec.structs.replace(_alert(row), **values)

    @operation(
        "PUT /silences/{subject}/{rule}", needs="alert.silence", emits="alert.silenced", cli="alert silence"
    )
    def silence(self, subject: str, rule: str, *, duration: str, reason: str) -> Silence:
        """Let a rule of a subject not fire for a while; the reason is kept."""
        made = Silence(
            subject=subject,
            rule=rule,
            until=self.kernel.clock.now() + parse_duration(duration),
            reason=reason,
        )
        with self.kernel.catalog.transaction() as connection:
            where = sa.and_(alert_silence.c.subject == subject, alert_silence.c.rule == rule)
            connection.execute(alert_silence.delete().where(where))
            connection.execute(alert_silence.insert().values(msgspec.structs.asdict(made)))
            self.emit(connection, subject=subject, payload=made)
        return made

    @operation(
        "PUT /channels/{name}", needs="alert.configure", emits="alert.channel_set", cli="alert channel"
    )
    def set_channel(
        self,
        name: str,
        *,
        kind: ChannelKind,
        target: str = "",
        secret: str = "",
        severities: tuple[Severity, ...] = ("warn", "page"),
    ) -> Channel:
        """Add or replace a channel; it is opened once, so that a wrong one fails here and not at night.

        Args:
            name: of the channel.
            kind: `terminal`, `file` or `webhook`.
            target: see `Channel`.
            secret: `env:NAME` or `file:PATH`, where the signing secret is.
            severities: what it delivers.
        """
        plain = {"name": name, "kind": kind, "target": target, "secret": secret, "severities": severities}
        made = msgspec.convert(plain, Channel)
        open_channel(made, self.kernel.settings)
        with self.kernel.catalog.transaction() as connection:
            connection.execute(alert_channel.delete().where(alert_channel.c.name == name))
            connection.execute(alert_channel.insert().values(name=name, channel=made))
            self.emit(connection, subject=f"channel:{name}", payload={"kind": kind, "severities": severities})
        return made

    @operation("GET /channels", needs="alert.read", cli="alert channels")
    def channels(self) -> builtins.list[Channel]:
        """Return the channels."""
        with self.kernel.catalog.read() as connection:
            return [
                row.channel
                for row in connection.execute(sa.select(alert_channel).order_by(alert_channel.c.name))
            ]

    @operation("GET /deliveries", needs="alert.read", cli="alert deliveries")
    def deliveries(self, *, alert_id: str = "") -> builtins.list[Delivery]:
        """Return messages and how they went, newest first."""
        query = sa.select(alert_delivery).order_by(alert_delivery.c.id.desc()).limit(_AT_ONCE)
        if alert_id:
            query = query.where(alert_delivery.c.alert == alert_id)
        with self.kernel.catalog.read() as connection:
            return [
                Delivery(id=r.id, alert=r.alert, channel=r.channel, kind=r.kind, attempts=r.attempts,
                         delivered_at=r.delivered_at, error=r.error)
                for r in connection.execute(query)
            ]  # fmt: skip


def _alert(row: sa.Row[Any]) -> Alert:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
    values["group"] = values.pop("group_key")
    return Alert(**values)


def _memory(connection: sa.Connection, subject: str, rule: str) -> Memory:
    query = sa.select(alert_memory.c.memory).where(
        alert_memory.c.subject == subject, alert_memory.c.rule == rule
    )
    return connection.execute(query).scalar() or Memory()


def _remember(connection: sa.Connection, subject: str, rule: str, memory: Memory) -> None:
    where = sa.and_(alert_memory.c.subject == subject, alert_memory.c.rule == rule)
    if connection.execute(alert_memory.update().where(where).values(memory=memory)).rowcount == 0:
        connection.execute(alert_memory.insert().values(subject=subject, rule=rule, memory=memory))


def _silence(connection: sa.Connection, seen: Observation) -> Silence | None:
    query = sa.select(alert_silence).where(
        alert_silence.c.subject == seen.subject,
        alert_silence.c.rule == seen.rule.name,
        alert_silence.c.until > seen.at,
    )
    row = connection.execute(query).first()
    return Silence(subject=row.subject, rule=row.rule, until=row.until, reason=row.reason) if row else None


def _open_siblings(connection: sa.Connection, made: Alert) -> builtins.list[Severity]:
    """Return the severities of the other open alerts of a group."""
    query = sa.select(alert.c.severity).where(
        alert.c.group_key == made.group, alert.c.state != "resolved", alert.c.id != made.id
    )
    return builtins.list(connection.execute(query).scalars())
