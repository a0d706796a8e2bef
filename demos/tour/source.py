"""The source of a page's handler, as it runs, with its words marked for the style sheet."""

import inspect
import io
import keyword
import tokenize
from html import escape
from typing import Any

_CLASSES = {tokenize.STRING: "string", tokenize.COMMENT: "comment", tokenize.NUMBER: "number"}
_FSTRING = {getattr(tokenize, name, None) for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")} - {None}
_made: dict[tuple[Any, ...], str] = {}


def highlighted(*objects: Any) -> str:
    """HTML of the sources of classes and functions, one after the other."""
    if objects not in _made:
        _made[objects] = "\n\n".join(_marked(inspect.getsource(thing)) for thing in objects)
    return _made[objects]


def _marked(source: str) -> str:
    lines = source.splitlines(keepends=True)
    parts: list[str] = []
    row, column = 1, 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        parts.append(escape(_between(lines, (row, column), token.start)))
        parts.append(_mark(token))
        row, column = token.end
    return "".join(parts).rstrip()


def _mark(token: tokenize.TokenInfo) -> str:
    text = escape(token.string)
    name = _CLASSES.get(token.type, "string" if token.type in _FSTRING else "")
    if token.type == tokenize.NAME and (keyword.iskeyword(token.string) or token.string == "self"):
        name = "keyword"
    return f'<span class="{name}">{text}</span>' if name else text


def _between(lines: list[str], start: tuple[int, int], end: tuple[int, int]) -> str:
    if start >= end or start[0] > len(lines):
        return ""
    if start[0] == end[0]:
        return lines[start[0] - 1][start[1] : end[1]]
    middle = lines[start[0] : end[0] - 1]
    last = lines[end[0] - 1][: end[1]] if end[0] <= len(lines) else ""
    return "".join([lines[start[0] - 1][start[1] :], *middle, last])
