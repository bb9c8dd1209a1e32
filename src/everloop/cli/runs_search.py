"""`everloop runs search` and its kin. Tests: tests/integration/test_cli_tracking.py."""

from __future__ import annotations

import click

from everloop.cli import output


@click.command()
@click.argument("filter_text", metavar="FILTER", default="")
@click.option(
    "--order", "order_by", multiple=True, metavar="FIELD [desc]", help="Sort by this; may be repeated."
)
@click.option("--column", "columns", multiple=True, metavar="FIELD", help="Show this; may be repeated.")
@click.option("--limit", default=50, show_default=True, help="At most this many.")
@click.option("--after", default="", help="Mark of the page before.")
@click.option("--deleted", is_flag=True, help="Those in the trash instead.")
def search(
    filter_text: str,
    order_by: tuple[str, ...],
    columns: tuple[str, ...],
    limit: int,
    after: str,
    deleted: bool,  # noqa: FBT001 - click's flag
) -> None:
    """List the runs that FILTER chooses: 'metrics.auc > 0.9 and params.model =~ "lgbm|xgb"'."""
    from everloop.tracking.search.tabulating import as_table

    with output.app() as loop:
        page = loop.tracking.search(
            filter_text,
            order_by=list(order_by) or None,
            columns=list(columns) or None,
            limit=limit,
            after=after,
            deleted=deleted,
        )
    table = as_table(page.runs, list(columns) or None)
    output.table(table.to_pylist(), table.column_names)
    rest = f"; the next page: --after {page.next}" if page.next else ""
    output.note(f"{len(page.runs):,} of {page.total:,} runs{rest}")


@click.command()
@click.argument("filter_text", metavar="FILTER", default="")
@click.option("--deleted", is_flag=True, help="Those in the trash instead.")
def count(filter_text: str, deleted: bool) -> None:  # noqa: FBT001 - click's flag
    """Print how many runs FILTER chooses."""
    with output.app() as loop:
        output.record({"runs": loop.tracking.count(filter_text, deleted=deleted)})


@click.command()
@click.argument("fields", nargs=-1, required=True)
@click.option("--filter", "filter_text", default="", help="Which runs.")
@click.option("--limit", default=20, show_default=True, help="At most this many values of each field.")
def facets(fields: tuple[str, ...], filter_text: str, limit: int) -> None:
    """Print how runs spread over the values of FIELDS, like params.model or metrics.auc."""
    with output.app() as loop:
        found = loop.tracking.facets(list(fields), filter=filter_text, limit=limit)
    rows = [
        {"field": one.field, "value": value, "runs": number} for one in found for value, number in one.values
    ]
    output.table(rows, ["field", "value", "runs"])


@click.command()
@click.argument("by", nargs=-1, required=True)
@click.option("--figure", "aggregates", multiple=True, metavar="mean(FIELD)", help="May be repeated.")
@click.option("--filter", "filter_text", default="", help="Which runs.")
@click.option("--limit", default=100, show_default=True, help="At most this many groups.")
def group(by: tuple[str, ...], aggregates: tuple[str, ...], filter_text: str, limit: int) -> None:
    """Print the groups of runs that share the values of the fields BY."""
    with output.app() as loop:
        found = loop.tracking.group(list(by), aggregates=list(aggregates), filter=filter_text, limit=limit)
    rows = [{**dict(zip(by, one.values, strict=True)), "runs": one.runs, **one.aggregates} for one in found]
    output.table(rows, [*by, "runs", *aggregates])


@click.command()
@click.option("--experiment", default="", help="Only of runs of this group.")
@click.option("--contains", default="", help="Only names that hold this text.")
@click.option("--kind", type=click.Choice(["metric", "param", "tag"]), help="Only these.")
@click.option("--limit", default=1000, show_default=True, help="At most this many.")
def columns(experiment: str, contains: str, kind: str | None, limit: int) -> None:
    """List the params, metrics and tags that runs have, as a filter names them."""
    with output.app() as loop:
        found = loop.tracking.run_columns(experiment=experiment, contains=contains, kind=kind, limit=limit)  # type: ignore[arg-type] # one of the three
    output.table(found, ["field", "kind", "name"])


@click.command("save-view")
@click.argument("name")
@click.option("--filter", "filter_text", default="", help="Which runs.")
@click.option(
    "--order", "order_by", multiple=True, metavar="FIELD [desc]", help="Sort by this; may be repeated."
)
@click.option("--column", "columns", multiple=True, metavar="FIELD", help="Show this; may be repeated.")
@click.option("--group", "group_by", multiple=True, metavar="FIELD", help="Group by this; may be repeated.")
def save_view(
    name: str,
    filter_text: str,
    order_by: tuple[str, ...],
    columns: tuple[str, ...],
    group_by: tuple[str, ...],
) -> None:
    """Keep a search as the view NAME."""
    with output.app() as loop:
        output.record(
            loop.tracking.save_view(
                name,
                filter=filter_text,
                order_by=list(order_by),
                columns=list(columns),
                group_by=list(group_by),
            )
        )


@click.command()
def views() -> None:
    """List saved views."""
    with output.app() as loop:
        output.table(loop.tracking.views(), ["name", "filter", "order_by", "columns", "group_by", "owner"])


@click.command("rm-view")
@click.argument("name")
def remove_view(name: str) -> None:
    """Remove the saved view NAME."""
    with output.app() as loop:
        loop.tracking.delete_view(name)
    output.note(f"view {name} is removed")


COMMANDS = (search, count, facets, group, columns, save_view, views, remove_view)
