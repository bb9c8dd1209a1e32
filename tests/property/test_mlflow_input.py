"""Whatever a client sends as a filter, an order, a page mark or a path is read or refused, never a fault."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from everloop.mlflow_api.errors import BadParameterError
from everloop.mlflow_api.filters import as_tree, parse, run_orders
from everloop.mlflow_api.pages import page
from everloop.mlflow_api.places import clean, split

PIECES = st.sampled_from(
    ["metrics", "params", "tags", "attributes", "datasets", "metadata", ".", "`", '"', "'", "a", "a b", "start_time", "status", "run_id",
     " ", "=", "!=", ">=", "<", "LIKE", "ILIKE", "IN", "NOT IN", "IS NULL", "IS NOT NULL", "AND", "OR", "(", ")", ",", "1", "-2.5e3", "%_"]
)  # fmt: skip
FILTERS = st.one_of(
    st.text(max_size=40),
    st.lists(PIECES, max_size=12).map(" ".join),
    st.lists(PIECES, max_size=12).map("".join),
)
PATH_PIECES = st.sampled_from(
    [
        "..",
        ".",
        "/",
        "\\",
        "%2e",
        "%2E",
        "%2f",
        "%25",
        "%252e",
        ";",
        "a",
        " ",
        "%00",
        "~",
        "#",
        "\x00",
        "ü",
        "%",
    ]
)
PATHS = st.one_of(st.text(max_size=20), st.lists(PATH_PIECES, max_size=10).map("".join))


@given(FILTERS)
def test_a_filter_is_read_or_refused(text: str) -> None:
    with suppress(BadParameterError):
        for clause in parse(text):
            as_tree(clause)


@given(st.lists(FILTERS, max_size=3))
def test_an_order_is_read_or_refused(texts: list[str]) -> None:
    with suppress(BadParameterError):
        run_orders(texts)


@given(st.text(max_size=30))
def test_a_page_mark_is_read_or_refused(text: str) -> None:
    with suppress(BadParameterError):
        page([1, 2, 3], limit=1, token=text)


@given(PATHS)
def test_a_path_that_is_kept_has_no_part_that_leaves(text: str) -> None:
    try:
        kept = clean(text)
    except BadParameterError:
        return
    parts = kept.split("/")
    assert not {"..", "."} & set(parts)
    assert not kept.startswith("/")
    assert "\\" not in kept
    split(kept)
