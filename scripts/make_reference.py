"""Write docs/reference from the code: settings, commands, verbs of the HTTP API, events.

    python scripts/make_reference.py

A test compares the files with what this would write.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import click
import msgspec

from everloop.app import App, connect
from everloop.cli import COMMANDS, everloop
from everloop.kernel.operations import operations_of
from everloop.kernel.operations.transport import API
from everloop.kernel.settings import PREFIX, Settings

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"


def settings_page() -> str:
    """Return the page of settings: each field a heading."""
    described = dict(
        re.findall(r"^ {4,8}([\w, ]+): (.+)$", inspect.getdoc(Settings) or "", flags=re.MULTILINE)
    )
    told = {name.strip(): text for names, text in described.items() for name in names.split(",")}
    lines = [
        "# Settings",
        "",
        "Defaults, then `everloop.toml` (the nearest upward of the working folder), then variables, then arguments; later ones win.",
        "",
    ]
    for field in msgspec.structs.fields(Settings):
        default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        shown = str(default) if isinstance(default, Path) else default
        lines += [f"## {field.name}", "", _sentence(told.get(field.name, "")), ""]
        lines += [f"Variable `{PREFIX}{field.name.upper()}`, default `{shown!r}`.", ""]
    return "\n".join(lines)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def commands_page() -> str:
    """Return the page of commands with their help."""
    lines = ["# Commands", "", "`everloop [--home FOLDER] [--url URL] [-o table|json|csv] COMMAND`", ""]
    context = click.Context(everloop, info_name="everloop")
    for name in COMMANDS:
        command = everloop.get_command(context, name)
        if command is not None:
            lines += _command(command, f"everloop {name}", context)
    return "\n".join(lines)


def _command(command: click.Command, title: str, parent: click.Context) -> list[str]:
    context = click.Context(command, info_name=title, parent=None)
    lines = [f"## {title}", "", (command.help or "").partition("\f")[0].strip(), ""]
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and "--help" not in record[0]:
            lines.append(f"- `{record[0]}` {record[1]}".rstrip())
    lines.append("")
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None:
                lines += _command(below, f"{title} {name}", parent)
    return lines


def api_page(app: App) -> str:
    """Return the page of verbs: route, permission, event, command."""
    lines = ["# HTTP API", "", f"All routes are below `{API}`; `{API}/openapi.json` has every type.", ""]
    for service in app.services:
        lines += [
            f"## {service.stage}",
            "",
            "| route | does | needs | event | command |",
            "|---|---|---|---|---|",
        ]
        for verb in operations_of(type(service)):
            summary = (inspect.getdoc(verb.function) or "").partition("\n")[0].replace("|", "\\|")
            command = f"`{verb.cli}`" if verb.cli else f"none: {verb.cli_reason}"
            event = f"`{verb.emits}`" if verb.emits else ""
            lines.append(
                f"| `{verb.method} {verb.path}` | {summary} | `{verb.needs}` | {event} | {command} |"
            )
        lines.append("")
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Return every page by file name."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder, connect(home=Path(folder) / ".everloop") as app:
        return {"settings.md": settings_page(), "commands.md": commands_page(), "api.md": api_page(app)}


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text.rstrip() + "\n")
        print(name)


if __name__ == "__main__":
    main()
