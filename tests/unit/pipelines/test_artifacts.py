"""Each kind of value is written in its own form and comes back as it was."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from everloop.data.table import Table
from everloop.pipelines import File, artifacts
from everloop.pipelines.artifacts import ArtifactLostError, PickledArtifactWarning, dump, load
from everloop.pipelines.codecs.plain import JsonCodec
from everloop.pipelines.codecs.protocol import UnstorableValueError
from everloop.pipelines.store import open_store

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel
    from everloop.pipelines.codecs.protocol import Store
    from everloop.pipelines.records import Artifact


@pytest.fixture
def store(kernel: Kernel) -> Store:
    return open_store(kernel)


class Point(msgspec.Struct, frozen=True):
    """A record whose class can be imported."""

    x: int
    y: float


@dataclass(frozen=True)
class Named:
    """A data class whose class can be imported."""

    name: str


class Word:
    """Writes itself as bytes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __everloop_artifact__(self) -> bytes:
        return self.text.encode()

    @classmethod
    def __everloop_load__(cls, content: bytes) -> Word:
        return cls(content.decode())


class Shelf:
    """Writes itself as a folder."""

    folder: Path

    def __everloop_artifact__(self) -> Path:
        return self.folder

    @classmethod
    def __everloop_load__(cls, content: Path) -> Shelf:
        shelf = cls()
        shelf.folder = content
        return shelf


def read_again(value: object, store: Store) -> object:
    return load(dump(value, store, where="x"), store)


@pytest.mark.parametrize(
    "value", [None, True, 3, -0.5, "text", [1, [2, None]], {"a": {"b": [1.5]}}, b"\0bytes"]
)
def test_plain_values_come_back_with_their_types(value: object, store: Store) -> None:
    again = read_again(value, store)

    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("value", [Point(1, 0.5), Named("ada")])
def test_records_come_back_as_their_class(value: object, store: Store) -> None:
    assert dump(value, store, where="x").codec == "record"
    assert read_again(value, store) == value


def test_a_small_plain_value_costs_no_object_and_a_large_one_is_one(store: Store) -> None:
    assert dump([1, 2], store, where="x").objects == {}
    assert list(dump(["x" * 100] * 100, store, where="x").objects) == ["value.json"]


def test_a_tuple_in_a_list_is_not_taken_for_json(store: Store) -> None:
    with pytest.warns(PickledArtifactWarning):
        again = read_again([(1, 2)], store)

    assert again == [(1, 2)]


def test_an_array_is_a_memory_map_of_the_stored_file(store: Store) -> None:
    value = np.arange(12, dtype=np.float32).reshape(3, 4)

    again = read_again(value, store)

    assert isinstance(again, np.memmap)
    assert again.dtype == value.dtype
    assert np.array_equal(again, value)
    with pytest.raises(ValueError, match="read-only"):
        again[0, 0] = 9


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_array_is_stored_without_a_copy_of_it(store: Store, tmp_path: Path, order: Any) -> None:
    value = np.zeros((1024, 4096), order=order)  # 32 MiB
    value[3, 5] = 7
    np.save(tmp_path / "expected.npy", value)

    tracemalloc.start()
    artifact = dump(value, store, where="x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 4 << 20
    stored = store.objects.path(artifact.digest)
    assert stored.read_bytes() == (tmp_path / "expected.npy").read_bytes()
    again = load(artifact, store)
    assert isinstance(again, np.memmap)
    assert np.array_equal(again, value)


def test_an_array_of_python_objects_is_pickled_with_a_warning(store: Store) -> None:
    with pytest.warns(PickledArtifactWarning, match="x is a numpy.ndarray"):
        assert dump(np.array([{}, None], dtype=object), store, where="x").codec == "pickle"


def test_a_pandas_frame_keeps_index_and_categories(store: Store) -> None:
    frame = pd.DataFrame(
        {"a": [1.5, None], "c": pd.Categorical(["x", "y"])}, index=pd.Index([7, 9], name="key")
    )

    again = read_again(frame, store)

    assert isinstance(again, pd.DataFrame)
    pd.testing.assert_frame_equal(again, frame)


def test_a_polars_frame_comes_back_as_one(store: Store) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"a": [1, None], "b": ["x", "y"]})

    again = read_again(frame, store)

    assert isinstance(again, polars.DataFrame)
    assert again.equals(frame)


