"""The command line as a person types it: data on stdout, remarks on stderr, plain errors, honest statuses."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import everloop as el

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Type = Callable[..., subprocess.CompletedProcess[str]]

pytestmark = pytest.mark.integration


def environment(**more: str) -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("EVERLOOP_")} | more


@pytest.fixture
def type_(tmp_path: Path) -> Type:
    """Type a command in an empty folder."""

    def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "everloop", *words],
            cwd=tmp_path, env=environment(**variables), capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    return run


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with three datasets' worth of events."""
    with el.connect(home=tmp_path / ".everloop") as app:
        for name in ("a", "b", "c"):
            app.data.add(name, {"x": [1, 2]}, message=f"[bold]{name}[/nonsense] :smile:")
    return tmp_path / ".everloop"


@pytest.mark.usefixtures("home")
def test_doctor_says_what_is_sound_and_what_is_not(type_: Type) -> None:
    sound = type_("-o", "json", "doctor")

    found = {line["check"]: line for line in json.loads(sound.stdout)}
    assert sound.returncode == 0, sound.stdout
    assert {"python", "disk", "api_port", "gateway_port", "home", "catalog", "clock", "objects"} <= set(found)
    assert {found[name]["state"] for name in ("python", "home", "catalog", "objects")} == {"ok"}
    assert all(line["remedy"] for line in found.values() if line["state"] != "ok")


def test_doctor_makes_no_home_and_names_an_unreadable_catalog(type_: Type, tmp_path: Path) -> None:
    assert type_("doctor").returncode == 0
    assert list(tmp_path.iterdir()) == []

    (tmp_path / ".everloop").mkdir()
    (tmp_path / ".everloop" / "catalog.db").write_text(
        "this is no database, but long enough to be read as one" * 30
    )
    broken = type_("-o", "json", "doctor")
    assert broken.returncode == 1
    assert next(line for line in json.loads(broken.stdout) if line["check"] == "catalog")["state"] == "bad"


@pytest.mark.usefixtures("home")
def test_events_are_listed_as_table_json_and_csv(type_: Type) -> None:
    table = type_("events", "ls", "--kind", "dataset.versioned").stdout
    as_json = json.loads(type_("-o", "json", "events", "ls", "--kind", "dataset.versioned").stdout)
    as_csv = list(csv.DictReader(io.StringIO(type_("-o", "csv", "events", "ls").stdout)))

    assert [event["subject"] for event in as_json] == ["dataset:a@v1", "dataset:b@v1", "dataset:c@v1"]
    assert {"dataset:a@v1", "dataset:b@v1", "dataset:c@v1"} <= {row["subject"] for row in as_csv}
    assert len(table.splitlines()) == 4
    assert "dataset:b@v1" in table


@pytest.mark.usefixtures("home")
def test_what_a_table_prints_is_data_and_no_markup(type_: Type) -> None:
    printed = type_("data", "versions", "a")

    assert printed.returncode == 0, printed.stderr
    assert "[bold]a[/nonsense] :smile:" in printed.stdout


def test_an_empty_table_says_so_beside_the_data(type_: Type) -> None:
    empty = type_("-o", "csv", "alert", "ls")
    table = type_("alert", "ls")

    assert empty.stdout == "id,opened_at,severity,state,subject,rule,message\n"
    assert "nothing here yet" in table.stderr


@pytest.mark.usefixtures("home")
def test_a_checkpoint_finds_what_the_chain_alone_cannot(type_: Type, home: Path, tmp_path: Path) -> None:
    import sqlite3

    assert type_("events", "checkpoint", "--to", "kept.jsonl").returncode == 0
    intact = type_("events", "verify", "--checkpoint", "kept.jsonl")
    assert (intact.returncode, intact.stdout.startswith("intact:")) == (0, True)

    with sqlite3.connect(home / "catalog.db") as database:
        database.execute("DELETE FROM event WHERE position >= 3")
        database.execute("DELETE FROM event_checkpoint")
    database.close()

    assert type_("events", "verify").returncode == 0
    cut = type_("events", "verify", "--checkpoint", "kept.jsonl")
    assert cut.returncode == 1
    assert cut.stdout.startswith("BROKEN at event 3")
    assert (tmp_path / "kept.jsonl").exists()


def test_an_unknown_command_names_the_nearest(type_: Type) -> None:
    wrong = type_("evnets", "ls")

    assert wrong.returncode == 2
    assert "no command 'evnets'. Did you mean events?" in wrong.stderr


def test_an_error_is_one_plain_line_with_its_code(type_: Type) -> None:
    wrong = type_("data", "show", "nothing")

    assert wrong.returncode == 1
    assert wrong.stdout == ""
    assert "error [data." in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.parametrize(
    ("variables", "words", "code"),
    [
        ({"EVERLOOP_API_PORT": "many"}, ("events", "ls"), "settings.invalid"),
        ({"EVERLOOP_CATALOG_URL": "mysql://x/y"}, ("events", "ls"), "catalog.invalid-url"),
        ({"EVERLOOP_URL": "http://127.0.0.1:9"}, ("events", "ls"), "everloop.unavailable"),
        ({"EVERLOOP_URL": "http://127.0.0.1:9"}, ("backup", "all.zip"), "backup.not-a-home"),
        ({}, ("backup", "nowhere/all.zip"), "backup.target"),
    ],
)
def test_a_wrong_setting_is_one_plain_line(
    type_: Type, variables: dict[str, str], words: tuple[str, ...], code: str
) -> None:
    wrong = type_(*words, **variables)

    assert wrong.returncode == 1
    assert f"[{code}]" in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.usefixtures("home")
def test_a_backup_restores_by_command(type_: Type, tmp_path: Path) -> None:
    made = type_("-o", "json", "backup", "all.zip")
    restored = type_("--home", "new", "-o", "json", "restore", "all.zip")

    assert made.returncode == restored.returncode == 0, made.stderr + restored.stderr
    assert "event log intact" in restored.stderr
    assert json.loads(made.stdout)["rows"] == json.loads(restored.stdout)["rows"]
    assert (tmp_path / "new" / "catalog.db").exists()


def test_ctrl_c_ends_with_status_130_and_one_word(tmp_path: Path) -> None:
    (tmp_path / "flow.py").write_text(
        "import pathlib, time\nfrom everloop.pipelines import pipeline, step\n"
        "@step\ndef wait() -> int:\n    pathlib.Path('waiting').touch()\n    time.sleep(60)\n    return 1\n"
        "@pipeline\ndef flow() -> int:\n    return wait()\n"
    )
    command = [sys.executable, "-m", "everloop", "run", "flow.py"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    ) as running:
        while not (tmp_path / "waiting").exists():
            assert running.poll() is None
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=20)

    assert running.returncode == 130, said
    assert "Traceback" not in said


@pytest.mark.usefixtures("home")
def test_a_reader_that_stops_early_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m everloop -o json events ls | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)  # fmt: skip  # noqa: S607

    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr


def test_the_alert_commands_work_together(type_: Type) -> None:
    assert type_("alert", "channel", "ops", "--kind", "file").returncode == 0
    silenced = type_(
        "-o", "json", "alert", "silence", "deployment:x", "drift", "--for", "7d", "--reason", "known"
    )

    assert json.loads(silenced.stdout)["rule"] == "drift"
    assert [row["name"] for row in json.loads(type_("-o", "json", "alert", "channels").stdout)] == ["ops"]
    assert json.loads(type_("-o", "json", "alert", "deliveries").stdout) == []
    assert "alerting.alert-not-found" in type_("alert", "ack", "nothing").stderr
