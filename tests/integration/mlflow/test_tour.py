"""MLflow's own client against a server process; see tour.py beside this file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Server

pytestmark = [pytest.mark.integration, pytest.mark.slow]
TOUR = Path(__file__).parent / "tour.py"


def client_environment(server: Server) -> dict[str, str]:
    """Return the variables an MLflow client needs, and nothing of ours."""
    return {
        **{name: text for name, text in os.environ.items() if not name.startswith(("EVERLOOP_", "MLFLOW_"))},
        "MLFLOW_TRACKING_TOKEN": server.token,
        "MLFLOW_TRACKING_URI": server.url,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def test_an_unmodified_client_goes_everywhere(api_server: Server, tmp_path: Path) -> None:
    python = os.environ.get("EVERLOOP_MLFLOW_PYTHON", sys.executable)

    done = subprocess.run(
        [python, str(TOUR), api_server.url], env=client_environment(api_server), cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert {
        "experiments",
        "runs",
        "histories",
        "searches",
        "inputs",
        "artifacts",
        "logged_models",
        "registry",
        "traces",
    } <= set(told["stops"])


def test_a_password_is_a_token_too(api_server: Server, tmp_path: Path) -> None:
    environment = client_environment(api_server)
    del environment["MLFLOW_TRACKING_TOKEN"]
    environment |= {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": api_server.token}
    program = "import mlflow; print(mlflow.get_experiment('0').name)"

    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.strip() == "Default", done.stderr[-2000:]
