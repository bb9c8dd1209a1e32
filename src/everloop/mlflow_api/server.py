"""What the server says of itself. Tests: tests/unit/mlflow_api/test_protocol.py."""

from __future__ import annotations

from everloop.app import App
from everloop.mlflow_api.endpoints import Empty, endpoint

# Clients ask for the version before they send traces; below 3.4 they do not send any.
EMULATED = "3.17.2"


@endpoint("3.0 GET server-info", needs="")
def server_info(app: App, asked: Empty) -> dict[str, object]:
    """Say what there is of what a server may have."""
    del app, asked
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": False,
        "multipart_downloads_enabled": False,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "features_enabled": {"gateway": False},
    }
