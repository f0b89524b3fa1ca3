"""Text to tokens, by the language's grammar (CEL.g4). Characters of no token are noted and left out, as ANTLR does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from navarch.apimachinery.cel.errors import Issue, Source

IDENTIFIER, ESC_IDENTIFIER = "IDENTIFIER", "ESC_IDENTIFIER"
NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, EOF = "NUM_FLOAT", "NUM_INT", "NUM_UINT", "STRING", "BYTES", "<EOF>"

SIGNS = (
    "==",
    "!=",
    "<=",
    ">=",
    "&&",
    "||",
    "<",
    ">",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ".",
    ",",
    "-",
    "!",
    "?",
    ":",
    "+",
    "*",
    "/",
    "%",
)
WORDS = ("in", "true", "false", "null")

_ESCAPE = r"\\(?:[abfnrtv\"'\\?`]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})"
_STRING = rf"""
    [rR](?:\"\"\"(?s:.*?)\"\"\" | '''(?s:.*?)''' | "[^"\n\r]*" | '[^'\n\r]*')
  | \"\"\"(?:{_ESCAPE}|[^\\])*?\"\"\" | '''(?:{_ESCAPE}|[^\\])*?'''
  | "(?:{_ESCAPE}|[^\\"\n\r])*" | '(?:{_ESCAPE}|[^\\'\n\r])*'
"""
_TOKEN = re.compile(
    rf"""
    (?P<skip>[\t\ \r\n\f]+ | //[^\n]*)
  | (?P<BYTES>[bB](?:{_STRING}))
  | (?P<STRING>{_STRING})
  | (?P<NUM_FLOAT>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)? | [0-9]+[eE][+-]?[0-9]+ | \.[0-9]+(?:[eE][+-]?[0-9]+)?)
  | (?P<NUM_UINT>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])
  | (?P<NUM_INT>0x[0-9a-fA-F]+|[0-9]+)
  | (?P<IDENTIFIER>[a-zA-Z_][a-zA-Z0-9_]*)
  | (?P<ESC_IDENTIFIER>`[a-zA-Z0-9_.\-/\ ]+`)
  | (?P<sign>{"|".join(re.escape(sign) for sign in SIGNS)})
    """,
    re.VERBOSE | re.ASCII,
)
_UNFINISHED = re.compile(
    rf"""
    (?:[bB]?[rR]|[rR])(?:"[^"\n\r]* | '[^'\n\r]*)
  | [bB]?(?:"(?:{_ESCAPE}|[^\\"\n\r])* | '(?:{_ESCAPE}|[^\\'\n\r])*)(?:\\[xXuU]?)?
  | & | \| | = | `[a-zA-Z0-9_.\-/\ ]*
    """,
    re.VERBOSE | re.ASCII,
)


class Token(NamedTuple):
    kind: str
    """The sign or word itself, or the name of the class of tokens."""
    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Tokens:
    tokens: list[Token]
    """The last one is EOF."""
    issues: list[Issue]


def tokenize(source: Source) -> Tokens:
    """All tokens, and what is not one."""
    text, offset = source.text, 0
    tokens: list[Token] = []
    issues: list[Issue] = []
    while offset < len(text):
        match = _TOKEN.match(text, offset)
        if match is None:
            unknown = _unknown(text, offset)
            issues.append(source.issue(offset, f"Syntax error: token recognition error at: '{_shown(unknown)}'"))
            offset += len(unknown)
            continue
        kind, found = match.lastgroup or "", match.group()
        if kind != "skip":
            tokens.append(Token(found if kind == "sign" or found in WORDS else kind, found, offset))
        offset = match.end()
    tokens.append(Token(EOF, EOF, len(text)))
    return Tokens(tokens, issues)


def _unknown(text: str, offset: int) -> str:
    """What the lexer has read when it gives up: the start of a token, and the character that cannot follow it."""
    match = _UNFINISHED.match(text, offset)
    return text[offset] if match is None else text[offset : match.end() + 1]


def _shown(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
