"""Tokens to a tree, by the language's grammar: operators by precedence, everything else by descent.

The first syntax error ends parsing; it is told in ANTLR's words, since those are what users know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NoReturn

from navarch.apimachinery.cel import lexer, literals, macros
from navarch.apimachinery.cel.ast import (
    DEPTH_LIMIT,
    Call,
    Entry,
    Ident,
    ListNode,
    Literal,
    MapNode,
    MessageNode,
    Node,
    Select,
    qualified_name,
)
from navarch.apimachinery.cel.errors import CompileError, Issue, Source
from navarch.apimachinery.cel.escaping import KEYWORDS
from navarch.apimachinery.cel.lexer import BYTES, EOF, ESC_IDENTIFIER, IDENTIFIER, NUM_FLOAT, NUM_INT, NUM_UINT, STRING, Token

SIZE_LIMIT = 100_000
"""Code points of an expression."""

_PRECEDENCE = {
    "||": 1,
    "&&": 2,
    "==": 3,
    "!=": 3,
    "<": 3,
    "<=": 3,
    ">": 3,
    ">=": 3,
    "in": 3,
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
}
_LOGIC = ("&&", "||")
_CLOSING = frozenset(")]}")
_FOLLOWS_CLOSING = frozenset({*_PRECEDENCE, "?", ":", ")", "]", "}", ",", EOF})
_STARTS = ("[", "{", "(", ".", "-", "!", "true", "false", "null", NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER)
_OPENING = frozenset(_STARTS)
_ORDER = ("[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", *_STARTS[6:])
_LITERALS = frozenset({"true", "false", "null", NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES})
_CLASSES = frozenset({NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER, ESC_IDENTIFIER, EOF})
_TOO_DEEP = f"expression recursion limit exceeded: {DEPTH_LIMIT}"


def parse(text: str, *, bindings: bool = False) -> Node:
    """The tree of an expression, its macros expanded, ``cel.bind`` among them with `bindings`. Raises CompileError."""
    source = Source(text)
    if len(text) > SIZE_LIMIT:
        message = f"expression code point size exceeds limit: size: {len(text)}, limit {SIZE_LIMIT}"
        raise CompileError([source.issue(0, message)], text)
    parser = _Parser(source, bindings)
    try:
        root = parser.whole()
    except _Stop:
        root = None
    if parser.issues or root is None:
        raise CompileError(parser.issues, text)
    return root


class _Stop(Exception):
    """Parsing cannot go on."""


class _Parser:
    def __init__(self, source: Source, bindings: bool) -> None:
        self._source = source
        self._bindings = bindings
        found = lexer.tokenize(source)
        self._tokens, self.issues = found.tokens, list[Issue](found.issues)
        self._position = 0
        self._nesting = 0

    def whole(self) -> Node:
        node = self._expression()
        self._expect(EOF)
        return node

    # Operators. An explicit stack keeps a level of nesting to few frames.

    def _expression(self, ternary: bool = True) -> Node:
        self._nesting += 1
        if self._nesting > DEPTH_LIMIT:
            self._stop(self._token.offset, _TOO_DEEP)
        operands = [self._operand()]
        operators: list[Token] = []
        while (precedence := _PRECEDENCE.get(self._token.kind)) is not None:
            # A chain of && or || is left on the stack, to become one balanced tree.
            kept = precedence + (self._token.kind in _LOGIC)
            while operators and _PRECEDENCE[operators[-1].kind] >= kept:
                self._reduce(operands, operators)
            operators.append(self._advance())
            operands.append(self._operand())
        while operators:
            self._reduce(operands, operators)
        node = operands[0]
        if ternary and self._token.kind == "?":
            question = self._advance()
            chosen = self._expression(ternary=False)
            self._expect(":")
            node = self._made(Call(question.offset, "_?_:_", None, [node, chosen, self._expression()]))
        self._nesting -= 1
        return node

    def _reduce(self, operands: list[Node], operators: list[Token]) -> None:
        chain = [operators.pop()]
        kind = chain[0].kind
        while kind in _LOGIC and operators and operators[-1].kind == kind:
            chain.append(operators.pop())
        terms = operands[-len(chain) - 1 :]
        del operands[-len(chain) - 1 :]
        name = "@in" if kind == "in" else f"_{kind}_"
        operands.append(self._made(_balanced(name, terms, [sign.offset for sign in reversed(chain)])))

    # Operands: unary operators, primaries, and what follows them.

    def _operand(self) -> Node:
        sign = self._token
        if sign.kind == "!":
            return self._unary(sign, "!_")
        if sign.kind == "-":
            if not self._is_negative_number():
                return self._unary(sign, "-_")
            self._advance()
        node = self._primary(sign if sign.kind == "-" else None)
        while True:
            if self._token.kind == ".":
                node = self._selection(node)
            elif self._token.kind == "[":
                node = self._index(node)
            elif self._token.kind == "{":
                node = self._message(node)
            else:
                return node

    def _is_negative_number(self) -> bool:
        return self._token.kind == "-" and self._tokens[self._position + 1].kind in (NUM_INT, NUM_FLOAT)

    def _unary(self, sign: Token, function: str) -> Node:
        count = 0
        while self._token.kind == sign.kind:
            self._advance()
            count += 1
        if self._token.kind in ("-", "!") and not self._is_negative_number():
            self._unexpected(_STARTS)
        node = self._operand()
        return self._made(Call(sign.offset, function, None, [node])) if count % 2 else node

    def _primary(self, sign: Token | None) -> Node:
        token = self._token
        if token.kind in _LITERALS:
            return self._literal(self._advance(), sign)
        match token.kind:
            case "(":
                self._advance()
                node = self._expression()
                self._expect(")")
                return node
            case "[":
                self._advance()
                elements, optional = self._elements("]")
                self._close("]")
                return self._made(ListNode(token.offset, elements, frozenset(optional)))
            case "{":
                self._advance()
                entries = self._entries(self._map_key)
                self._close("}")
                return self._made(MapNode(token.offset, entries))
            case "." | lexer.IDENTIFIER:
                return self._identifier()
        return self._unexpected(_STARTS)

    def _literal(self, token: Token, sign: Token | None) -> Node:
        offset = sign.offset if sign else token.offset
        negative = sign is not None
        text = token.text
        value: object = None
        try:
            match token.kind:
                case lexer.NUM_INT:
                    value = literals.integer(text, negative)
                case lexer.NUM_UINT:
                    value = literals.unsigned(text)
                case lexer.NUM_FLOAT:
                    value = literals.double(text, negative)
                case lexer.STRING:
                    value = literals.string(text)
                case lexer.BYTES:
                    value = literals.bytes_(text)
                case "true" | "false":
                    value = token.kind == "true"
        except ValueError as error:
            self.issues.append(self._source.issue(offset, str(error)))
        return Literal(offset, value)

    def _identifier(self) -> Node:
        dot = self._advance().text if self._token.kind == "." else ""
        token = self._expect(IDENTIFIER)
        if token.text in KEYWORDS:
            self.issues.append(self._source.issue(token.offset, f"reserved identifier: {token.text}"))
        if self._token.kind != "(":
            return Ident(token.offset, dot + token.text)
        return self._call(dot + token.text, None)

    def _selection(self, operand: Node) -> Node:
        dot = self._advance()
        optional = self._token.kind == "?"
        if optional:
            self._advance()
        token = self._token
        if token.kind not in (IDENTIFIER, ESC_IDENTIFIER):
            self._unexpected_after_dot(dot)
        self._advance()
        name = token.text.strip("`")
        if self._token.kind == "(" and not optional and token.kind == IDENTIFIER:
            return self._call(name, operand)
        return self._made(Select(dot.offset, operand, name, optional=optional))

    def _call(self, function: str, target: Node | None) -> Node:
        opening = self._expect("(")
        arguments, _ = self._elements(")")
        self._expect(")")
        try:
            expanded = macros.expand(opening.offset, function, target, arguments, bindings=self._bindings)
        except macros.MacroError as error:
            self.issues.append(self._source.issue(error.offset, str(error)))
            return Literal(opening.offset, None)
        return self._made(expanded or Call(opening.offset, function, target, arguments))

    def _index(self, operand: Node) -> Node:
        opening = self._advance()
        optional = self._token.kind == "?"
        if optional:
            self._advance()
        index = self._expression()
        self._expect("]")
        return self._made(Call(opening.offset, "_[?_]" if optional else "_[_]", None, [operand, index]))

    def _message(self, operand: Node) -> Node:
        opening = self._advance()
        name = qualified_name(operand)
        if name is None:
            self._stop(opening.offset, "expected a qualified name")
        entries = self._entries(self._field_name)
        self._expect("}")
        return self._made(MessageNode(opening.offset, name, entries))

    def _elements(self, end: str) -> tuple[list[Node], list[int]]:
        """Expressions between commas; a list may end with one, and mark elements as optional."""
        found: list[Node] = []
        optional: list[int] = []
        while self._token.kind != end or (found and end == ")"):
            if not found:
                self._expect_start((end, ",", "?") if end == "]" else (end,))
            if found and end == "]" and self._token.kind == EOF:
                break
            if self._token.kind == "?" and end == "]":
                self._advance()
                optional.append(len(found))
            found.append(self._expression())
            if self._token.kind != ",":
                break
            self._advance()
        return found, optional

    def _entries(self, read_key: Callable[[], Node | str]) -> list[Entry]:
        found: list[Entry] = []
        while self._token.kind != "}":
            optional = self._token.kind == "?"
            if optional:
                self._advance()
            key = read_key()
            colon = self._expect(":")
            found.append(Entry(colon.offset, key, self._expression(), optional))
            if self._token.kind != ",":
                break
            self._advance()
        return found

    def _map_key(self) -> Node:
        self._expect_start(("}", ",", "?"))
        return self._expression()

    def _field_name(self) -> str:
        token = self._token
        if token.kind not in (IDENTIFIER, ESC_IDENTIFIER):
            self._unexpected(("}", ",", "?", IDENTIFIER, ESC_IDENTIFIER))
        return self._advance().text.strip("`")

    # Tokens, and what is said about those that do not fit.

    @property
    def _token(self) -> Token:
        return self._tokens[self._position]

    def _advance(self) -> Token:
        token = self._tokens[self._position]
        if token.kind != EOF:
            self._position += 1
        return token

    def _made(self, node: Node) -> Node:
        if node.depth > DEPTH_LIMIT:
            self._stop(node.offset, _TOO_DEEP)
        return node

    def _expect(self, kind: str) -> Token:
        if self._token.kind != kind:
            if (kind in _CLOSING and self._token.kind in _FOLLOWS_CLOSING) or (kind == ":" and self._token.kind in _OPENING):
                self._stop(self._token.offset, f"Syntax error: missing {_named(kind)} at {_quoted(self._token)}")
            self._unexpected((kind,))
        return self._advance()

    def _close(self, kind: str) -> None:
        """The end of a list or map, which could also have had more elements."""
        if self._token.kind != kind and self._token.kind not in _FOLLOWS_CLOSING:
            self._unexpected([each for each in _ORDER if each in (kind, ",")])
        self._expect(kind)

    def _expect_start(self, also: Collection[str]) -> None:
        """An expression begins here, or one of the others."""
        if self._token.kind not in _OPENING and self._token.kind not in also:
            self._unexpected([kind for kind in _ORDER if kind in _OPENING or kind in also])

    def _unexpected(self, expected: Collection[str]) -> NoReturn:
        """One token too many if the next one fits, else a mismatch."""
        token = self._token
        following = self._tokens[min(self._position + 1, len(self._tokens) - 1)].kind
        what = "extraneous" if token.kind != EOF and following in expected else "mismatched"
        names = [_named(kind) for kind in expected]
        wanted = names[0] if len(names) == 1 else "{" + ", ".join(names) + "}"
        self._stop(token.offset, f"Syntax error: {what} input {_quoted(token)} expecting {wanted}")

    def _unexpected_after_dot(self, dot: Token) -> NoReturn:
        shown = dot.text if self._token.kind == EOF else self._source.text[dot.offset : self._token.offset] + self._token.text
        self._stop(self._token.offset, f"Syntax error: no viable alternative at input '{shown}'")

    def _stop(self, offset: int, message: str) -> NoReturn:
        self.issues.append(self._source.issue(offset, message))
        raise _Stop


def _balanced(function: str, terms: list[Node], offsets: list[int]) -> Node:
    """Terms between operators, as a tree of logarithmic depth."""
    if not offsets:
        return terms[0]
    middle = len(offsets) // 2
    first = _balanced(function, terms[: middle + 1], offsets[:middle])
    return Call(offsets[middle], function, None, [first, _balanced(function, terms[middle + 1 :], offsets[middle + 1 :])])


def _named(kind: str) -> str:
    if kind == "?":
        return r"'\u003F'"
    return kind if kind in _CLASSES else f"'{kind}'"


def _quoted(token: Token) -> str:
    text = token.text.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return f"'{text}'"
