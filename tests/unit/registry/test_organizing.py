"""Models have notes and tags, take new names, and go with their versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.registry.test_service import rows, train

from everloop.registry.naming import InvalidModelNameError, ModelExistsError, ModelNotFoundError
from everloop.registry.organizing import BadTagError
from everloop.registry.tables import roots

if TYPE_CHECKING:
    from everloop.registry.service import Registry


def test_a_model_is_made_without_versions_and_edited(registry: Registry) -> None:
    made = registry.create_model("delays", note="first", tags={"a": "1", "b": "2"})
    changed = registry.edit_model("delays", note="second", tags={"c": "3"}, remove_tags=["a", "x"])

    assert (made.versions, made.note, made.aliases) == (0, "first", {})
    assert (changed.note, changed.tags) == ("second", {"b": "2", "c": "3"})
    assert registry.about("delays") == changed
    kinds = [event.kind for event in registry.kernel.events.read(kinds=["model.created", "model.edited"])]
    assert kinds == ["model.created", "model.edited"]


def test_what_is_taken_missing_or_no_name_is_refused(registry: Registry) -> None:
    registry.create_model("delays")
    registry.create_model("other")

    with pytest.raises(ModelExistsError):
        registry.create_model("delays")
    with pytest.raises(ModelExistsError):
        registry.edit_model("delays", name="other")
    with pytest.raises(InvalidModelNameError):
        registry.edit_model("delays", name="a@b")
    with pytest.raises(ModelNotFoundError):
        registry.about("nowhere")
    with pytest.raises(ModelNotFoundError):
        registry.delete_model("nowhere")
    for tags in ({"": "x"}, {"k" * 251: "x"}, {"k": "x" * (1 << 17)}, {"a\n": "b"}):
        with pytest.raises(BadTagError):
            registry.edit_model("delays", tags=tags)


def test_a_new_name_takes_versions_and_aliases_along(registry: Registry) -> None:
    registry.register("delays", train(rows(3)))
    registry.set_alias("delays", "champion", version=1)

    registry.edit_model("delays", name="late")

    assert registry.get("late@champion").ref == "late@v1"
    assert [move.version for move in registry.alias_history("late", "champion")] == [1]
    with pytest.raises(ModelNotFoundError):
        registry.get("delays@v1")


def test_the_number_of_a_deleted_version_is_not_given_again(registry: Registry) -> None:
    registry.register("delays", train(rows(3)))
    second = registry.register("delays", train(rows(3), trees=3))
    registry.set_alias("delays", "champion", version=2)

    registry.delete_version("delays", 2)
    third = registry.register("delays", train(rows(3), trees=3))

    assert (second.digest, third.version) == (third.digest, 3)
    assert [version.version for version in registry.versions("delays")] == [3, 1]
    assert registry.about("delays").aliases == {}
    assert registry.alias_history("delays", "champion")[0].reason == "version 2 was deleted"
    with pytest.raises(ModelNotFoundError):
        registry.find("delays", "2")


def test_a_deleted_model_leaves_its_name_free_and_its_files_to_the_collector(registry: Registry) -> None:
    registry.register("delays", train(rows(3)))
    registry.delete_model("delays")

    with registry.kernel.catalog.read() as connection:
        assert [*roots(connection)] == []
    assert registry.list() == []
    assert registry.register("delays", train(rows(3))).version == 1


def test_a_version_is_edited_and_stays_what_it_is(registry: Registry) -> None:
    before = registry.register("delays", train(rows(3)), note="n")
    after = registry.edit_version("delays", 1, tags={"a": "b"})
    last = registry.edit_version("delays", 1, note="m", remove_tags=["a"])

    assert (after.note, after.tags, after.digest) == ("n", {"a": "b"}, before.digest)
    assert (last.note, last.tags) == ("m", {})
