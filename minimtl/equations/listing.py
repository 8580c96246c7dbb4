"""Equations as text: one in full, with its code and its check, for a terminal; what terminal and page have in common."""

import ast
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from minimtl.equation import Equation, lines_of
from minimtl.equations.checking import Check, Evaluated, checks
from minimtl.equations.draw import Draw
from minimtl.equations.piece import symbol_text

HEADINGS = {"evaluated": "the formula, read literally", "property": "what must hold, since the formula is not evaluated"}

WRONG = {"evaluated": "formulas", "property": "functions"}


def shown(e: Equation) -> list[str]:
    """The formula for a terminal, a line for each statement; of one that is not read, the first line of the docstring."""
    check = checks[e.id]
    if isinstance(check, Evaluated):
        return [s.text for s in check.formula().statements]
    return [(e.function.__doc__ or "").split("      ")[0].strip()]


def sections() -> Iterator[tuple[str, list[Equation]]]:
    """The equations by the file of their checks, in reading order: a heading, and what stands below it."""
    found: dict[str, list[Equation]] = {}
    for check in checks.values():
        found.setdefault(check.section, []).append(check.equation)
    return iter(found.items())


def code(function: Callable[..., Any], part: str = "") -> str:
    """The lines of a function, or of a part of it, without decorators and docstring."""
    lines, _ = lines_of(function, part)
    source = textwrap.dedent("".join(lines))
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.FunctionDef)
    kept = source.splitlines()
    if ast.get_docstring(body):
        said = body.body[0]
        del kept[said.lineno - 1 : said.end_lineno]
    return "\n".join(kept).strip("\n")


def literal(check: Check) -> str:
    """The program that the formula is read as, long loops on lines of their own; of a property, what must hold."""
    if not isinstance(check, Evaluated):
        return check.written.__doc__ or ""
    lines = check.formula().program.splitlines()
    return "\n".join(line if len(line) < 100 else line.replace(" for ", "\n        for ") for line in lines)


def letters(e: Equation) -> str:
    """What the letters are called in the code, where that is another name: "x is `input`; SH, SW in `stride`"."""
    said: dict[str, list[str]] = {}
    check = checks[e.id]
    used = check.formula().used if isinstance(check, Evaluated) else frozenset[str]()
    for symbol, target in e.symbols.items():
        if symbol in used and symbol != target and "_" not in symbol:  # dL_dx has a name in the formula alone
            said.setdefault(target, []).append(symbol_text(symbol))
    one = [f"{names[0]} is `{target}`" for target, names in said.items() if len(names) == 1]
    return "; ".join(one + [f"{', '.join(names)} in `{target}`" for target, names in said.items() if len(names) > 1])


def full(e: Equation, trials: int, seed: int) -> tuple[str, bool]:
    """All about an equation, checked now; and whether it holds and every control is noticed."""
    check = checks[e.id]
    facts = {
        "formula": "\n".join(shown(e)),
        "LaTeX": e.latex,
        "shapes": e.shapes,
        "in code": letters(e).replace("`", ""),
        "note": e.conventions,
        "source": e.source,
    }
    width = max(map(len, facts)) + 2
    head = [
        textwrap.indent(text, " " * width).replace(" " * width, f"{name:{width}}", 1) for name, text in facts.items() if text
    ]
    errors = {seed + i: check.error(Draw(seed + i)) for i in range(trials)}
    worst = max(errors, key=lambda i: errors[i])
    noticed = [check.rejects(control) for control in check.controls().values()]
    agree = errors[worst] <= check.tolerance
    parts = [
        f"{e.id}\n\n" + "\n".join(head),
        f"code, {e.file}:{e.line}\n\n" + textwrap.indent(code(e.function, e.part), "    "),
        *(textwrap.indent(code(helper), "    ") for helper in e.helpers),
        f"{HEADINGS[check.status]}\n\n" + textwrap.indent(literal(check), "    "),
        f"checked now, on {trials} draws of random numbers (seed {seed}): {verdict(check, errors[worst])}",
    ]
    parts[-1] += (
        f"\nwrong {WRONG[check.status]} noticed: {sum(noticed)} of {len(noticed)}"
        if agree
        else f"\n{check.difference_at(worst)}"
    )
    return "\n\n".join(parts), agree and all(noticed)


def verdict(check: Check, error: float) -> str:
    """What came out, in words."""
    size = f"the largest relative difference is {error:.1e}" if error else "to the last digit"
    if check.status == "property":
        return f"the property {'holds' if error <= check.tolerance else 'DOES NOT HOLD'}: {size}"
    return f"formula and code {'agree' if error <= check.tolerance else 'DISAGREE'}: {size}"
