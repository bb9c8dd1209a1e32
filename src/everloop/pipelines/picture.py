"""A graph as an SVG picture: nodes in layers by what they need, lines between them. Tests: tests/unit/pipelines/test_picture.py."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from everloop.pipelines.records import Graph, Node

_BOX_HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 36, 28, 48, 16
_LETTER = 7.4
_STYLE = (
    "text{font:12px ui-monospace,monospace;fill:#1f2933}rect{fill:#f4f6f8;stroke:#52606d;stroke-width:1.2}"
    ".input rect{fill:#e3f8ff}.map rect{fill:#fffbea}.approval rect{fill:#ffe3ec}path{fill:none;stroke:#7b8794;stroke-width:1.2}"
    ".choice{stroke-dasharray:5 4}"
)


class _Box(NamedTuple):
    x: float
    y: float
    width: float


def picture(graph: Graph) -> str:
    """Return the graph as SVG; what a condition decides is drawn with a broken line."""
    layers = _layers(graph)
    widths = {name: max(72.0, len(name) * _LETTER + 24) for layer in layers for name in layer}
    whole = max((sum(widths[name] + _GAP_X for name in layer) for layer in layers), default=0.0)
    boxes: dict[str, _Box] = {}
    for depth, layer in enumerate(layers):
        used = sum(widths[name] + _GAP_X for name in layer) - _GAP_X
        x = _MARGIN + (whole - used) / 2
        for name in layer:
            boxes[name] = _Box(x, _MARGIN + depth * (_BOX_HEIGHT + _GAP_Y), widths[name])
            x += widths[name] + _GAP_X
    height = 2 * _MARGIN + len(layers) * (_BOX_HEIGHT + _GAP_Y) - _GAP_Y
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole + 2 * _MARGIN:.0f}" height="{height:.0f}" role="img">',
        f"<title>{escape(graph.name)}</title><style>{_STYLE}</style>",
    ]
    for node in graph.nodes:
        conditions = _inputs_of(node, only_condition=True)
        lines += [
            _line(boxes[one], boxes[node.name], is_choice=one in conditions)
            for one in _inputs_of(node)
            if one in boxes
        ]
    kinds = {node.name: node.kind for node in graph.nodes}
    lines += [_box(name, box, kinds.get(name, "input")) for name, box in boxes.items()]
    return "\n".join([*lines, "</svg>\n"])


def _layers(graph: Graph) -> list[list[str]]:
    """Return inputs first, then each node below all that it needs; siblings near what they come from."""
    depth = dict.fromkeys(graph.inputs, 0)
    place: dict[str, float] = {name: float(number) for number, name in enumerate(graph.inputs)}
    for number, node in enumerate(graph.nodes):
        needed = [name for name in _inputs_of(node) if name in depth]
        depth[node.name] = max((depth[name] + 1 for name in needed), default=0)
        place[node.name] = sum(place[name] for name in needed) / len(needed) if needed else float(number)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for name, level in depth.items():
        layers[level].append(name)
    return [sorted(layer, key=lambda name: place[name]) for layer in layers]


def _inputs_of(node: Node, *, only_condition: bool = False) -> list[str]:
    """Return the nodes and inputs that a node takes."""
    taken = [] if only_condition else list(node.arguments.values())
    taken += [node.condition] if node.condition is not None else []
    found: dict[str, None] = {}
    pending = taken
    while pending:
        argument = pending.pop(0)
        if argument.kind in {"step", "input"}:
            found[argument.name] = None
        pending += argument.items
    return list(found)


def _line(start: _Box, end: _Box, *, is_choice: bool) -> str:
    x1, y1 = start.x + start.width / 2, start.y + _BOX_HEIGHT
    x2, y2 = end.x + end.width / 2, end.y
    middle = (y1 + y2) / 2
    kind = ' class="choice"' if is_choice else ""
    return (
        f'<path{kind} d="M{x1:.1f} {y1:.1f}C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}"/>'
    )


def _box(name: str, box: _Box, kind: str) -> str:
    return (
        f'<g class="{kind}"><rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{_BOX_HEIGHT}" rx="6"/>'
        f'<text x="{box.x + box.width / 2:.1f}" y="{box.y + _BOX_HEIGHT / 2 + 4:.1f}" text-anchor="middle">{escape(name)}</text></g>'
    )
