"""GRUB's script language: from text to statements.

Only the shape is read here: commands, `if`, loops, functions and menu entries. A *word* is a row of
parts, each literal or the name of a variable, so that what is quoted is not split later. Source:
GRUB manual 2.12, "Writing full configuration files directly"; grub-core/script/parser.y describes
the grammar.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

DEPTH_LIMIT = 40
STATEMENT_LIMIT = 20_000

_VARIABLE = re.compile(r"\$(?:\{(\w+|\?|[@*#]|\d+)\}|(\w+|\?|[@*#]|\d+))")
_PLAIN = re.compile(r"[^\s;{}'\"\\$&|<>]+")


class Part(NamedTuple):
    """A piece of a word."""

    text: str  # literal text, or the name of a variable
    variable: bool
    quoted: bool


Word = tuple[Part, ...]


class Statement(NamedTuple):
    """A command, or a block with others inside.

    `kind` is "command", "if", "loop", "while", "until", "function", "menuentry" or "submenu". Of an
    `if` the `arms` are pairs of condition and body, the last one without a condition for `else`; of
    `while` and `until` they are one pair.
    """

    kind: str
    line: int
    words: tuple[Word, ...] = ()
    arms: tuple[tuple[tuple[Statement, ...], tuple[Statement, ...]], ...] = ()
    body: tuple[Statement, ...] = ()


class ScriptError(Exception):
    """The text is no script of GRUB; the text says at which line."""


class UnfinishedError(ScriptError):
    """The script ends inside a block: GRUB runs what stands in front of it, and that is all."""

    def __init__(self, line: int, before: tuple[Statement, ...]) -> None:
        super().__init__(f"what begins at line {line} has no end")
        self.line, self.before = line, before


class _Token(NamedTuple):
    kind: str  # "word", "end" (of a command), "open", "close", "cut" (a quotation without an end)
    line: int
    word: Word = ()

    @property
    def plain(self) -> str | None:
        """The text of an unquoted word without variables, or None."""
        bare = self.kind == "word" and not any(p.quoted or p.variable for p in self.word)
        return "".join(p.text for p in self.word) if bare else None


def parse(text: str) -> tuple[Statement, ...]:
    """Return the statements of a script; ScriptError says where it cannot be read.

    UnfinishedError, one of them, holds the statements in front of a block without an end.
    """
    parser = _Parser(list(_tokens(text)))
    statements = parser.statements(())
    if parser.token is not None:
        raise ScriptError(f"line {parser.token.line}: unexpected {parser.token.plain or 'brace'}")
    return statements


def _tokens(text: str) -> Iterator[_Token]:
    line, at, parts = 1, 0, list[Part]()

    def word() -> Iterator[_Token]:
        if parts:
            yield _Token("word", line, tuple(parts))
            parts.clear()

    while at < len(text):
        char = text[at]
        if char in " \t\r":
            yield from word()
            at += 1
        elif char in "\n;":
            yield from word()
            yield _Token("end", line)
            line += char == "\n"
            at += 1
        elif char == "#" and not parts:
            at = text.find("\n", at) if "\n" in text[at:] else len(text)
        elif char in "{}":  # also right behind a word, as in menuentry 'x'{
            yield from word()
            yield _Token("open" if char == "{" else "close", line)
            at += 1
        else:
            found, size = _piece(text, at)
            if char in "'\"" and at + size > len(text):
                yield _Token("cut", line)
                return
            parts.extend(found)
            line += text.count("\n", at, at + size)
            at += size
    yield from word()
    yield _Token("end", line)


def _piece(text: str, at: int) -> tuple[list[Part], int]:
    """Return the parts that begin here, and how many characters they take."""
    char = text[at]
    if char == "\\":
        return (
            [] if text[at + 1 : at + 2] == "\n" else [Part(text[at + 1 : at + 2], False, True)]
        ), 2
    if char == "'":
        end = text.find("'", at + 1)
        end = len(text) if end < 0 else end
        return [Part(text[at + 1 : end], False, True)], end + 1 - at
    if char == '"':
        return _double_quoted(text, at)
    found = _VARIABLE.match(text, at)
    if found is not None:
        return [Part(found[1] or found[2], True, False)], found.end() - at
    plain = _PLAIN.match(text, at)
    end = plain.end() if plain is not None else at + 1
    return [Part(text[at:end], False, False)], end - at


def _double_quoted(text: str, at: int) -> tuple[list[Part], int]:
    parts, start, literal = list[Part](), at, ""
    at += 1
    while at < len(text) and text[at] != '"':
        found = _VARIABLE.match(text, at)
        if text[at] == "\\" and text[at + 1 : at + 2] in ('"', "\\", "$", "`", "\n"):
            literal += text[at + 1].replace("\n", "")
            at += 2
        elif found is not None:
            parts += [Part(literal, False, True), Part(found[1] or found[2], True, True)]
            literal, at = "", found.end()
        else:
            literal += text[at]
            at += 1
    return [*parts, Part(literal, False, True)], at + 1 - start


class _Parser:
    """Recursive descent over the tokens; `token` is the next one, None at the end."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens, self._at, self._count, self._depth = tokens, 0, 0, 0
        self._outer: list[Statement] = []  # those that are in no other, and are whole
        self._begun = 0  # line of the next one of them

    @property
    def token(self) -> _Token | None:
        """The next token."""
        token = self._tokens[self._at] if self._at < len(self._tokens) else None
        if token is not None and token.kind == "cut":
            raise UnfinishedError(self._begun or token.line, tuple(self._outer))
        return token

    def take(self) -> _Token:
        """Return the next token and go on."""
        token = self.token
        if token is None:
            raise UnfinishedError(self._begun, tuple(self._outer))
        self._at += 1
        return token

    def statements(self, ends: tuple[str, ...]) -> tuple[Statement, ...]:
        """Read statements until one of the words, a closing brace or the end."""
        self._depth += 1
        if self._depth > DEPTH_LIMIT:
            raise ScriptError("blocks are nested too deep")
        found: list[Statement] = self._outer if self._depth == 1 else []
        while (token := self.token) is not None:
            if token.kind == "end":
                self._at += 1
            elif token.kind == "close" or (token.plain is not None and token.plain in ends):
                break
            else:
                self._begun = token.line if self._depth == 1 else self._begun
                found.append(self._statement())
                self._begun = 0 if self._depth == 1 else self._begun
        self._depth -= 1
        return tuple(found)

    def _statement(self) -> Statement:
        self._count += 1
        if self._count > STATEMENT_LIMIT:
            raise ScriptError("it has more commands than are evaluated")
        token = self.token
        assert token is not None
        if token.kind == "open":
            self._at += 1
            return Statement("loop", token.line, body=self._braced_rest())
        plain = token.plain
        if plain == "if":
            return self._if()
        if plain in ("while", "until", "for"):
            return self._loop()
        if plain in ("menuentry", "submenu", "function"):
            return self._block(plain)
        return Statement("command", token.line, self._words())

    def _words(self, *, block: bool = False) -> tuple[Word, ...]:
        words = []
        while (token := self.token) is not None and token.kind == "word":
            words.append(self.take().word)
        if not block and token is not None and token.kind == "open":
            raise ScriptError(f"line {token.line}: a brace where a command should end")
        return tuple(words)

    def _if(self) -> Statement:
        line, arms = self.take().line, []
        while True:
            condition = self.statements(("then",))
            self._expect("then")
            arms.append((condition, self.statements(("elif", "else", "fi"))))
            if self._expect("elif", "else", "fi") != "elif":
                break
        if self._tokens[self._at - 1].plain == "else":
            arms.append(((), self.statements(("fi",))))
            self._expect("fi")
        return Statement("if", line, arms=tuple(arms))

    def _loop(self) -> Statement:
        token = self.take()
        head = self.statements(("do",))
        self._expect("do")
        body = self.statements(("done",))
        self._expect("done")
        if token.plain in ("while", "until"):
            return Statement(token.plain, token.line, arms=((head, body),))
        return Statement("loop", token.line, head[0].words if head else (), body=body)

    def _block(self, kind: str) -> Statement:
        line = self.take().line
        words = self._words(block=True)
        while self.token is not None and self.token.kind == "end":
            self._at += 1
        if self.token is None or self.token.kind != "open":
            return Statement("command", line, words)  # the old form: menuentry TITLE COMMAND
        self._at += 1
        return Statement(kind, line, words, body=self._braced_rest())

    def _braced_rest(self) -> tuple[Statement, ...]:
        body = self.statements(())
        if self.take().kind != "close":
            raise ScriptError("a brace is missing")
        return body

    def _expect(self, *words: str) -> str:
        token = self.take()
        if token.plain not in words:
            raise ScriptError(f"line {token.line}: {' or '.join(words)} is missing")
        return token.plain or ""
