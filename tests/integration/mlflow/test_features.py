"""Autolog, registration and loading by MLflow itself against a server process; see features.py beside this file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.integration.mlflow.test_tour import client_environment
from tests.unit.registry.test_service import rows, train

import everloop as el

if TYPE_CHECKING:
    from tests.integration.conftest import Server

pytestmark = [pytest.mark.integration, pytest.mark.slow]
FEATURES = Path(__file__).parent / "features.py"


def test_autolog_register_and_load_by_alias_work_unchanged(api_server: Server, tmp_path: Path) -> None:
    python = os.environ.get("EVERLOOP_MLFLOW_PYTHON", sys.executable)
    model = train(rows(3))
    with el.connect(api_server.url, token=api_server.token) as app:
        app.registry.register("delays", model)
        app.registry.set_alias("delays", "champion", version=1)
    table = rows(1)[["a", "b"]].head(5)
    asked = {"rows": table.to_dict("list"), "expected": model.predict(table).tolist()}

    done = subprocess.run(
        [python, str(FEATURES), api_server.url, "delays@champion", json.dumps(asked)],
        env=client_environment(api_server),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert set(json.loads(done.stdout.splitlines()[-1])) == {"mlflow", "sklearn", "lightgbm"}
