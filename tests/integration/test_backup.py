"""A backup holds the whole home; it restores into either database, or not at all."""

from __future__ import annotations

import stat
import zipfile
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from everloop.app import App
from everloop.core.digests import digest_bytes
from everloop.kernel.backup import BackupTargetError, back_up, restore
from everloop.kernel.catalog.dump import NotEmptyError, UnreadableDumpError
from everloop.kernel.events.chain import verify
from everloop.kernel.objects.fsck import check_store
from everloop.kernel.objects.store import ObjectStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeKernel

    from everloop.kernel.operations import Kernel

BIG = b"big" * 300_000


@pytest.fixture
def filled(make_kernel: MakeKernel, tmp_path: Path) -> Kernel:
    """A home with rows, small and large objects, events, and a file of a stage."""
    kernel = make_kernel(home=tmp_path / "old")
    app = App(kernel)
    app.data.add("flights", {"id": [1, 2, 3], "late": [True, False, None]})
    with app.tracking.start(experiment="trees", params={"seed": 1}) as run:
        run.log(loss=0.5)
    kernel.objects.put_many([b"%d" % number for number in range(20)])
    kernel.objects.put(BIG)
    app.alerting.set_channel("ops", kind="file")
    (kernel.home / "predictions" / "x").mkdir(parents=True)
    (kernel.home / "predictions" / "x" / "log").write_bytes(b"not yet converted")
    app.system.checkpoint()
    return kernel


def counts(kernel: Kernel) -> dict[str, int]:
    found = sa.MetaData()
    with kernel.catalog.read() as connection:
        found.reflect(connection)
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in found.sorted_tables
        }


def assert_same_home(new: Kernel, old: Kernel) -> None:
    assert counts(new) == counts(old)
    assert isinstance(new.objects, ObjectStore)
    report = check_store(new.objects)
    assert (report.missing, report.corrupt) == ([], [])
    assert new.objects.get(digest_bytes(BIG)) == BIG
    assert new.objects.get(digest_bytes(b"7")) == b"7"
    found = verify(new.catalog)
    assert found.is_intact, found.reason
    assert new.events.read() == old.events.read()
    assert App(new).data.read("flights").to_arrow().to_pydict() == {
        "id": [1, 2, 3],
        "late": [True, False, None],
    }
    assert (new.home / "predictions" / "x" / "log").read_bytes() == b"not yet converted"
    assert (new.home / "keys" / "events.pem").read_bytes() == (old.home / "keys" / "events.pem").read_bytes()


def test_a_backup_restores_into_an_empty_home(
    filled: Kernel, make_kernel: MakeKernel, tmp_path: Path
) -> None:
    made = back_up(filled, tmp_path / "all.zip")
    new = make_kernel(home=tmp_path / "new")

    restored = restore(new, tmp_path / "all.zip")

    assert_same_home(new, filled)
    assert (restored.rows, restored.objects, restored.object_bytes) == (
        made.rows,
        made.objects,
        made.object_bytes,
    )


@pytest.mark.integration
def test_a_backup_of_sqlite_restores_into_postgresql_and_goes_on(
    filled: Kernel, make_kernel: MakeKernel, tmp_path: Path, postgres_url: str
) -> None:
    back_up(filled, tmp_path / "all.zip")
    new = make_kernel(home=tmp_path / "new", catalog_url=postgres_url)

    restore(new, tmp_path / "all.zip")

    assert_same_home(new, filled)
    before = len(filled.events.read())
    App(new).data.add("flights", {"id": [4], "late": [True]})  # new numbers come after the restored ones
    assert len(new.events.read()) > before
    assert verify(new.catalog).is_intact


@pytest.mark.integration
def test_a_backup_of_postgresql_restores_into_sqlite(
    make_kernel: MakeKernel, tmp_path: Path, postgres_url: str
) -> None:
    old = make_kernel(home=tmp_path / "old", catalog_url=postgres_url)
    App(old).data.add("flights", {"id": [1], "late": [True]})
    back_up(old, tmp_path / "all.zip")
    new = make_kernel(home=tmp_path / "new")

    restore(new, tmp_path / "all.zip")

    assert counts(new) == counts(old)
    assert verify(new.catalog).is_intact


def test_a_backup_is_readable_by_its_owner_only(filled: Kernel, tmp_path: Path) -> None:
    back_up(filled, tmp_path / "all.zip")

    assert stat.S_IMODE((tmp_path / "all.zip").stat().st_mode) == 0o600


def test_a_backup_into_the_home_itself_does_not_hold_itself(filled: Kernel) -> None:
    target = filled.home / "all.zip"

    back_up(filled, target)
    back_up(filled, target)

    with zipfile.ZipFile(target) as archive:
        assert not [name for name in archive.namelist() if "all" in name]


def test_a_backup_to_where_nothing_can_be_written_is_refused(filled: Kernel, tmp_path: Path) -> None:
    with pytest.raises(BackupTargetError, match="nowhere"):
        back_up(filled, tmp_path / "nowhere" / "all.zip")


def test_a_home_that_holds_rows_is_refused_and_kept(
    filled: Kernel, make_kernel: MakeKernel, tmp_path: Path
) -> None:
    back_up(filled, tmp_path / "all.zip")
    other = make_kernel(home=tmp_path / "other")
    App(other).data.add("mine", {"id": [1]})
    before = counts(other)

    with pytest.raises(NotEmptyError, match="empty home"):
        restore(other, tmp_path / "all.zip")

    assert counts(other) == before
    assert not (other.home / "predictions").exists()


@pytest.mark.parametrize("damage", ["no zip", "cut off", "flipped catalog", "flipped object", "no catalog"])
def test_a_damaged_backup_is_refused_and_the_home_stays_empty(
    filled: Kernel, make_kernel: MakeKernel, tmp_path: Path, damage: str
) -> None:
    file = tmp_path / "all.zip"
    back_up(filled, file)
    _damage(file, damage)
    new = make_kernel(home=tmp_path / "new")

    with pytest.raises(UnreadableDumpError, match="all.zip"):
        restore(new, file)

    kept = {
        name: rows for name, rows in counts(new).items() if rows and name not in ("object", "everloop_schema")
    }
    assert kept == {}


def _damage(file: Path, how: str) -> None:
    content = bytearray(file.read_bytes())
    if how == "no zip":
        file.write_bytes(b"this is no zip")
    elif how == "cut off":
        file.write_bytes(content[: len(content) // 2])
    elif how == "no catalog":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("other", b"")
    else:
        name = "catalog.zip" if how == "flipped catalog" else f"objects/{digest_bytes(BIG)}"
        with zipfile.ZipFile(file) as archive:
            info = archive.getinfo(name)
        content[info.header_offset + 30 + len(name) + info.file_size // 2] ^= 0xFF
        file.write_bytes(content)


def test_a_backup_that_names_a_file_outside_the_home_writes_nothing(
    filled: Kernel, make_kernel: MakeKernel, tmp_path: Path
) -> None:
    file = tmp_path / "all.zip"
    back_up(filled, file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("files/../../stolen", b"x")
    new = make_kernel(home=tmp_path / "new")

    with pytest.raises(UnreadableDumpError, match="outside"):
        restore(new, file)

    assert not (tmp_path / "stolen").exists()
    assert not (new.home / "keys").exists()
