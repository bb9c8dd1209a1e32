"""The verbs that people use on models and versions: names, notes, tags, deletion. Tests: tests/unit/registry/test_organizing.py."""

from __future__ import annotations

import builtins

import msgspec
import sqlalchemy as sa

from everloop.core.actors import current_actor
from everloop.core.errors import InvalidInputError
from everloop.core.ids import new_id
from everloop.kernel.operations import Service, operation
from everloop.registry import queries, tables
from everloop.registry.naming import ModelExistsError, ModelNotFoundError, check_name
from everloop.registry.records import AliasMove, ModelVersion, RegisteredModel

LONGEST_TEXT = 64 << 10
_LONGEST_KEY = 250


class BadTagError(InvalidInputError):
    """A tag or a note of a model is longer than it may be, or has no name."""

    code = "registry.bad-tag"


class Organizing(Service):
    """Names, notes, tags and deletion."""

    @operation("POST /models", needs="model.register", emits="model.created", cli="model new")
    def create_model(
        self,
        model: str,
        *,
        note: str = "",
        tags: dict[str, str] = {},  # noqa: B006 - never changed; a value for the API's document
    ) -> RegisteredModel:
        """Make a model without versions.

        Args:
            model: its name.
            note: text about it.
            tags: labels for search.

        Raises:
            ModelExistsError: the name is taken.
        """
        check_name(model)
        _check_texts(tags, note)
        now = self.kernel.clock.now()
        with self.kernel.catalog.transaction() as connection:
            _refuse_taken(connection, model)
            values = {"name": model, "created_at": now, "updated_at": now, "note": note, "tags": tags}
            connection.execute(tables.model.insert().values(values))
            self.emit(connection, subject=f"model:{model}", payload={"note": note, "tags": tags})
            return _model(connection, model)

    @operation("GET /models/{model}", needs="model.read", cli="model about")
    def about(self, model: str) -> RegisteredModel:
        """Return a model: note, tags, aliases, number of its newest version."""
        with self.kernel.catalog.read() as connection:
            return _model(connection, model)

    @operation("PATCH /models/{model}", needs="model.tag", emits="model.edited", cli="model edit")
    def edit_model(
        self,
        model: str,
        *,
        name: str | None = None,
        note: str | None = None,
        tags: dict[str, str] | None = None,
        remove_tags: builtins.list[str] | None = None,
    ) -> RegisteredModel:
        """Change name, note and tags of a model.

        Deployments and policies name models: after a new name, change it there too.

        Args:
            model: its name.
            name: the new one.
            note: the new text about it.
            tags: labels to set.
            remove_tags: labels to take away.

        Raises:
            ModelNotFoundError, ModelExistsError: as named.
        """
        _check_texts(tags or {}, note or "")
        with self.kernel.catalog.transaction() as connection:
            before = _model(connection, model, locks=True)
            values = {
                "note": before.note if note is None else note,
                "tags": _changed(before.tags, tags, remove_tags),
                "updated_at": self.kernel.clock.now(),
            }
            connection.execute(tables.model.update().where(tables.model.c.name == model).values(values))
            if name is not None and name != model:
                check_name(name)
                _refuse_taken(connection, name)
                _rename(connection, model, name)
            told = {"name": name, "note": note, "tags": tags or {}, "removed_tags": remove_tags or []}
            self.emit(connection, subject=f"model:{model}", payload=told)
            return _model(connection, model if name is None else name)

    @operation("DELETE /models/{model}", needs="model.delete", emits="model.deleted", cli="model rm")
    def delete_model(self, model: str) -> None:
        """Delete a model with its versions and aliases; the events keep what it was."""
        with self.kernel.catalog.transaction(durable=True) as connection:
            _model(connection, model)
            for table, column in _NAMING:
                if table is not tables.model_alias_move:
                    connection.execute(table.delete().where(table.c[column] == model))
            self.emit(connection, subject=f"model:{model}")

    @operation(
        "PATCH /models/{model}/versions/{version}",
        needs="model.tag",
        emits="model.version_edited",
        cli="model edit-version",
    )
    def edit_version(
        self,
        model: str,
        version: int,
        *,
        note: str | None = None,
        tags: dict[str, str] | None = None,
        remove_tags: builtins.list[str] | None = None,
    ) -> ModelVersion:
        """Change what people say about a version: its note and tags.

        Args:
            model: the model's name.
            version: its version.
            note: the new text about it.
            tags: labels to set.
            remove_tags: labels to take away.
        """
        _check_texts(tags or {}, note or "")
        with self.kernel.catalog.transaction() as connection:
            # The model's row stands for its versions: whoever changes one of them holds it.
            _model(connection, model, locks=True)
            before = queries.find(connection, model, str(version))
            values = {
                "note": before.note if note is None else note,
                "tags": _changed(before.tags, tags, remove_tags),
                "updated_at": self.kernel.clock.now(),
            }
            connection.execute(
                tables.model_version.update().where(_is_version(model, version)).values(values)
            )
            told = {"note": note, "tags": tags or {}, "removed_tags": remove_tags or []}
            self.emit(connection, subject=before.subject, payload=told)
            return queries.find(connection, model, str(version))

    @operation(
        "DELETE /models/{model}/versions/{version}",
        needs="model.delete",
        emits="model.version_deleted",
        cli="model rm-version",
    )
    def delete_version(self, model: str, version: int) -> ModelVersion:
        """Delete a version and the aliases that stand on it; its number is not given again."""
        now = self.kernel.clock.now()
        with self.kernel.catalog.transaction(durable=True) as connection:
            found = queries.find(connection, model, str(version))
            self._drop_aliases(connection, model, version)
            change = tables.model_version.update().where(_is_version(model, version))
            connection.execute(change.values(deleted_at=now, updated_at=now))
            self.emit(connection, subject=found.subject, payload={"digest": found.digest})
            return found

    def _drop_aliases(self, connection: sa.Connection, model: str, version: int) -> None:
        stand = tables.model_alias
        where = sa.and_(stand.c.model == model, stand.c.version == version)
        for alias in connection.execute(sa.select(stand.c.alias).where(where)).scalars().all():
            move = AliasMove(
                id=new_id(),
                model=model,
                alias=alias,
                version=0,
                previous=version,
                moved_at=self.kernel.clock.now(),
                actor=current_actor().name,
                reason=f"version {version} was deleted",
            )
            connection.execute(tables.model_alias_move.insert().values(msgspec.structs.asdict(move)))
        connection.execute(stand.delete().where(where))


