"""Build cache keys from live functions and artifacts, and look results up.

Tests: tests/unit/pipelines/test_service.py, tests/property/test_cache_keys.py.
"""

from __future__ import annotations

import functools
import os
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from everloop.core.digests import digest_value
from everloop.pipelines.artifacts import is_whole
from everloop.pipelines.closure import close_over
from everloop.pipelines.records import LIST
from everloop.pipelines.rules import make_key
from everloop.pipelines.tables import step_cache

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from everloop.kernel.catalog import Catalog
    from everloop.kernel.objects import Objects
    from everloop.pipelines.closure import CodeClosure
    from everloop.pipelines.executors.protocol import Binding
    from everloop.pipelines.records import Artifact, CacheKey
    from everloop.pipelines.steps import AnyStep

_LOOK_UP = sa.select(step_cache).where(step_cache.c.key == sa.bindparam("at_key"))


class Keys:
    """Makes the keys of one run; a function's closure is walked once, so that a run has one view of the code."""

    def __init__(self) -> None:
        self._closures: dict[object, CodeClosure] = {}

    def key(self, step: AnyStep, arguments: Mapping[str, Binding], *, outputs: int | None = None) -> CacheKey:
        """Return the cache key of a call; a list that is stored item by item has a key of its own."""
        closure = self._closures.get(step.function)
        if closure is None:
            closure = self._closures[step.function] = close_over(step.function)
        inputs = {name: content_of(binding) for name, binding in arguments.items()}
        inputs |= {"result": "list"} if outputs == LIST else {}
        return make_key(closure, inputs, {name: os.environ.get(name, "") for name in step.options.on})


def content_of(binding: Binding) -> str:
    """Return the digest of an argument's content: that of the artifact, or of the structure of artifacts."""
    if binding.artifact is not None:
        return binding.artifact.digest
    return digest_value([binding.kind, binding.keys, [content_of(item) for item in binding.items]])


def is_cache_on(asked: bool | None) -> bool:  # noqa: FBT001 - the third state is the point
    """Say whether results are taken from the cache: as asked, else everywhere but under pytest.

    A hit in a test could hide that the step is broken (flyte#4395).
    """
    return asked if asked is not None else "PYTEST_CURRENT_TEST" not in os.environ


def look_up(
    catalog: Catalog, objects: Objects, key: CacheKey, *, ttl_s: float | None, now: datetime
) -> tuple[list[Artifact], str] | None:
    """Return the artifacts of an earlier call with this key and the run that made them; None unless all of them exist."""
    with catalog.read() as connection:
        row = connection.execute(_LOOK_UP, {"at_key": key.digest}).first()
    if row is None or (ttl_s is not None and row.created_at + timedelta(seconds=ttl_s) < now):
        return None
    outputs: list[Artifact] = row.outputs
    if not all(is_whole(artifact, objects) for artifact in outputs):
        return None
    return outputs, row.run_id


def keep(
    connection: sa.Connection, key: CacheKey, outputs: list[Artifact], *, run: str, node: str, now: datetime
) -> None:
    """Remember a result under its key; a newer result takes the place of an older one."""
    values = {"key": key.digest, "outputs": outputs, "run_id": run, "node": node, "created_at": now}
    connection.execute(_keeping(connection.dialect.name), values)


@functools.cache
def _keeping(dialect: str) -> postgresql.Insert | sqlite.Insert:
    statement = sqlite.insert(step_cache) if dialect == "sqlite" else postgresql.insert(step_cache)
    change = {name: statement.excluded[name] for name in ("outputs", "run_id", "node", "created_at")}
    return statement.on_conflict_do_update(index_elements=["key"], set_=change)
