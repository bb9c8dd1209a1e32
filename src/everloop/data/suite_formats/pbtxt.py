"""The text form of protocol buffers, read without their library: fields by name, in the order they come.

Source: Protocol Buffers, Text Format Language Specification (protobuf.dev). A field is a list of its values: text, numbers,
booleans, names of enumerations as text, messages. Tests: tests/unit/data/suite_formats/test_tfdv.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias, Union

from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

Value: TypeAlias = Union[str, float, bool, "Message"]
Message: TypeAlias = dict[str, list[Value]]

_TOKEN = re.compile(
    r"""(?P<space>[\s,;]+|\#[^\n]*)|(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')"""
    r"""|(?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?[fF]?|inf\b|nan\b))"""
    r"""|(?P<name>\[[\w./]+\]|[A-Za-z_]\w*)|(?P<mark>[:{}<>\[\]-])"""
)
_ESCAPE = re.compile(rb"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_PLAIN = {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_DEEPEST = 100


class TextProtoError(InvalidInputError):
    """A text is no text form of a protocol buffer."""

    code = "data.text-proto"


def parse_message(text: str, *, name: str) -> Message:
    """Return the message of a text; `name` is what errors call it.

    Raises:
        TextProtoError: with the line.
    """
    return _Reader(text, name).message("", 0)


class _Reader:
    def __init__(self, text: str, name: str) -> None:
        self._name, self._text = name, text
        self._tokens = self._split()
        self._at = next(self._tokens)

    def message(self, end: str, depth: int) -> Message:
        """Read fields until the mark `end`, or the end of the text when it is empty."""
        if depth > _DEEPEST:
            raise self._wrong("messages are nested too deeply")
        found: Message = {}
        while self._at[1] != end:
            kind, text, _ = self._at
            if kind != "name":
                raise self._wrong(f"a field is expected, not {text or 'the end'!r}")
            self._step()
            found.setdefault(text, []).extend(self._values(depth))
        if end:
            self._step()
        return found

    def _values(self, depth: int) -> list[Value]:
        has_colon = self._take(":")
        if self._take("{"):
            return [self.message("}", depth + 1)]
        if self._take("<"):
            return [self.message(">", depth + 1)]
        if not has_colon:
            raise self._wrong("after a field comes : or {")
        if not self._take("["):
            return [self._scalar()]
        found: list[Value] = []
        while not self._take("]"):
            found.append(self.message("}", depth + 1) if self._take("{") else self._scalar())
        return found

    def _scalar(self) -> Value:
        kind, text, _ = self._at
        if kind == "string":
            content = b""
            while self._at[0] == "string":
                content += _unescaped(self._at[1])
                self._step()
            return content.decode("utf-8", errors="replace")
        if kind == "number":
            self._step()
            return _number(text)
        if kind == "name":
            self._step()
            return {"true": True, "false": False}.get(text, text)
        raise self._wrong(f"a value is expected, not {text or 'the end'!r}")

    def _take(self, mark: str) -> bool:
        is_there = self._at[:2] == ("mark", mark)
        if is_there:
            self._step()
        return is_there

    def _step(self) -> None:
        self._at = next(self._tokens)

    def _split(self) -> Iterator[tuple[str, str, int]]:
        at = 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None:
                self._at = ("mark", self._text[at], at)
                raise self._wrong(f"{self._text[at]!r} is not expected")
            if match.lastgroup != "space":
                yield (
                    str(match.lastgroup),
                    match[0].strip("[]") if match.lastgroup == "name" else match[0],
                    at,
                )
            at = match.end()
        while True:
            yield "end", "", at

    def _wrong(self, what: str) -> TextProtoError:
        line = self._text.count("\n", 0, self._at[2]) + 1
        return TextProtoError(
            f"{self._name}, line {line}: {what}. Give a message in protobuf's text form.", subject=self._name
        )


def _number(text: str) -> float:
    plain = text.lower()
    if "0x" in plain:
        return int(plain, 16)
    try:
        return int(plain)
    except ValueError:
        return float(plain.removesuffix("f") if plain not in ("inf", "-inf") else plain)


def _unescaped(text: str) -> bytes:
    def one(match: re.Match[bytes]) -> bytes:
        escape = match[1]
        if escape[:1] == b"x":
            return bytes([int(escape[1:], 16)])
        if escape[:1] in (b"u", b"U") and len(escape) > 1:
            return chr(int(escape[1:], 16)).encode()
        if escape[:1].isdigit():
            return bytes([int(escape, 8) & 0xFF])
        return _PLAIN.get(escape, escape)

    return _ESCAPE.sub(one, text[1:-1].encode())