# Tables that name a model, with the column that does.
_NAMING = (
    (tables.model, "name"),
    (tables.model_version, "model"),
    (tables.model_alias, "model"),
    (tables.model_alias_move, "model"),
    (tables.gate_report, "model"),
    (tables.model_approval, "model"),
)


def _rename(connection: sa.Connection, model: str, name: str) -> None:
    for table, column in _NAMING:
        connection.execute(table.update().where(table.c[column] == model).values({column: name}))


def _model(connection: sa.Connection, name: str, *, locks: bool = False) -> RegisteredModel:
    query = sa.select(tables.model).where(tables.model.c.name == name)
    row = connection.execute(query.with_for_update() if locks else query).first()
    if row is None:
        raise ModelNotFoundError(
            f"there is no model {name}; `everloop model ls` lists them.", subject=f"model:{name}"
        )
    return queries.registered(connection, row)


def _refuse_taken(connection: sa.Connection, name: str) -> None:
    if connection.execute(sa.select(tables.model.c.name).where(tables.model.c.name == name)).first():
        raise ModelExistsError(f"there is a model {name}. Choose another name.", subject=f"model:{name}")


def _is_version(model: str, version: int) -> sa.ColumnElement[bool]:
    found = tables.model_version
    return sa.and_(found.c.model == model, found.c.version == version)


def _changed(
    before: dict[str, str], tags: dict[str, str] | None, remove: builtins.list[str] | None
) -> dict[str, str]:
    return {key: value for key, value in before.items() if key not in (remove or [])} | (tags or {})


def _check_texts(tags: dict[str, str], note: str) -> None:
    for key, value in {**tags, "note": note}.items():
        if not key or len(key) > _LONGEST_KEY or not key.isprintable() or len(value) > LONGEST_TEXT:
            raise BadTagError(
                f"the tag or note {key[:60]!r} of {len(value):,} characters is not kept: a name has 1 to {_LONGEST_KEY} printable "
                f"characters, a text at most {LONGEST_TEXT:,}.",
                subject=key[:60],
            )
