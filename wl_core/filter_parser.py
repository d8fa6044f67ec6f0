"""Reads the text of a filter into a tree; what the tree means is `wl_core.filters`' business.

    expression  = conjunction { "or" conjunction }
    conjunction = negation { "and" negation }
    negation    = "not" negation | "(" expression ")" | test
    test        = operand COMPARE operand { COMPARE operand }      0.1 < loss < 0.5
                | column "contains" literal                        tags contains "blurry"
                | column "in" list                                 place in ["a1", "a2"]
                | column "is" [ "not" ] "empty"
                | "@" name                                         a saved filter, as a whole
                | column                                           a flag that is set
    operand     = column | number | text | list                    classes == [1, 3]
    list        = "[" [ literal { "," literal } ] "]"              after "in" not an empty one
    literal     = number | text | "true" | "false"
    COMPARE     = "==" | "!=" | "<" | "<=" | ">" | ">="

A column is written as it is when it is made of letters, digits and ``_ / . -`` (begins with a
letter or ``_``, does not end in ``-``), and in backquotes otherwise. Text stands in single or
double quotes, with no escapes; numbers may be ``inf`` and ``nan``. ``true`` and ``false`` are
columns of that name wherever a column may stand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from wl_core.errors import FilterError, UsageError, nearest

TokenKind = Literal["number", "text", "column", "keyword", "symbol", "saved", "end"]
Saved = Callable[[], Mapping[str, str]]

# Far beyond what anyone types, far below Python's own limit.
MAX_DEPTH = 100

KEYWORDS = frozenset({"and", "or", "not", "contains", "in", "is"})
# Each comparison, and the same one read from right to left.
MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_BOOLS = {"true": True, "false": False}
_HINTS = {
    "=": "write == to compare",
    "&": "write and",
    "&&": "write and",
    "|": "write or",
    "||": "write or",
    "!": "write not",
    "~": "write not",
    "'": "this text has no closing '",
    '"': 'this text has no closing "',
    "@": "write @ and the name of a saved filter",
    "`": "this column name has no closing `",
}
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|(?:inf|nan)(?![\w/.-]))(?![\w/.]))
    | (?P<word>[^\W\d][\w/.]*(?:-+[\w/.]+)*)
    | @(?P<saved>[A-Za-z][A-Za-z0-9_]*(?:-+[A-Za-z0-9_]+)*)
    | `(?P<quoted>[^`]+)`
    | '(?P<single>[^']*)' | "(?P<double>[^"]*)"
    | (?P<symbol>==|!=|<=|>=|<|>|\(|\)|\[|\]|,)
    | (?P<end>$)
    | (?P<wrong>&&|\|\||.)
    )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a filter; ``shown`` is how it was written, ``offset`` where."""

    kind: TokenKind
    value: Any
    offset: int
    shown: str


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    offset: int


