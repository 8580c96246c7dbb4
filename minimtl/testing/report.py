"""What a check found, and how it is told: the finding first, then its likely cause, then how to see it again."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["agrees", "differs", "inconclusive"]
Lines = Callable[[], list[tuple[str, str]]]  # finds pairs of a heading and a text
LINES, WIDTH = 25, 118


@dataclass
class Report:
    """The result of a check. `worst` is the largest difference between gradient and measurement, as a part of the larger."""

    name: str
    arguments: list[str]
    verdict: Verdict = "agrees"
    measured: int = 0
    inconclusive: int = 0
    worst: float = 0.0
    note: str = ""
    headline: str = ""  # what is wrong, where something is
    details: Lines = list

    def __bool__(self) -> bool:
        return self.verdict == "agrees"

    def __str__(self) -> str:
        if self.headline:
            return "\n".join(wrapped(self.headline, self.details()))
        counted = f"{self.measured} measured, {self.inconclusive} inconclusive, largest difference {self.worst:.1g}"
        return "; ".join(
            [f"{self.name}: {self.verdict} for {', '.join(self.arguments)}", counted, *[self.note] * bool(self.note)]
        )


class CheckError(Exception):
    """Inside a check: a headline that says what is wrong, and a function that finds out the details, called if they are read."""

    def __init__(self, headline: str, details: Lines = list, verdict: Verdict = "differs") -> None:
        super().__init__(headline)
        self.headline, self.details, self.verdict = headline, details, verdict


class GradientError(AssertionError):
    """A gradient is wrong, or could not be measured. `report` holds what was found; str() is at most 25 lines."""

    def __init__(self, report: Report) -> None:
        super().__init__(report.headline)
        self.report = report
        self.before: list[str] = []

    def add_note(self, note: str) -> None:
        """Notes, as of Hypothesis, go before the message, a line each: what went wrong is read last, where a terminal ends.

        Its explanations, which lines of this checker ran, are left out.
        """
        if not note.startswith((" ", "Explanation")):
            self.before.append(" ".join(note.split()))

    def __str__(self) -> str:
        message = str(self.report).splitlines()
        return "\n".join([*list(filter(None, self.before))[: LINES - len(message)], *message])


def wrapped(headline: str, details: list[tuple[str, str]]) -> list[str]:
    """The headline, and each text below it behind its heading, long ones cut."""
    lines = textwrap.wrap(headline, WIDTH)
    for heading, text in details:
        indent = f"  {heading:<11}" if heading else "  "
        body = textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent), break_long_words=False)
        lines += body[:4] if len(body) > 1 and heading != "replay" else [indent + text]
    return lines[:LINES]


def said(text: str) -> Lines:
    """Details that are one text, known already."""
    return lambda: [("", text)]
