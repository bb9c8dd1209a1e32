"""An expression sees one row, and gives the same whenever it is computed."""

from __future__ import annotations

import pytest

from everloop.data.engine import connect
from everloop.data.features.errors import FeatureViewError
from everloop.data.features.expressions import refuse_unusable
from everloop.data.features.records import FeatureView


def view(text: str, where: str = "") -> FeatureView:
    return FeatureView(name="v", source="s", keys=["k"], features={"f": text}, event_time="t", where=where)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "x + 1",
        "CASE WHEN x > 1 THEN 'a' ELSE lower(b) END",
        "coalesce(x, 0)",
        "hour(t)",
        "x IN (1, 2)",
        "round(x, 1)::INT",
    ],
)
def test_what_looks_at_one_row_is_taken(text: str) -> None:
    with connect() as connection:
        refuse_unusable(connection, view(text, where=text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("lag(x) OVER (ORDER BY t)", "a window"),
        ("x - avg(x) OVER ()", "a window"),
        ("sum(x)", "the aggregate sum"),
        ("x - (SELECT max(x) FROM this)", "a subquery"),
        ("EXISTS (SELECT 1)", "a subquery"),
        ("random()", "random, which is not the same each time"),
        ("now() - t", "now, which is not the same each time"),
        ("t - current_timestamp", "the same each time|present time"),
        ("current_date - t", "the same each time|present time"),
        ("x; DROP TABLE s", "is no expression"),
        ("x), (y", "is no expression"),
        ("x) FROM this UNION SELECT (y", "is no expression"),
        ("x) FROM this WHERE (y", "is no expression"),
        ("x) FROM this LIMIT (1", "is no expression"),
        ("x) FROM other --", "is no expression"),
        ("x +", "is no expression"),
    ],
)
def test_what_looks_further_or_changes_is_refused(text: str, reason: str) -> None:
    with connect() as connection:
        with pytest.raises(FeatureViewError, match=reason):
            refuse_unusable(connection, view(text))
        with pytest.raises(FeatureViewError, match=reason):
            refuse_unusable(connection, view("x", where=text))
