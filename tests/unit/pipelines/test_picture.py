"""A graph as a picture: every node once, every line between nodes that are there, no text that is markup."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from everloop.pipelines import approve, pipeline, step, when
from everloop.pipelines.graph import downstream_of, trace
from everloop.pipelines.picture import picture

SVG = "{http://www.w3.org/2000/svg}"


@step
def make(n: int) -> list[int]:
    return [n]


@step(name="a<b>&c")
def odd(x: int) -> int:
    return x


@step
def is_fine(xs: list[int]) -> bool:
    return bool(xs)


@step
def end(xs: list[int]) -> int:
    return len(xs)


@pipeline
def flow(n: int) -> int:
    mapped = odd.map(make(n))
    return when(is_fine(mapped), end)(approve(mapped, "Go on?"))


def test_every_node_is_drawn_below_what_it_needs() -> None:
    root = ET.fromstring(picture(trace(flow).graph))  # noqa: S314 - our own text

    texts = {text.text: float(text.get("y", 0)) for text in root.iter(f"{SVG}text")}
    assert set(texts) == {"n", "make", "a<b>&c", "is_fine", "approve", "end"}
    assert texts["n"] < texts["make"] < texts["a<b>&c"] < texts["is_fine"] < texts["end"]
    assert len(list(root.iter(f"{SVG}path"))) == 6
    assert [path.get("class") for path in root.iter(f"{SVG}path")].count("choice") == 1


def test_what_comes_after_a_node() -> None:
    graph = trace(flow).graph
    assert downstream_of(graph, "is_fine") == ("is_fine", "end")
    assert downstream_of(graph, "make") == ("make", "a<b>&c", "is_fine", "approve", "end")