def test_an_arrow_table_comes_back_as_one(store: Store) -> None:
    table = pa.table({"a": [1, 2]})

    assert read_again(table, store) == table


def test_a_table_has_the_digest_of_its_rows_in_order_and_is_read_when_asked(store: Store) -> None:
    table, turned = Table.of({"a": [1, 2, 3]}), Table.of({"a": [3, 2, 1]})

    artifact = dump(table, store, where="x")
    again = load(artifact, store)

    # The same content in another order may lead a step to another result.
    assert table.digest == turned.digest
    assert artifact.digest == table.order != dump(turned, store, where="x").digest
    assert again == table
    assert list(artifact.objects) == ["part-0.parquet"]


def test_a_file_counts_by_content_and_comes_back_read_only(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")

    again = read_again(File(tmp_path / "a.txt"), store)

    assert isinstance(again, File)
    assert again.read_text() == "text"
    assert again.path.stat().st_mode & 0o222 == 0


def test_a_folder_comes_back_with_every_file_of_it(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out" / "deep").mkdir(parents=True)
    (tmp_path / "out" / "a").write_text("1")
    (tmp_path / "out" / "deep" / "b").write_text("2")

    again = read_again(tmp_path / "out", store)

    assert isinstance(again, Path)
    assert {
        path.relative_to(again).as_posix(): path.read_text() for path in again.rglob("*") if path.is_file()
    } == {
        "a": "1",
        "deep/b": "2",
    }


def test_a_path_that_was_never_written_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnstorableValueError, match="is no file"):
        dump(tmp_path / "nothing", store, where="x")


def test_an_object_may_write_itself_as_bytes_or_as_a_folder(store: Store, tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.folder = tmp_path / "shelf"
    shelf.folder.mkdir()
    (shelf.folder / "book").write_text("once")

    word, again = read_again(Word("hello"), store), read_again(shelf, store)

    assert isinstance(word, Word)
    assert isinstance(again, Shelf)
    assert (word.text, (again.folder / "book").read_text()) == ("hello", "once")


def test_the_last_resort_is_pickle_and_names_what_it_took(store: Store) -> None:
    with pytest.warns(PickledArtifactWarning, match=r"the result of fit is a decimal\.Decimal"):
        artifact = dump(Decimal("1.5"), store, where="the result of fit")

    assert load(artifact, store) == Decimal("1.5")


def test_what_not_even_pickle_can_write_is_refused_with_its_name(store: Store) -> None:
    with (
        pytest.warns(PickledArtifactWarning),
        pytest.raises(UnstorableValueError, match="the result is a function"),
    ):
        dump(lambda: None, store, where="the result")


def test_an_artifact_without_its_objects_says_so(store: Store) -> None:
    artifact = dump(b"x" * 10_000, store, where="x")
    store.objects.delete(artifact.digest)

    assert not artifacts.is_whole(artifact, store.objects)
    with pytest.raises(ArtifactLostError, match="Run the pipeline again"):
        load(artifact, store)


def test_a_codec_of_ones_own_comes_first(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Exact(JsonCodec):
        name = "exact"

        def takes(self, value: object) -> bool:
            return isinstance(value, Decimal)

        def dump(self, value: object, store: Store) -> Artifact:
            return msgspec.structs.replace(super().dump(str(value), store), codec=self.name)

        def load(self, artifact: Artifact, store: Store) -> object:
            return Decimal(str(super().load(artifact, store)))

    monkeypatch.setattr(artifacts, "CODECS", [*artifacts.CODECS])
    monkeypatch.setattr(artifacts, "_BY_NAME", dict(artifacts._BY_NAME))
    artifacts.register(Exact())

    assert read_again(Decimal("0.10"), store) == Decimal("0.10")
