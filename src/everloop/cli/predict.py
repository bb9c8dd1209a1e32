"""`everloop predict`: rows of a file through the gateway, and labels back. Tests: tests/integration/test_cli_models.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from everloop.cli import output

if TYPE_CHECKING:
    import pyarrow as pa

    from everloop.kernel.settings import Settings

_ROWS_AT_ONCE = 5_000


class PredictGroup(click.Group):
    """Reads `predict NAME FILE` as `predict rows NAME FILE`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Put the command in where only its arguments stand."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["rows", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=PredictGroup)
def predict() -> None:
    """Ask a deployment for predictions: everloop predict NAME FILE."""


@predict.command()
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--id", "id_column", default="", help="Column with your own id of a row.")
def rows(name: str, file: str, id_column: str) -> None:
    """Send the rows of FILE (CSV, Parquet, JSON) to deployment NAME."""
    from everloop.kernel.settings import load_settings

    settings = load_settings(home=output.session().home)
    found: list[dict[str, Any]] = []
    for batch in _read(file).to_batches(max_chunksize=_ROWS_AT_ONCE):
        records = batch.to_pylist()
        ids = [str(record.pop(id_column)) for record in records] if id_column else []
        answer = _post(settings, f"/predict/{name}", {"rows": records, "ids": ids})
        named = ids or [f"{answer['id']}-{place}" for place in range(len(records))]
        versions = answer.get("versions") or [answer["version"]] * len(records)
        for identity, version, value in zip(named, versions, answer["predictions"], strict=True):
            found.append({"id": identity, "version": version, "prediction": value})
    output.table(found, ["id", "version", "prediction"])


@predict.command()
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option("--id", "id_column", default="id", show_default=True, help="Column with the prediction id.")
@click.option("--label", "label_column", default="label", show_default=True, help="Column with the label.")
def label(name: str, file: str, id_column: str, label_column: str) -> None:
    """Give the labels in FILE to the predictions of deployment NAME."""
    table = _read(file)
    ids = [str(value) for value in table.column(id_column).to_pylist()]
    labels: list[Any] = table.column(label_column).to_pylist()
    with output.app() as loop:
        count = loop.serving.label(name, ids=ids, labels=labels)
    output.record({"deployment": name, "labels": count})


def _read(file: str) -> pa.Table:
    import duckdb

    with duckdb.connect() as connection:
        table: pa.Table = connection.sql("SELECT * FROM " + _quoted(file)).to_arrow_table()
    return table


def _quoted(file: str) -> str:
    return "'" + file.replace("'", "''") + "'"


def _post(settings: Settings, path: str, body: dict[str, Any]) -> dict[str, Any]:
    import msgspec
    import urllib3

    from everloop.core.errors import UnavailableError, error_from_problem

    address = f"http://{settings.gateway_host}:{settings.gateway_port}"
    headers = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
    try:
        answer = urllib3.request(
            "POST", address + path, body=msgspec.json.encode(body), headers=headers, retries=False
        )
    except urllib3.exceptions.HTTPError as error:
        raise UnavailableError(f"no gateway answers at {address}. Start one with `everloop up`.") from error
    document: dict[str, Any] = msgspec.json.decode(answer.data)
    if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
        raise error_from_problem(document)
    return document
