"""Small wrong changes to a module, one at a time: what mutmut's operators make, and three of our own.

Left out, because no behaviour depends on it: imports, annotations and aliases of types, docstrings, ``assert`` (which
tells the type checker what the structure guarantees), ``__slots__``, bodies that are only ``...``, what stands under
``TYPE_CHECKING``; one false value for another (``None`` for ``False``, ``""`` for ``None``); a header's name in
another case; and the wording of messages: the arguments of an exception that is made, and of a line in the log. That an
exception is raised and that a line is logged is not left out.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import libcst as cst
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

_TYPE_ALIAS = re.compile(r"_?[A-Z][a-z]\w*|T")
_LOGGING = {"debug", "info", "warning", "warning_once", "error", "exception", "warn", "getLogger"}
_HEADER_NAMES = {"Cache-Control", "Cookie", "Etag", "If-None-Match", "Location", "Set-Cookie", "Vary"}
_HEADS = (cst.BaseCompoundStatement, cst.ExceptHandler)


@dataclass(frozen=True)
class Mutant:
    """One change to one module, and the lines whose tests can notice it."""

    module: str
    lines: range
    before: str
    after: str
    source: str

    def __str__(self) -> str:
        return f"{self.module}:{self.lines[0]}: {self.before}  ->  {self.after}"


def mutants_of(module: str, source: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines, each with other code than the others."""
    wrapper = MetadataWrapper(cst.parse_module(source))
    collector = _Collector()
    wrapper.visit(collector)
    made: dict[str, Mutant] = {}
    for old, new, lines in collector.changes:
        tree = wrapper.module.deep_replace(old, new)
        assert isinstance(tree, cst.Module)
        mutated = tree.code
        if mutated != source and _compiles(mutated):
            made.setdefault(mutated, Mutant(module, lines, *_difference(source, mutated), mutated))
    return sorted(made.values(), key=lambda mutant: mutant.lines[0])


class _Collector(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[cst.CSTNode, cst.CSTNode, range]] = []
        self._statements: list[cst.CSTNode] = []
        self._wordings: set[cst.CSTNode] = set()

    def on_visit(self, node: cst.CSTNode) -> bool:
        if node in self._wordings or _cannot_matter(node):
            return False
        if isinstance(node, cst.Call) and _is_message(node):
            self._wordings.update(argument for argument in node.args if argument.keyword is None)
        if isinstance(node, cst.SimpleStatementLine | cst.BaseCompoundStatement):
            self._statements.append(node)
        self.changes += [(old, new, self._lines(old)) for old, new in _changes(node)]
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self._statements and self._statements[-1] is original_node:
            self._statements.pop()

    def _lines(self, node: cst.CSTNode) -> range:
        """The lines of the statement; of one that has a body, those of its head up to the change."""
        place = self._place(node)
        if not self._statements:
            return range(place.start.line, place.end.line + 1)
        statement = self._place(self._statements[-1])
        if isinstance(self._statements[-1], _HEADS):
            return range(min(statement.start.line, place.start.line), place.end.line + 1)
        return range(statement.start.line, statement.end.line + 1)

    def _place(self, node: cst.CSTNode) -> CodeRange:
        place = self.get_metadata(PositionProvider, node)
        assert isinstance(place, CodeRange)
        return place


def _changes(node: cst.CSTNode) -> Iterator[tuple[cst.CSTNode, cst.CSTNode]]:
    yield from ((node, new) for new in _own(node))
    if isinstance(node, cst.If | cst.While):
        yield node.test, _negated(node.test)
    if (isinstance(node, cst.Call) and _is_message(node)) or _assigns_false(node):
        return
    for kind, operator in mutation_operators:
        if isinstance(node, kind):
            yield from ((node, new) for new in operator(node) if not _is_same_header(node, new))


def _own(node: cst.CSTNode) -> Iterable[cst.CSTNode]:
    """A call or a ``raise`` that does not happen."""
    is_call = isinstance(node, cst.Expr) and isinstance(node.value, cst.Call | cst.Await)
    if is_call or isinstance(node, cst.Raise | cst.Del):
        yield cst.Pass()
    if isinstance(node, cst.Decorator) and _name(node.decorator) not in {"overload", "abstractmethod"}:
        yield cst.RemoveFromParent()  # type: ignore[misc]


def _negated(test: cst.BaseExpression) -> cst.BaseExpression:
    bracketed = test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    return cst.UnaryOperation(cst.Not(), bracketed)


def _cannot_matter(node: cst.CSTNode) -> bool:
    match node:
        case cst.Annotation() | cst.Import() | cst.ImportFrom() | cst.Assert():
            return True
        case cst.Expr(value=cst.SimpleString() | cst.ConcatenatedString()):
            return True
        case cst.If(test=cst.Name("TYPE_CHECKING")):
            return True
        case cst.Assign(targets=[cst.AssignTarget(target=cst.Name(name))]):
            return name == "__slots__" or _TYPE_ALIAS.fullmatch(name) is not None
        case cst.FunctionDef():
            return _says_nothing(node)
    return False


def _assigns_false(node: cst.CSTNode) -> bool:
    if not isinstance(node, cst.Assign | cst.AnnAssign) or node.value is None:
        return False
    return isinstance(node.value, cst.Name) and node.value.value in ("False", "None")


def _is_same_header(node: cst.CSTNode, new: cst.CSTNode) -> bool:
    if not isinstance(node, cst.SimpleString) or not isinstance(new, cst.SimpleString):
        return False
    return node.raw_value in _HEADER_NAMES and new.raw_value.lower() == node.raw_value.lower()


def _says_nothing(function: cst.FunctionDef) -> bool:
    if any(_name(decorator.decorator) == "overload" for decorator in function.decorators):
        return True
    body = function.body.body
    return isinstance(body[-1], cst.Expr) and isinstance(body[-1].value, cst.Ellipsis)


def _is_message(call: cst.Call) -> bool:
    name = _name(call.func)
    return name.endswith("Error") or name in _LOGGING


def _name(expression: cst.BaseExpression) -> str:
    if isinstance(expression, cst.Attribute):
        return expression.attr.value
    return expression.value if isinstance(expression, cst.Name) else ""


def _compiles(source: str) -> bool:
    try:
        compile(source, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def _difference(source: str, mutated: str) -> tuple[str, str]:
    """What stands where the two begin and cease to differ, each as one line."""
    old, new = source.splitlines(), mutated.splitlines()
    start = next(
        (at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new))
    )
    end = next(
        (at for at, (one, other) in enumerate(zip(old[:start:-1], new[:start:-1], strict=False)) if one != other),
        min(len(old), len(new)) - start - 1,
    )
    return _one_line(old[start : len(old) - end]), _one_line(new[start : len(new) - end])


def _one_line(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)
