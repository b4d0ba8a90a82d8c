"""FHIRPath text -> syntax tree, in linear time. Grammar: FHIRPath N1, http://hl7.org/fhirpath/N1/grammar.html

Errors carry the position in the expression. Length and nesting are limited, so that no expression exhausts the stack.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fhir_dmp.fhir.path_tree import (
    Binary,
    Call,
    Index,
    Literal,
    Member,
    Negative,
    Tree,
    Typed,
    Variable,
    children_of,
)

MAX_LENGTH = 8_000
MAX_DEPTH = 64


class PathError(ValueError):
    """An expression that cannot be read or evaluated; `position` is the 0-based offset in it, when one is known."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message if position is None else f"{message} (at character {position + 1})")
        self.position = position


class PathSyntaxError(PathError):
    """The text is not FHIRPath, or uses what this server does not know."""


_TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)
    |(?P<time>@T\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)
    |(?P<date>@\d{4}(?:-\d\d(?:-\d\d)?)?(?:T(?:\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)?(?:Z|[+-]\d\d:\d\d)?)?)
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<quoted>`(?:[^`\\]|\\.)*`)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<symbol><=|>=|!=|!~|[.\[\](){},|=~<>+\-*/&%$])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
_UNITS = frozenset(
    part + ending
    for part in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for ending in ("", "s")
)
#: Operators from the loosest to the tightest; `is` and `as` stand between `|` and addition.
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("implies",),
    ("or", "xor"),
    ("and",),
    ("in", "contains"),
    ("=", "~", "!=", "!~"),
    ("<=", "<", ">", ">="),
    ("|",),
    ("is", "as"),
    ("+", "-", "&"),
    ("*", "/", "div", "mod"),
)
_POWER = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators}
_TYPE_LEVEL = _POWER["is"]
_RESERVED = frozenset(("and", "or", "xor", "implies", "div", "mod", "true", "false"))


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


def _unescape(body: str) -> str:
    def one(found: re.Match[str]) -> str:
        code = found.group(1)
        return chr(int(code[1:], 16)) if len(code) == 5 else _ESCAPED.get(code, code)

    return _ESCAPE.sub(one, body)


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise PathSyntaxError(f"unexpected character {text[position]!r}", position)
        kind = match.lastgroup or ""
        if kind in ("quoted", "string"):
            found.append(_Token(kind, _unescape(match.group()[1:-1]), position))
        elif kind != "skip":
            found.append(_Token(kind, match.group(), position))
        position = match.end()
    found.append(_Token("end", "", len(text)))
    return found


class _Parser:
    """Precedence climbing over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0
        self.depth = 0

    def peek(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        token = self.tokens[self.at]
        self.at += token.kind != "end"
        return token

    def is_symbol(self, text: str) -> bool:
        token = self.tokens[self.at]
        return token.kind == "symbol" and token.text == text

    def expect(self, text: str, wanted: str = "") -> None:
        if not self.is_symbol(text):
            token = self.peek()
            raise PathSyntaxError(f"{wanted or repr(text)} was expected, not {self.named(token)}", token.position)
        self.at += 1

    @staticmethod
    def named(token: _Token) -> str:
        if token.kind == "string":
            return "a text"  # its content may be personal data
        return "the end" if token.kind == "end" else repr(token.text[:40])

    def operator(self) -> str | None:
        token = self.tokens[self.at]
        return token.text if token.kind in ("symbol", "name") and token.text in _POWER else None

    def expression(self, level: int = 0) -> Tree:
        """Read operators of this level and tighter ones."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise PathSyntaxError(f"nested deeper than {MAX_DEPTH} levels", self.peek().position)
        left = self.polarity()
        while (operator := self.operator()) is not None and _POWER[operator] >= level:
            self.at += 1
            if _POWER[operator] == _TYPE_LEVEL:
                left = Typed(operator, left, self.type_name())
            else:
                left = Binary(operator, left, self.expression(_POWER[operator] + 1))
        self.depth -= 1
        return left

    def polarity(self) -> Tree:
        negative = False
        while self.is_symbol("-") or self.is_symbol("+"):
            negative ^= self.take().text == "-"
        tree = self.postfix()
        return Negative(tree) if negative else tree

    def postfix(self) -> Tree:
        tree = self.term()
        while True:
            if self.is_symbol("."):
                self.at += 1
                tree = self.invocation(tree)
            elif self.is_symbol("["):
                self.at += 1
                tree = Index(tree, self.expression())
                self.expect("]")
            else:
                return tree

    def term(self) -> Tree:
        token = self.peek()
        if token.kind == "symbol" and token.text == "(":
            self.at += 1
            tree = self.expression()
            self.expect(")")
            return tree
        if token.kind == "symbol" and token.text == "{":
            self.at += 1
            self.expect("}")
            return Literal("empty", "")
        if token.kind == "symbol" and token.text == "%":
            self.at += 1
            return self.constant(token.position)
        if token.kind in ("string", "number", "date", "time") or token.text in ("true", "false"):
            return self.literal(self.take())
        return self.invocation(None)

    def constant(self, position: int) -> Tree:
        name = self.take()
        if name.kind not in ("name", "quoted", "string"):
            raise PathSyntaxError("a name was expected after %", name.position)
        return Variable("%" + name.text, position)

    def literal(self, token: _Token) -> Tree:
        if token.kind == "number":
            follow = self.peek()
            if follow.kind == "string" or (follow.kind == "name" and follow.text in _UNITS):
                self.at += 1
                return Literal("quantity", token.text, follow.text)
            return Literal("decimal" if "." in token.text else "integer", token.text)
        if token.kind in ("date", "time"):
            return Literal(token.kind, token.text[2:] if token.kind == "time" else token.text[1:])
        return Literal("string" if token.kind == "string" else "boolean", token.text)

    def invocation(self, target: Tree | None) -> Tree:
        token = self.take()
        if token.kind == "symbol" and token.text == "$":
            name = self.take()
            if name.text not in ("this", "index", "total"):
                raise PathSyntaxError(f"unknown variable ${name.text[:40]}", token.position)
            return Variable("$" + name.text, token.position)
        if token.kind == "quoted":
            return Member(target, token.text)
        if token.kind != "name" or (target is None and token.text in _RESERVED):
            raise PathSyntaxError(f"an expression was expected, not {self.named(token)}", token.position)
        if not self.is_symbol("("):
            return Member(target, token.text)
        self.at += 1
        return Call(target, token.text, self.arguments(), token.position)

    def arguments(self) -> tuple[Tree, ...]:
        found: list[Tree] = []
        while not self.is_symbol(")"):
            if found:
                self.expect(",", "',' or ')'")
            found.append(self.expression())
        self.at += 1
        return tuple(found)

    def type_name(self) -> str:
        """Read `Patient` or `FHIR.Patient`."""
        parts: list[str] = []
        while True:
            token = self.take()
            if token.kind not in ("name", "quoted"):
                raise PathSyntaxError(f"a type was expected, not {self.named(token)}", token.position)
            parts.append(token.text)
            if len(parts) == 2 or not self.is_symbol("."):
                return ".".join(parts)
            self.at += 1


def _check_depth(tree: Tree) -> None:
    """Refuse long chains too (`a.b.c...`): they are as deep for the evaluation as parentheses are for the parser."""
    level = [tree]
    for _ in range(MAX_DEPTH):
        level = [part for one in level for part in children_of(one)]
        if not level:
            return
    raise PathSyntaxError(f"nested deeper than {MAX_DEPTH} levels")


def parse_path(text: str) -> Tree:
    """Read one FHIRPath expression.

    Raises:
        PathSyntaxError: with the position of the first thing that cannot be read.
    """
    if len(text) > MAX_LENGTH:
        raise PathSyntaxError(f"the expression is longer than {MAX_LENGTH} characters")
    parser = _Parser(text)
    tree = parser.expression()
    rest = parser.peek()
    if rest.kind != "end":
        raise PathSyntaxError(f"unexpected {parser.named(rest)} after the expression", rest.position)
    _check_depth(tree)
    return tree