LiteralValue = float | int | str  # a bool is an int


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a text, or a list of numbers, texts and bools."""

    value: LiteralValue | tuple[LiteralValue, ...]
    offset: int


Operand = Column | Constant


@dataclass(frozen=True, slots=True)
class Junction:
    """All (``and``) or any (``or``) of the parts."""

    all: bool
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: Node


@dataclass(frozen=True, slots=True)
class Comparison:
    """``column OPERATOR right``; ``0.5 < loss`` is mirrored; a chain is a junction of these."""

    column: Column
    operator: str
    offset: int
    right: Operand


@dataclass(frozen=True, slots=True)
class Test:
    """One column by itself: is it set, is it empty, does it contain, is it one of."""

    column: Column
    kind: Literal["flag", "empty", "contains", "in"]
    offset: int
    values: tuple[LiteralValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """``@name``: what was saved under that name; places in ``part`` are those of ``text``."""

    name: str
    text: str
    offset: int
    part: Node


Node = Junction | Not | Comparison | Test | Named


def tokens(text: str) -> Iterator[Token]:
    """The words of a filter, the last one of the kind ``end``.

    Raises:
        FilterError: at what is no word; those before it have been given.
    """
    position = 0
    while True:
        match = _TOKEN.match(text, position)
        assert match is not None, "the last alternatives match anything"
        kind = str(match.lastgroup)
        value, position = match[kind], match.end()
        offset = match.start(kind) - (kind in ("quoted", "single", "double", "saved"))
        shown = text[offset:position]
        if kind == "wrong":
            hint = _HINTS.get(value, "put names that hold such characters in `backquotes`")
            raise FilterError(f"cannot read {value!r} here: {hint}", text, offset)
        if kind == "end":
            yield Token("end", "", len(text), "the end")
            return
        if kind == "number":
            yield Token("number", _number(value), offset, shown)
        elif kind == "word":
            yield Token("keyword" if value in KEYWORDS else "column", value, offset, shown)
        elif kind == "quoted":
            yield Token("column", value, offset, shown)
        elif kind == "saved":
            yield Token("saved", value, offset, shown)
        else:
            yield Token("symbol" if kind == "symbol" else "text", value, offset, shown)


def _number(text: str) -> float | int:
    """Integers that fit a column stay integers, so that ids above 2**53 compare exactly."""
    value = float(text)
    return int(text) if abs(value) < 2**64 and text.lstrip("+-").isdigit() else value


class Parser:
    """Recursive descent, one method per rule of the grammar.

    ``saved`` is asked for saved filters when one is named; ``within`` are the names of those that
    lead to this text.
    """

    def __init__(self, text: str, saved: Saved, within: tuple[str, ...] = ()) -> None:
        self.text = text
        self.columns: list[str] = []
        self._saved = saved
        self._within = within
        self._tokens = list(tokens(text))
        self._next = 0
        self._depth = 0

    def parse(self) -> Node:
        if not self.text.strip():
            self._fail("the filter is empty: write a comparison such as loss > 0.5")
        root = self._junction("or", self._conjunction)
        if not self._take("end"):
            self._expected("and, or or the end", after="a complete comparison")
        return root

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    def _take(self, kind: TokenKind, *values: str) -> Token | None:
        """The next token if it is of that kind (and value), which is then behind us."""
        token = self._token
        if token.kind != kind or (values and token.value not in values):
            return None
        self._next += 1
        return token

    def _conjunction(self) -> Node:
        return self._junction("and", self._negation)

    def _junction(self, word: str, part: Callable[[], Node]) -> Node:
        parts = [part()]
        while self._take("keyword", word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Junction(word == "and", tuple(parts))

    def _negation(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"parentheses and nots are nested deeper than {MAX_DEPTH}")
        if self._take("keyword", "not"):
            node: Node = Not(self._negation())
        elif self._take("symbol", "("):
            node = self._junction("or", self._conjunction)
            if not self._take("symbol", ")"):
                self._expected("')'")
        else:
            node = self._test()
        self._depth -= 1
        return node

    def _named(self, token: Token) -> Node:
        name, known = token.value, self._saved_filters(token)
        path = (*self._within, name)
        if name in self._within:
            message = f"a saved filter leads to itself: {' → '.join('@' + one for one in path)}"
            raise FilterError(message, self.text, token.offset)
        if name not in known:
            message = f"there is no saved filter {name!r}.{nearest(name, known)}"
            raise FilterError(message, self.text, token.offset)
        try:
            parser = Parser(known[name], self._saved, path)
            part = parser.parse()
        except FilterError as error:
            if self._within:
                raise
            raise within(error, name, self.text, token.offset) from error
        self.columns += parser.columns
        return Named(name, known[name], token.offset, part)

    def _saved_filters(self, token: Token) -> Mapping[str, str]:
        try:
            return self._saved()
        except UsageError as error:
            raise FilterError(str(error), self.text, token.offset) from error

    def _test(self) -> Node:
        if token := self._take("saved"):
            return self._named(token)
        left = self._operand()
        if self._token.kind == "symbol" and self._token.value in MIRRORED:
            return self._chain(left)
        if isinstance(left, Constant):
            self._expected("a comparison (== != < <= > >=)", after="a value")
        if token := self._take("keyword", "contains"):
            return self._contains(left, token)
        if token := self._take("keyword", "in"):
            return Test(left, "in", token.offset, self._some())
        if token := self._take("keyword", "is"):
            return self._is_empty(left, token)
        if self._token.kind == "keyword" and self._token.value == "not":
            self._fail("'not' stands before what it negates: not place in [...]")
        return Test(left, "flag", left.offset)

    def _chain(self, left: Operand) -> Node:
        parts: list[Node] = []
        while token := self._take("symbol", *MIRRORED):
            right = self._operand()
            if isinstance(left, Column):
                parts.append(Comparison(left, token.value, token.offset, right))
            elif isinstance(right, Column):
                parts.append(Comparison(right, MIRRORED[token.value], token.offset, left))
            else:
                raise FilterError("one side must be a column", self.text, token.offset)
            left = right
        return parts[0] if len(parts) == 1 else Junction(True, tuple(parts))

    def _contains(self, column: Column, token: Token) -> Node:
        value = self._literal()
        if value is None:
            self._expected("a text in quotes or a number", after="contains")
        return Test(column, "contains", token.offset, (value,))

    def _is_empty(self, column: Column, token: Token) -> Node:
        negated = self._take("keyword", "not")
        if not self._take("column", "empty"):
            self._expected("'empty' or 'not empty'", after="is")
        test = Test(column, "empty", token.offset)
        return Not(test) if negated else test

    def _literal(self) -> LiteralValue | None:
        """A value as it stands in lists, None where there is none."""
        if token := self._take("column", *_BOOLS):
            return _BOOLS[token.value]
        token = self._take("number") or self._take("text")
        value: LiteralValue | None = None if token is None else token.value
        return value

    def _some(self) -> tuple[LiteralValue, ...]:
        """What follows ``in``."""
        if not self._take("symbol", "["):
            self._expected("a list such as ['a', 'b']", after="in")
        return self._elements()

    def _elements(self) -> tuple[LiteralValue, ...]:
        """The rest of a list that is not empty."""
        values = []
        while True:
            value = self._literal()
            if value is None:
                self._expected("a number or a text in quotes")
            values.append(value)
            if self._take("symbol", "]"):
                return tuple(values)
            if not self._take("symbol", ","):
                self._expected("',' or ']'")

    def _operand(self) -> Operand:
        if token := self._take("column"):
            self.columns.append(token.value)
            return Column(token.value, token.offset)
        if token := self._take("symbol", "["):
            return Constant(() if self._take("symbol", "]") else self._elements(), token.offset)
        token = self._take("number") or self._take("text")
        if token is None:
            self._expected("a column, a number or a text in quotes")
        return Constant(token.value, token.offset)

    def _expected(self, what: str, after: str = "") -> NoReturn:
        token = self._token
        hint = ""
        if token.kind == "column":
            hint = nearest(token.value.lower(), KEYWORDS)
        self._fail(f"expected {what}{after and f' after {after}'}, but found {token.shown}.{hint}")

    def _fail(self, message: str) -> NoReturn:
        raise FilterError(message, self.text, self._token.offset)


def within(error: FilterError, name: str, text: str, offset: int) -> FilterError:
    """What is wrong in a saved filter, said at the place where it is named."""
    return FilterError(f"in @{name} ({error.expression}): {error.message}", text, offset)
