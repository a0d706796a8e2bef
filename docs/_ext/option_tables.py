"""``{options}`` draws a table of a class's or function's options, with the defaults and texts that stand in the code.

.. code-block:: text

    ```{options} tornado_session.SessionOptions
    ```

The fields of a dataclass are explained by the strings below them; the arguments of anything else by its
docstring, which says ````name``: text. ``other``: text.`` An option without a text is a warning, which fails the build.
"""

import ast
import dataclasses
import importlib
import inspect
import re
import textwrap
from datetime import timedelta
from itertools import pairwise
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive, Parser
from docutils.utils import new_document
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

_NAMED = re.compile(r"(?:^|\s)((?:``\w+``(?:,\s| and\s)?)+):\s")
_NAME = re.compile(r"``(\w+)``")


def options_of(subject: Any) -> list[tuple[str, str, str]]:
    """Name, default and text of every option of a dataclass, a class or a function; the text in reStructuredText."""
    if dataclasses.is_dataclass(subject):
        texts = _field_texts(subject)
        return [(field.name, _field_default(field), texts.get(field.name, "")) for field in dataclasses.fields(subject)]
    texts = _argument_texts(inspect.getdoc(subject) or "")
    function = subject if inspect.isfunction(subject) else subject.__init__
    names = list(inspect.signature(function).parameters)
    defaults = _defaults_of(function)
    return [
        (name, shown(defaults[name]) if name in defaults else "required", texts.get(name, ""))
        for name in names
        if name != "self"
    ]


def _defaults_of(function: Any) -> dict[str, Any]:
    # Not asked of the signature, for autodoc puts sources in the place of its defaults.
    positional = inspect.getfullargspec(function).args
    values = function.__defaults__ or ()
    return dict(zip(positional[len(positional) - len(values) :], values, strict=True)) | (function.__kwdefaults__ or {})


def shown(value: Any) -> str:
    """Write a default as a person would."""
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 2**20 and value % 2**20 == 0:
        return f"{value // 2**20} MiB"
    if dataclasses.is_dataclass(value):
        default = type(value)()
        fields = [field.name for field in dataclasses.fields(value)]
        changed = {name: getattr(value, name) for name in fields if getattr(value, name) != getattr(default, name)}
        return f"{type(value).__name__}({', '.join(f'{name}={item!r}' for name, item in changed.items())})"
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value)


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for name, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{seconds:g} seconds" if seconds else "0"


def _field_default(field: "dataclasses.Field[Any]") -> str:
    if field.default is not dataclasses.MISSING:
        return shown(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return shown(field.default_factory())
    return "required"


def _field_texts(subject: type) -> dict[str, str]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(subject))).body
    assert isinstance(body, ast.ClassDef)
    texts = {}
    for statement, following in pairwise(body.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            value = following.value if isinstance(following, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                texts[statement.target.id] = inspect.cleandoc(value.value)
    return texts


def _argument_texts(doc: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    for paragraph in doc.split("\n\n"):
        pieces = _NAMED.split(" " + " ".join(paragraph.split()))
        for names, text in zip(pieces[1::2], pieces[2::2], strict=True):
            for name in _NAME.findall(names):
                texts[name] = text.strip(" ;")
    return texts


class OptionTable(Directive):
    """The directive itself: one argument, the dotted name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Draw the table."""
        module, _, name = self.arguments[0].rpartition(".")
        options = options_of(getattr(importlib.import_module(module), name))
        for option, _, text in options:
            if not text:
                logger.warning("%s.%s has no text", self.arguments[0], option, location=(None, self.lineno))
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 18 20 62", "   :class: options", ""]
        lines += ["   * - Option", "     - Default", "     - What it does"]
        for option, default, text in options:
            first, *rest = (text or "-").split("\n")
            lines += [
                f"   * - ``{option}``",
                f"     - ``{default}``" if default[0] not in "0123456789" else f"     - {default}",
            ]
            lines += [f"     - {first[:1].upper()}{first[1:]}", *(f"       {line}" for line in rest)]
        return self._parsed(lines)

    def _parsed(self, lines: list[str]) -> list[nodes.Node]:
        # The page is Markdown, the texts in the code are reStructuredText.
        document = new_document(self.arguments[0], self.state.document.settings)
        Parser().parse("\n".join(lines), document)
        return list(document.children)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.add_directive("options", OptionTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
