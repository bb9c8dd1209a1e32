"""Sources behind a network: databases, HTTP, buckets."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everloop.data.connectors import SourceQueryError, SourceTooLargeError, SourceUnavailableError, to_arrow
from everloop.data.connectors.cursors import decode_cursor, encode_cursor
from everloop.data.connectors.sql import sql_query
from everloop.data.service import Data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from everloop.kernel.operations import Kernel

pytestmark = pytest.mark.integration
CSV = b"a,b\n1,x\n2,y\n"


class Pages(BaseHTTPRequestHandler):
    """Answers three paths."""

    def do_GET(self) -> None:
        if self.path.startswith("/gone.csv"):
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(CSV)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_is_read_over_http(web: str) -> None:
    assert to_arrow(f"{web}/rows.csv").to_pydict() == {"a": [1, 2], "b": ["x", "y"]}


def test_what_the_server_refuses_or_is_too_large_is_named_without_secrets(web: str) -> None:
    with pytest.raises(Exception, match=r"gone\.csv") as caught:
        to_arrow(f"{web}/gone.csv?token=hush")
    assert "hush" not in str(caught.value)
    with pytest.raises(SourceTooLargeError):
        to_arrow(f"{web}/rows.csv", size_limit_bytes=5)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(SourceUnavailableError):
        to_arrow("http://127.0.0.1:9/rows.csv", timeout_s=0.5)


def test_a_query_of_sqlite_is_read_whole_and_from_a_cursor_on(tmp_path: Path, kernel: Kernel) -> None:
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE sale (id INTEGER, price REAL, item TEXT)")
        connection.executemany("INSERT INTO sale VALUES (?, ?, ?)", [(1, 1.5, "tea"), (2, None, "jam")])
    connection.close()
    data, url = Data(kernel), f"sqlite:///{file}"

    first = sql_query(url, "SELECT * FROM sale", cursor_column="id")
    data.add("sales", first)
    with sqlite3.connect(file) as connection:
        connection.execute("INSERT INTO sale VALUES (3, 2.5, 'rye')")
    connection.close()
    kept = encode_cursor(first.cursor or 0)
    second = sql_query(url, "SELECT * FROM sale", cursor_column="id", after=decode_cursor(kept))
    data.add("sales", second, mode="append")

    assert (first.cursor, second.cursor) == (2, 3)
    assert data.read("sales").to_arrow().to_pydict() == {
        "id": [1, 2, 3],
        "price": [1.5, None, 2.5],
        "item": ["tea", "jam", "rye"],
    }


def test_a_wrong_query_is_named(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "empty.db")
    connection.execute("CREATE TABLE t (a)")
    connection.close()

    with pytest.raises(SourceQueryError, match="nothing"):
        to_arrow(sql_query(f"sqlite:///{tmp_path / 'empty.db'}", "SELECT * FROM nothing"))


def test_a_query_of_postgresql_keeps_its_types(postgres_url: str) -> None:
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        connection.execute(
            "CREATE TABLE fact (n bigint, x double precision, at timestamptz, ok boolean, t text)"
        )
        connection.execute(
            "INSERT INTO fact VALUES (1, 0.5, '2013-01-01T12:00Z', true, 'a'), (2, NULL, NULL, NULL, NULL)"
        )
    found = to_arrow(sql_query(postgres_url, "SELECT * FROM fact ORDER BY n"))

    assert [str(kind) for kind in found.schema.types] == [
        "int64",
        "double",
        "timestamp[us, tz=UTC]",
        "bool",
        "string",
    ]
    assert found.to_pylist()[0] == {
        "n": 1,
        "x": 0.5,
        "at": datetime(2013, 1, 1, 12, tzinfo=UTC),
        "ok": True,
        "t": "a",
    }
    assert found.to_pylist()[1] == {"n": 2, "x": None, "at": None, "ok": None, "t": None}


def test_a_bucket_is_read_by_its_url(s3_options: dict[str, str], tmp_path: Path) -> None:
    import obstore
    from obstore.store import S3Store

    rows = pa.table({"a": [1, 2]})
    pq.write_table(rows, tmp_path / "rows.parquet")
    store = S3Store("everloop", config=s3_options, client_options={"allow_http": True})  # type: ignore[arg-type]  # obstore's own names
    obstore.put(store, "sources/rows.parquet", tmp_path / "rows.parquet")

    found = to_arrow("s3://everloop/sources/rows.parquet", store_options=s3_options)

    assert found.equals(rows)
