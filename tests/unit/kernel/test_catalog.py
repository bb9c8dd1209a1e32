"""Claims about the catalog: transactions, joining, clocks, errors."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from everloop.kernel.catalog import Catalog
from everloop.kernel.catalog.database import InvalidCatalogUrlError
from everloop.kernel.catalog.errors import CatalogClosedError, DamagedCatalogError, NewerSchemaError
from everloop.kernel.events.tables import lineage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeKernel

    from everloop.kernel.operations import Kernel


def _edge(name: str) -> dict[str, str]:
    return {"source": name, "verb": "made", "target": "x", "event": "e"}


def _sources(catalog: Catalog) -> set[str]:
    with catalog.read() as connection:
        return set(connection.execute(sa.select(lineage.c.source)).scalars())


def test_a_block_that_raises_leaves_nothing(any_kernel: Kernel) -> None:
    with pytest.raises(KeyError), any_kernel.catalog.transaction() as connection:
        connection.execute(lineage.insert().values(_edge("a")))
        raise KeyError
    assert _sources(any_kernel.catalog) == set()


def test_an_inner_block_joins_the_outer_transaction(any_kernel: Kernel) -> None:
    with pytest.raises(KeyError), any_kernel.catalog.transaction() as connection:
        connection.execute(lineage.insert().values(_edge("outer")))
        with any_kernel.catalog.transaction() as inner:
            inner.execute(lineage.insert().values(_edge("inner")))
        raise KeyError
    assert _sources(any_kernel.catalog) == set()


def test_a_read_inside_a_block_sees_the_block(any_kernel: Kernel) -> None:
    with any_kernel.catalog.transaction() as connection:
        connection.execute(lineage.insert().values(_edge("a")))
        assert _sources(any_kernel.catalog) == {"a"}


def test_threads_that_write_at_once_keep_all_but_the_failing_block(any_kernel: Kernel) -> None:
    barrier = threading.Barrier(16)

    def write(number: int) -> None:
        barrier.wait()
        for turn in range(10):
            try:
                with any_kernel.catalog.transaction(durable=turn == 0) as connection:
                    connection.execute(lineage.insert().values(_edge(f"{number}-{turn}")))
                    if (number + turn) % 5 == 0:
                        raise KeyError
            except KeyError:
                pass

    threads = [threading.Thread(target=write, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    expected = {f"{n}-{t}" for n in range(16) for t in range(10) if (n + t) % 5}
    assert _sources(any_kernel.catalog) == expected


def test_commits_of_waiting_threads_are_grouped(kernel: Kernel) -> None:
    commits: list[str] = []
    kernel.catalog.on_commit.append(commits.append)
    release = threading.Event()

    def write(number: int) -> None:
        with kernel.catalog.transaction() as connection:
            connection.execute(lineage.insert().values(_edge(str(number))))
            release.wait(5)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    while kernel.catalog._writer is not None and kernel.catalog._writer._waiting < 19:
        pass
    release.set()
    for thread in threads:
        thread.join(10)
    assert len(_sources(kernel.catalog)) == 20
    assert commits.count("after") < 20


def test_the_database_clock_is_aware_and_moves(any_kernel: Kernel) -> None:
    with any_kernel.catalog.read() as connection:
        first = any_kernel.catalog.now(connection)
    with any_kernel.catalog.read() as connection:
        assert any_kernel.catalog.now(connection) >= first
    assert first.tzinfo is not None


def test_a_connection_that_comes_back_after_the_end_is_closed(
    make_kernel: MakeKernel, postgres_url: str
) -> None:
    catalog = make_kernel(catalog_url=postgres_url).catalog
    with catalog.read() as connection:
        driver: Any = connection.connection.dbapi_connection
        catalog.close()
    assert driver.closed


def test_a_closed_catalog_refuses_and_says_so(any_kernel: Kernel) -> None:
    any_kernel.catalog.close()
    any_kernel.catalog.close()
    with pytest.raises(CatalogClosedError, match="connect"), any_kernel.catalog.read():
        pass
    with pytest.raises(CatalogClosedError, match="connect"), any_kernel.catalog.transaction():
        pass


def test_a_database_of_a_newer_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'c.db'}"
    first = Catalog(url)
    with first.transaction() as connection:
        connection.execute(sa.text("UPDATE everloop_schema SET version_num = '9999'"))
    first.close()
    with pytest.raises(NewerSchemaError, match="9999.*Install the newer Everloop"):
        Catalog(url)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"not a database, but long enough to be read as one" * 100)
    with pytest.raises(DamagedCatalogError, match=r"c\.db is not a readable catalog"):
        Catalog(f"sqlite:///{tmp_path / 'c.db'}")


def test_an_unknown_kind_of_database_is_refused() -> None:
    with pytest.raises(InvalidCatalogUrlError, match="mysql"):
        Catalog("mysql://root@localhost/x")
