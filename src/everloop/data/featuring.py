"""The verbs of features: views with versions, rows of the past for training, rows of now for serving, and that both agree.

Tests: tests/unit/data/features/test_featuring.py, tests/property/test_online_features.py, tests/chaos/test_kill_features.py.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.actors import Actor, acting_as, current_actor
from everloop.core.clock import from_microseconds
from everloop.core.errors import EverloopError
from everloop.core.ids import new_id
from everloop.data.features import queries
from everloop.data.features.errors import FeatureViewError, MaterializationSupersededError
from everloop.data.features.lookup import Lookup, parse_view
from everloop.data.features.records import (
    FeatureView,
    Materialized,
    OnlineRows,
    ParityCheck,
    SavedView,
)
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa
    from sqlalchemy import Row

    from everloop.data.features.form import Form
    from everloop.data.features.materializing import KeyRows
    from everloop.data.records import DatasetVersion, TableReference
    from everloop.data.table import Table

# Rows of one transaction, so that other writers wait for milliseconds.
_CHUNK = 2_000
# A materialisation that was not heard of for so long is taken for dead by the scheduler.
_TAKE_OVER_AFTER = timedelta(minutes=10)
_FOLLOWER = Actor(name="system:features", roles=frozenset({"operator"}))
_log = logging.getLogger(__name__)
# Keys that one request to a server asks for.
_REMOTE_KEYS = 200


class Featuring(Service):
    """Feature views: saved, joined, materialised, looked up, compared."""

    # Verbs of datasets, which the stage has.
    read: Callable[..., Table]
    version: Callable[..., DatasetVersion]
    content: Callable[..., TableReference]

    def training_rows(self, entities: object, views: Sequence[FeatureView | str], *, time: str) -> Table:
        """Return entities with features as they were known at each entity's time; exactly one row for each.

        Args:
            entities: rows with the keys of every view and the time; anything that `add` takes.
            views: what to join, each from its dataset: definitions, or names of saved ones, `weather` or `weather@v2`.
            time: the column of the entities that says as of when.

        Raises:
            FeatureViewError: a column is missing or an expression is wrong.
            ViewNotFoundError: there is no view of a name.
        """
        from everloop.data.features.joining import join_features
        from everloop.data.table import Table

        chosen = [self.view(view).definition if isinstance(view, str) else view for view in views]
        sources = [(view, self.read(view.source)) for view in chosen]
        return join_features(Table.of(entities), sources, time=time)

    @operation("POST /feature-views", needs="feature.write", emits="feature.saved", cli="features save")
    def save_view(self, view: FeatureView) -> SavedView:
        """Save a definition under its name; one that differs from the latest version makes the next.

        Raises:
            FeatureViewError: it does not fit its source as it is now.
        """
        from everloop.data.features.materializing import features_schema

        parse_view(view.name)
        if "@" in view.name or not view.keys or not view.features:
            raise FeatureViewError(
                f"feature view {view.name!r} needs a name without @, at least one key and one feature.",
                subject=view.name,
            )
        features_schema(view, self.read(view.source))
        with self.kernel.catalog.transaction() as connection:
            versions = queries.list_versions(connection, view.name)
            if versions and versions[0].definition == view:
                self.unchanged()
                return msgspec.structs.replace(versions[0], is_unchanged=True)
            saved = SavedView(
                name=view.name,
                version=versions[0].version + 1 if versions else 1,
                definition=view,
                created_at=self.kernel.clock.now(),
                created_by=current_actor().name,
            )
            queries.insert_view(connection, saved)
            self.emit(connection, subject=f"feature-view:{saved.ref}", payload=view)
        return saved

    @operation("GET /feature-views", needs="feature.read", cli="features list")
    def views(self, *, limit: int = 100, after: str = "") -> list[SavedView]:
        """Return the latest version of each view by name, after the name `after`."""
        with self.kernel.catalog.read() as connection:
            return queries.list_views(connection, after=after, limit=limit)

    @operation("GET /feature-views/{view}", needs="feature.read", cli="features show")
    def view(self, view: str) -> SavedView:
        """Return a saved view, `weather` or `weather@v2`.

        Raises:
            ViewNotFoundError: as named.
        """
        with self.kernel.catalog.read() as connection:
            return queries.find_view(connection, *parse_view(view))

    @operation("GET /feature-views/{view}/versions", needs="feature.read", cli="features show")
    def view_versions(self, view: str) -> list[SavedView]:
        """Return the versions of a view, newest first."""
        with self.kernel.catalog.read() as connection:
            name, _ = parse_view(view)
            queries.find_view(connection, name, 0)
            return queries.list_versions(connection, name)

    @operation(
        "POST /feature-views/{view}/materializations",
        needs="feature.materialize",
        emits="feature.materialized",
        cli="features materialize",
    )
    def materialize(self, view: str) -> Materialized:
        """Bring the online rows of a view to the latest version of its source; only keys with changed rows are computed.

        Readers see the rows from before until all are there, then all at once. A call that was killed leaves nothing that
        is seen, and the next one begins anew; of two at a time the later one wins.

        Raises:
            MaterializationSupersededError: another call began later.
            FeatureViewError: the view does not fit its source, or cannot be looked up.
        """
        from everloop.data.features import materializing

        saved = self.view(view)
        definition, version = saved.definition, self.version(saved.definition.source)
        with self.kernel.catalog.read() as connection:
            state = queries.find_online(connection, saved.name, saved.version)
        if state is not None and state.current and state.source == version.ref:
            self.unchanged()
            return msgspec.structs.replace(queries.materialized_of(state), is_unchanged=True)
        with self.kernel.catalog.transaction() as connection:
            since, state = queries.begin(
                connection, saved.name, saved.version, self.kernel.catalog.now(connection)
            )
        horizon = max(self.kernel.clock.now(), state.horizon)
        form, keys = self._changed_keys(definition, state, version)
        source = self.read(version.ref)
        wanted = materializing.all_keys(definition, source) if keys is None else keys
        rows = materializing.online_rows(definition, source, wanted, form, horizon=horizon)
        computed = self._write(saved, since, rows)
        with self.kernel.catalog.transaction() as connection:
            done = queries.finish(
                connection,
                saved.name,
                saved.version,
                since,
                replaced=None if keys is None else computed,
                source=version.ref,
                horizon=horizon,
                form=form.encoded,
            )
            found = queries.materialized_of(done, changed=len(computed))
            event = self.emit(connection, subject=f"feature-view:{saved.ref}", payload=found)
            self.kernel.events.link(
                connection,
                source=f"dataset:{version.ref}",
                verb="materialized",
                target=f"feature-view:{saved.ref}",
                event=event,
            )
        return found

    @operation("GET /feature-views/{view}/materialization", needs="feature.read", cli="features show")
    def materialization(self, view: str) -> Materialized | None:
        """Return what the online rows of a view are made of; None when there are none."""
        saved = self.view(view)
        with self.kernel.catalog.read() as connection:
            state = queries.find_online(connection, saved.name, saved.version)
        return queries.materialized_of(state) if state is not None and state.current else None

    @operation(
        "POST /feature-views/{view}/follow",
        needs="feature.materialize",
        emits="feature.followed",
        cli="features follow",
    )
    def follow(self, view: str) -> SavedView:
        """Let the scheduler materialise a view whenever its source has a new version."""
        return self._set_followed(view, is_followed=True)

    @operation(
        "POST /feature-views/{view}/unfollow",
        needs="feature.materialize",
        emits="feature.unfollowed",
        cli="features unfollow",
    )
    def unfollow(self, view: str) -> SavedView:
        """Let the online rows of a view stay as they are until `materialize` is called."""
        return self._set_followed(view, is_followed=False)

    def tick(self) -> list[Materialized]:
        """Materialise the followed views whose sources have moved; return what was made.

        Any number of processes may call it: one that finds another at work leaves it alone, for ten minutes at most.
        """
        with self.kernel.catalog.read() as connection:
            now, states = self.kernel.catalog.now(connection), queries.followed(connection)
        waiting = [state for state in states if not _is_at_work(state, now)]
        with acting_as(_FOLLOWER):
            made = [self._follow_source(f"{state.name}@v{state.version}") for state in waiting]
        return [found for found in made if found is not None and not found.is_unchanged]

    def online(self, view: str, keys: Sequence[object], *, at: datetime | None = None) -> Table:
        """Return the features of keys as they are known, in the order of the keys; nulls where there is nothing.

        The rules are those of `training_rows`: a row that is not yet known or has not yet happened is not given, and
        none that has outlived its ttl.

        Args:
            view: `weather`, whose newest materialised version answers, or `weather@v2`.
            keys: values of the only key, or for several keys mappings or lists in the order of the view's keys.
            at: as of when, now by default; not before the horizon of the last materialisation.

        Raises:
            NotMaterializedError, OnlinePastError: as named.
            FeatureViewError: a value does not fit its key.
        """
        asked = [msgspec.json.encode(key).decode() for key in keys]
        size = _REMOTE_KEYS if self.kernel.is_remote else max(1, len(asked))
        found = [
            self.online_rows(view, keys=asked[start : start + size], at=at)
            for start in range(0, max(1, len(asked)), size)
        ]
        from everloop.data.features.form import form_of
        from everloop.data.table import Table

        form = form_of(found[0].form)
        named = [form.key_values(key) for key in asked]
        return Table(arrow=form.table(named, [row for part in found for row in part.rows]))

    @operation("GET /feature-views/{view}/online", needs="feature.read", cli="features get")
    def online_rows(self, view: str, *, keys: list[str], at: datetime | None = None) -> OnlineRows:
        """Return the stored values of keys; `online` makes a table of them.

        Args:
            view: see `online`.
            keys: each as JSON: a value, a list of values in the order of the view's keys, or an object.
            at: see `online`.
        """
        return self._lookup.rows(view, lambda form: [form.key_values(key) for key in keys], at)

    @operation(
        "POST /feature-views/{view}/parity-checks",
        needs="feature.materialize",
        emits="feature.compared",
        cli="features parity",
    )
    def parity(self, view: str, *, sample: int = 1000, seed: int = 0) -> ParityCheck:
        """Compare online rows with the point-in-time join of the version they were made of, and keep the result.

        Keys are drawn from the source and from the online rows, moments from the horizon on.

        Args:
            view: see `online`.
            sample: how many keys.
            seed: of the draw.

        Raises:
            NotMaterializedError: there is nothing to compare.
        """
        import numpy as np

        from everloop.data.features import parity
        from everloop.data.features.form import form_of
        from everloop.data.features.materializing import all_keys

        name, number = parse_view(view)
        with self.kernel.catalog.read() as connection:
            state, _ = queries.look_up(connection, name, number, [])
            saved = queries.find_view(connection, name, state.version)
        random = np.random.default_rng(seed)
        source, form = self.read(state.source), form_of(bytes(state.form))
        drawn = parity.draw_keys(all_keys(saved.definition, source), sample, random)
        # Keys that are looked up online and should not be: those of rows that were removed.
        after = random.choice(["", *form.key_texts(drawn)])
        with self.kernel.catalog.read() as connection:
            there = queries.some_keys(connection, name, saved.version, after=after, count=sample // 10 + 1)
        keys = form.with_keys(drawn, there)
        moments = parity.draw_moments(saved.definition, from_microseconds(state.horizon), random)
        compared, different, mismatches = parity.compare(
            saved.definition, source, keys, moments, lambda some, at: self._online_table(saved.ref, some, at)
        )
        with self.kernel.catalog.read() as connection:
            if queries.look_up(connection, name, saved.version, [])[0].source != state.source:
                raise MaterializationSupersededError(
                    f"feature view {saved.ref} was materialised anew while it was compared. Call it again.",
                    subject=f"feature-view:{saved.ref}",
                )
        check = ParityCheck(
            id=new_id(),
            view=saved.ref,
            source=state.source,
            created_at=self.kernel.clock.now(),
            compared=compared,
            different=different,
            mismatches=mismatches,
        )
        with self.kernel.catalog.transaction() as connection:
            queries.insert_check(connection, saved.name, saved.version, check)
            told = {"check": check.id, "source": check.source, "compared": compared, "different": different}
            self.emit(connection, subject=f"feature-view:{saved.ref}", payload=told)
        return check

    @operation("GET /feature-views/{view}/parity-checks", needs="feature.read", cli="features show")
    def parity_checks(self, view: str, *, limit: int = 20) -> list[ParityCheck]:
        """Return the parity checks of a view, newest first."""
        saved = self.view(view)
        with self.kernel.catalog.read() as connection:
            return queries.list_checks(connection, saved.name, saved.version, limit=limit)

    @cached_property
    def _lookup(self) -> Lookup:
        return Lookup(self.kernel)

    def _set_followed(self, view: str, *, is_followed: bool) -> SavedView:
        saved = self.view(view)
        with self.kernel.catalog.transaction() as connection:
            now = self.kernel.catalog.now(connection)
            if queries.set_followed(connection, saved.name, saved.version, now, is_followed=is_followed):
                self.emit(connection, subject=f"feature-view:{saved.ref}")
            else:
                self.unchanged()
        return saved

    def _follow_source(self, view: str) -> Materialized | None:
        try:
            return self.materialize(view)
        except EverloopError as error:
            # Other views go on; this one is tried again in the next pass.
            _log.warning("feature view %s could not follow: %s", view, error, extra={"code": error.code})
            return None

    def _online_table(self, view: str, keys: pa.Table, at: datetime) -> pa.Table:
        return self.online(view, [list(key.values()) for key in keys.to_pylist()], at=at).to_arrow()

    def _changed_keys(
        self, view: FeatureView, state: Row[Any], version: DatasetVersion
    ) -> tuple[Form, pa.Table | None]:
        """Return the form of the rows, and the keys that have to be computed; None for all."""
        from everloop.data.features.materializing import form_of_view, touched_keys

        form = form_of_view(view, self.read(version.ref))
        if not state.current or bytes(state.form) != form.encoded:
            return form, None
        old, new = self.content(state.source), self.content(version.ref)
        return form, touched_keys(view, old, new, self.kernel.objects)

    def _write(self, saved: SavedView, since: int, rows: Iterable[KeyRows]) -> list[str]:
        """Write rows in transactions of their own; return the keys, also those that have none."""
        keys = list[str]()
        for chunk in _chunks(rows):
            keys += [row.key for row in chunk]
            with self.kernel.catalog.transaction() as connection:
                held = [row for row in chunk if row.rows]
                queries.write_rows(connection, saved.name, saved.version, since, held)
        return keys


def _is_at_work(state: Row[Any], now: datetime) -> bool:
    return bool(state.attempt > state.current and now - state.touched_at < _TAKE_OVER_AFTER)


def _chunks(rows: Iterable[KeyRows]) -> Iterator[list[KeyRows]]:
    left = iter(rows)
    while chunk := list(islice(left, _CHUNK)):
        yield chunk
