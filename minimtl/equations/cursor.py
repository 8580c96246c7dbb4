"""Walking along the tokens of a formula."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Self

from minimtl.equations.piece import Piece
from minimtl.equations.tokens import Token, UnreadableError


class Cursor(ABC):
    """A place among tokens, and what is known there.

    names are the symbols declared, defined those that other statements define, with the number of their parameters and how they
    are shown; bound are letters that run over something; applied is filled with the symbols that are used as functions. With
    `anything` every letter is a symbol: so the left of a statement is read.
    """

    def __init__(
        self,
        tokens: Sequence[Token],
        names: Collection[str] = (),
        defined: "Mapping[str, tuple[int, str]] | None" = None,
        bound: Collection[str] = (),
        anything: bool = False,
        applied: "set[str] | None" = None,
    ) -> None:
        self.tokens, self.names, self.defined, self.at = tokens, names, defined or {}, 0
        self.bound, self.anything = list(bound), anything
        self.applied: set[str] = set() if applied is None else applied

    @abstractmethod
    def sum(self) -> Piece:
        """± product ± product …: read by the reader, of which this is a part."""

    def peek(self, ahead: int = 0) -> str:
        """The next token, "" at the end."""
        return self.tokens[self.at + ahead].text if self.at + ahead < len(self.tokens) else ""

    def take(self, wanted: str = "") -> Token:
        """The next token, which must be the wanted one."""
        if self.at >= len(self.tokens):
            raise UnreadableError(f"the formula ends where {wanted or 'more'} is needed")
        if wanted and self.peek() != wanted:
            raise self.refusal(f"{wanted} is needed")
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, *wanted: str) -> bool:
        """Whether one of these is next; it is taken."""
        found = self.peek() in wanted and self.peek() != ""
        self.at += found
        return found

    def refusal(self, why: str = "it is not known, or not expected here") -> UnreadableError:
        """An error that names the next token."""
        return UnreadableError(f"cannot read {self.peek() or 'the end'}: {why}")

    def group(self) -> list[Token]:
        """The tokens of { … }, or a single one: x_10 is x₁ 0 to TeX, and refused."""
        if not self.accept("{"):
            if self.peek().isdigit() and len(self.peek()) > 1:
                raise self.refusal("a number of several digits needs braces here")
            return [self.take()]
        start, depth = self.at, 1
        while depth:
            depth += {"{": 1, "}": -1}.get(self.take("}" if self.at >= len(self.tokens) else "").text, 0)
        return list(self.tokens[start : self.at - 1])

    def part(self, tokens: Sequence[Token]) -> Self:
        """A reader of these tokens that knows what this one knows."""
        return type(self)(tokens, self.names, self.defined, self.bound, self.anything, self.applied)

    def whole(self, read: "Callable[[Self], Piece] | None" = None) -> Piece:
        """What is read of all tokens."""
        found = read(self) if read else self.sum()
        self.end()
        return found

    def within(self, tokens: Sequence[Token]) -> Piece:
        """What is read of all these tokens."""
        return self.part(tokens).whole()

    def end(self) -> None:
        """Nothing is left."""
        if self.at < len(self.tokens):
            raise self.refusal()
