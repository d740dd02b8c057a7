"""A user's SQL as text: where a word stands, and the error that points at it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

MAX_EXCERPT = 160


Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a user's SQL: where, what, and the text to write instead.

    Attributes:
        line: from 1; `column` too.
        severity: an error refuses the query, a warning does not.
    """

    path: Path
    line: int
    column: int
    problem: str
    fix: str
    excerpt: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        warning = "warning: " if self.severity == "warning" else ""
        parts = [f"{self.path}:{self.line}:{self.column}: {warning}{self.problem}", self.excerpt, f"  fix: {self.fix}"]
        return "\n".join(part for part in parts if part)


class QueryError(Exception):
    """A user's SQL is refused: one or several findings, each with file:line:column, an excerpt and the fix."""

    def __init__(self, *findings: Finding) -> None:
        self.findings = findings
        super().__init__("\n".join(map(str, findings)))


def refuse(findings: Iterable[Finding]) -> None:
    """Raise the errors among the findings, all at once.

    Raises:
        QueryError: there is at least one error.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        raise QueryError(*errors)


@dataclass(frozen=True)
class Source:
    """A SQL file: its path and its text."""

    path: Path
    text: str

    @cached_property
    def tokens(self) -> list[Any]:
        """The words of the SQL, without comments; empty where they cannot be told."""
        from sqlglot.dialects.dialect import Dialect
        from sqlglot.errors import TokenError

        try:
            return list(Dialect.get_or_raise("bigquery").tokenize(self.text))
        except TokenError:
            return []

    @property
    def first_word(self) -> int:
        """The offset of the first word that is no comment."""
        return int(self.tokens[0].start) if self.tokens else 0

    @property
    def first_text(self) -> str:
        """That word."""
        return str(self.tokens[0].text) if self.tokens else ""

    @property
    def second_statement(self) -> int:
        """The offset of the first word behind the first semicolon."""
        behind = False
        for token in self.tokens:
            if behind:
                return int(token.start)
            behind = token.token_type.name == "SEMICOLON"
        return self.first_word

    def word(self, word: str) -> int:
        """The offset of a word, a whole token without regard to case; the first word where it is not there."""
        parts = word.strip("`").casefold().split(".")
        words = [(int(token.start), token.text.strip("`").casefold()) for token in self.tokens]
        same = (start for start, text in words if text == parts[-1])
        # The engine may know a function by the beginning of its BigQuery name.
        longer = (start for start, text in words if text.startswith(f"{parts[-1]}_"))
        return next(same, next(longer, self.first_word))

    def spelled(self, offset: int) -> str:
        """The word that begins at an offset, as its author wrote it; empty where none does."""
        return next((str(token.text) for token in self.tokens if token.start == offset), "")

    def start_of(self, node: Any) -> int:
        """The offset at which a node of the syntax tree begins."""
        starts = [n.meta["start"] for n in node.walk() if "start" in n.meta]
        return min(starts) if starts else self.first_word

    def start_of_item(self, offset: int) -> int:
        """The offset of the first word of the list item (of a SELECT) that holds an offset."""
        before = [token for token in self.tokens if token.start <= offset]
        depth, first = 0, offset
        for token in reversed(before):
            depth += {"R_PAREN": 1, "R_BRACKET": 1, "L_PAREN": -1, "L_BRACKET": -1}.get(token.token_type.name, 0)
            if depth < 0 or (depth == 0 and (token.text == "," or token.text.upper() in ("SELECT", "DISTINCT"))):
                break
            first = int(token.start)
        return first

    def offset(self, line: int, column: int) -> int:
        """The offset of a line and a column, both from 1."""
        before = self.text.split("\n")[: line - 1]
        return sum(len(text) + 1 for text in before) + column - 1

    def refuse(self, offset: int, problem: str, fix: str) -> QueryError:
        """The error for the word at an offset, with its line and an underlined excerpt."""
        return QueryError(self.finding(offset, problem, fix))

    def finding(self, offset: int, problem: str, fix: str, severity: Severity = "error") -> Finding:
        """What is wrong at an offset, with its line and an underlined excerpt."""
        offset = min(max(offset, 0), len(self.text))
        start = self.text.rfind("\n", 0, offset) + 1
        end = self.text.find("\n", offset)
        line = self.text[start : end if end >= 0 else len(self.text)].rstrip("\r")
        number, column = self.text.count("\n", 0, offset) + 1, offset - start + 1
        rest = line[column - 1 :]
        word = re.match(r"`[^`]*`|'[^']*'|\"[^\"]*\"|[\w.@]+", rest)
        length = word.end() if word else 1
        cut = max(0, column - 1 - MAX_EXCERPT // 2)
        margin = f"{number:>5} | "
        shown = line[cut : cut + MAX_EXCERPT]
        underline = f"{' ' * (len(margin) - 2)}| {' ' * (column - 1 - cut)}{'^' * max(1, min(length, 60))}"
        return Finding(self.path, number, column, problem, fix, f"{margin}{shown}\n{underline}", severity)
