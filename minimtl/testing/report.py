"""What a check found, and how it is told: the finding first, then its likely cause, then how to see it again."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

from minimtl.testing.differences import Verdict
from minimtl.testing.naming import listed

Lines = Callable[[], list[tuple[str, str]]]  # finds pairs of a heading and a text
LINES, WIDTH = 25, 118


@dataclass
class Report:
    """The result of a check: true where it agrees. `worst` is the largest relative difference among what agrees."""

    name: str
    arguments: list[str]
    verdict: Verdict = "agrees"
    measured: int = 0
    inconclusive: int = 0
    negligible: int = 0
    worst: float = 0.0
    note: str = ""
    headline: str = ""  # what is wrong, where something is
    details: list[tuple[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.verdict == "agrees"

    def __str__(self) -> str:
        if self.headline:
            return "\n".join(wrapped(self.headline, self.details))
        counted = f"{self.measured} measured, {self.inconclusive} inconclusive, "
        counted += f"{self.negligible} negligible, " * bool(self.negligible) + f"largest difference {self.worst:.1g}"
        return "; ".join([f"{self.name}: {self.verdict} for {listed(self.arguments)}", counted, *[self.note] * bool(self.note)])


class CheckError(Exception):
    """Inside a check: a headline that says what is wrong, and a function that finds out the details."""

    def __init__(self, headline: str, details: Lines = list, verdict: Verdict = "differs") -> None:
        super().__init__(headline)
        self.headline, self.details, self.verdict = headline, details, verdict


class GradientError(AssertionError):
    """A gradient is wrong, or could not be measured. `report` holds what was found; str() is at most 25 lines."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
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
    """The headline, and each text below it behind its heading, long ones cut; the last text is never cut off."""
    lines = textwrap.wrap(headline, WIDTH)[:3]
    bodies = [body_of(*pair) for pair in details]
    for i, body in enumerate(bodies):
        room = LINES - len(lines) - (len(bodies[-1]) if i + 1 < len(bodies) else 0)
        lines += body[: max(room, 0)]
    return lines


def body_of(heading: str, text: str) -> list[str]:
    """A text behind its heading: as it is if it is a row of a table or a line to replay, else wrapped to at most four lines."""
    indent = f"  {heading:<11}" if heading else "  "
    if heading == "replay" or "  " in text:
        return [indent + text]
    return textwrap.wrap(" ".join(text.split()), WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent))[:4]


def said(text: str) -> Lines:
    """Details that are one text, known already."""
    return lambda: [("", text)]
