"""FHIRPath text to tree: precedence, limits, and errors that say where."""

from __future__ import annotations

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_dmp.fhir.path import compile_path
from fhir_dmp.fhir.path_parser import PathError, PathSyntaxError, parse_path
from fhir_dmp.fhir.path_tree import Binary, Call, Index, Literal, Member, Negative, Typed


def test_operators_bind_as_the_grammar_says() -> None:
    one, two, three = (Literal("integer", text) for text in "123")
    assert parse_path("1 + 2 * 3") == Binary("+", one, Binary("*", two, three))
    assert parse_path("1 - 2 - 3") == Binary("-", Binary("-", one, two), three)
    assert parse_path("-a.b[1]") == Negative(Index(Member(Member(None, "a"), "b"), one))
    assert parse_path("a = b and c") == Binary(
        "and", Binary("=", Member(None, "a"), Member(None, "b")), Member(None, "c")
    )
    assert parse_path("a | b as FHIR.Age") == Binary("|", Member(None, "a"), Typed("as", Member(None, "b"), "FHIR.Age"))
    assert parse_path("a in b | c") == Binary(
        "in", Member(None, "a"), Binary("|", Member(None, "b"), Member(None, "c"))
    )


def test_operator_words_are_names_where_only_a_name_can_stand() -> None:
    assert parse_path("a.contains('b')") == Call(Member(None, "a"), "contains", (Literal("string", "b"),), 2)
    assert parse_path("contains.in.as.is") == Member(Member(Member(Member(None, "contains"), "in"), "as"), "is")
    assert parse_path("Task.for") == Member(Member(None, "Task"), "for")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an expression was expected, not the end (at character 1)"),
        ("a..b", "an expression was expected, not '.' (at character 3)"),
        ("a.where(b", "',' or ')' was expected, not the end (at character 10)"),
        ("a b", "unexpected 'b' after the expression (at character 3)"),
        ("a.where(b = 'c", 'unexpected character "\'" (at character 13)'),
        ("a # b", "unexpected character '#' (at character 3)"),
        ("a is 3", "a type was expected, not '3' (at character 6)"),
        ("$that", "unknown variable $that (at character 1)"),
        ("1 +", "an expression was expected, not the end (at character 4)"),
        ("a[1", "']' was expected, not the end (at character 4)"),
        ("and", "an expression was expected, not 'and' (at character 1)"),
    ],
)
def test_a_syntax_error_names_its_place(text: str, message: str) -> None:
    with pytest.raises(PathSyntaxError) as caught:
        parse_path(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.frobnicate()", "unknown function frobnicate() (at character 3)"),
        ("a.first(1)", "first() has a wrong number of arguments (at character 3)"),
        ("a.ofType('x')", "ofType() takes a type (at character 3)"),
        ("a.is()", "is() takes one type (at character 3)"),
        ("%secret", "unknown constant %secret (at character 1)"),
    ],
)
def test_what_is_unknown_is_refused_when_compiling(text: str, message: str) -> None:
    with pytest.raises(PathSyntaxError) as caught:
        compile_path(text)
    assert str(caught.value) == message


def test_expressions_of_clients_may_not_use_regular_expressions() -> None:
    with pytest.raises(PathSyntaxError, match=r"matches\(\) is not offered here"):
        compile_path("name.where(family.matches('(a+)+$'))", regex=False)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000,
        "-" * 7999 + "1" + ".a" * 0,
        "a" + ".b" * 3000,
        "a[" * 3000,
        "a(" * 3000,
        "(((a" + ".b" * 30 + ")" + ".c" * 30 + ")" + ".d" * 30 + ")",
        "a" * 9000,
        "/*" * 4000,
        "'" + "\\" * 7000,
        "a implies " * 700 + "b",
    ],
    ids=lambda text: text[:6],
)
def test_no_expression_exhausts_the_stack_or_the_clock(text: str) -> None:
    started = time.process_time()
    with contextlib.suppress(PathSyntaxError):
        parse_path(text)
    assert time.process_time() - started < 2


@given(st.text(alphabet="abAB.()[]'`|=<>+-*/&%$ 01{},\\@T:\n\u201c", max_size=60))
def test_any_text_is_read_or_refused_cleanly(text: str) -> None:
    with contextlib.suppress(PathError):
        assert isinstance(compile_path(text).values({"resourceType": "A", "a": [{"b": 1}], "b": "x"}), list)
