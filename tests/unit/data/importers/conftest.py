"""What other systems left behind, for their importers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.data.importers.foreign import FIELDS, Project, add, commit

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    about = {
        "metaData": {
            "id": "x",
            "format": {"provider": "parquet", "options": {}},
            "schemaString": json.dumps({"type": "struct", "fields": FIELDS}),
            "partitionColumns": ["day"],
            "configuration": {},
        }
    }
    protocol = {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}
    commit(tmp_path, 0, protocol, about, add(tmp_path, "1.parquet", [1, 2], "2013-01-01"))
    removed = {"remove": {"path": "1.parquet", "deletionTimestamp": 0, "dataChange": True}}
    commit(
        tmp_path,
        1,
        removed,
        add(tmp_path, "2.parquet", [3], None),
        add(tmp_path, "3.parquet", [4], "2013-01-02"),
    )
    return tmp_path
