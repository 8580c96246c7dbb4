"""What a failed check says: the worst entry, what it should be, and which mistake looks like this."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minimtl.backend import Array
from minimtl.testing.differences import sizes
from minimtl.testing.patterns import Evidence, patterns
from minimtl.testing.pull import gradients, pull
from minimtl.testing.report import CheckError

if TYPE_CHECKING:
    from minimtl.testing.gradcheck import Check, Compared

By = dict[tuple[int, ...], "Compared"]  # by entry

FEW = 8  # entries; below, a mistake shows itself at other points
PROBES = (-1.0, 2.0, -2.0, 0.5)
LIMIT = (
    "A gradient check compares derivatives with the values that f returns; it cannot see that a value is wrong. Compare "
    "values with a definition, as in np.testing.assert_allclose(f(x), definition(x))."
)


def wrong_entries(check: "Check", k: int, output: str, by_entry: By) -> CheckError:
    """Entries of leaf k whose gradient differs from what was measured."""
    return CheckError(headline(check, k, output), lambda: entries(check, k, output, by_entry))


def entries(check: "Check", k: int, output: str, by_entry: By) -> list[tuple[str, str]]:
    """The worst entry, the pattern of all, and a table of a few."""
    x, name = check.subject.arrays[k], check.subject.names[k]
    wrong = [at for at, c in by_entry.items() if c.verdict == "differs"]
    worst = max(wrong, key=lambda at: (by_entry[at].relative, abs(by_entry[at].measured.slope)))
    c, size = by_entry[worst], sizes(x)[worst]
    yours, measured, step = c.claimed / size, c.measured.slope / size, c.measured.step * size
    evidence = gathered(check, k, output, by_entry)
    return [
        ("worst", f"{element(name, worst)} = {x[worst]:.6g}; {len(wrong)} of {len(by_entry)} entries are wrong"),
        ("yours", f"{yours:.6g}"),
        ("measured", f"{measured:.6g}, by central differences; steps {step:.2g} and {step / 2:.2g} agree: this is no kink"),
        ("ratio", f"{yours / measured:.6g}" if measured else "none, the derivative is 0"),
        *[("pattern", sentence) for sentence in patterns(evidence)][:2],
        *table(evidence),
    ]


def wrong_direction(check: "Check", k: int, compared: "dict[str, Compared]") -> CheckError:
    """The gradient of leaf k differs along a random direction, and entries were not looked at."""
    output, c = next((name, c) for name, c in compared.items() if c.verdict == "differs")
    return CheckError(
        headline(check, k, output),
        lambda: [
            ("yours", f"{c.claimed:.6g} along a random direction"),
            ("measured", f"{c.measured.slope:.6g}, by central differences"),
            ("", 'mode="auto" or "full" tells which entries are wrong'),
        ],
    )


def undecided(check: "Check") -> CheckError:
    """Too many measurements are inconclusive."""
    found = check.found
    return CheckError(
        f"{check.subject.name}: {found.inconclusive} of {found.measured} measurements are inconclusive, so nothing is certified",
        lambda: [
            *[("at", ", ".join(check.doubtful[:4]))] * bool(check.doubtful),
            (
                "",
                "The value has a kink or a jump there, or is too rough to measure, or leaves its domain at the smallest step.",
            ),
            ("", "Move the arguments away from ties and kinks, as testing.strategies.spaced does, or raise max_inconclusive."),
        ],
        "inconclusive",
    )


def context(check: "Check") -> list[tuple[str, str]]:
    """What every failure is told with: where the function is written, with what it was called, how to see it again."""
    subject = check.subject
    given = "" if check.cotangent is None else ", cotangent=…"
    lines = [
        ("equation", subject.equation),
        ("written at", subject.place),
        ("G", "the cotangent that the caller gave" if given else f"random, seed {check.seed}"),
        ("note", subject.note),
        ("replay", f"testing.{subject.replay}{given}, seed={check.seed})"),
        ("", LIMIT),
    ]
    return [(heading, text) for heading, text in lines if text]


def headline(check: "Check", k: int, output: str) -> str:
    """Which gradient of which function is wrong."""
    several = f" (of {output})" if len(check.vs) > 1 else ""
    return f"{check.subject.name}: the gradient of argument {k}, {check.subject.names[k]}{several}, is wrong"


def element(name: str, at: tuple[int, ...]) -> str:
    """x[1, 2], or x where it is a single number."""
    return f"{name}[{', '.join(map(str, at))}]" if at else name


def gathered(check: "Check", k: int, output: str, by_entry: By) -> Evidence:
    """What patterns are recognised by: this point, and where it has few entries, multiples of it."""
    first = at_point(check, k, output, by_entry)
    others = list(probed(check, k, output)) if first.x.size < FEW else []
    return Evidence(*(np.stack(parts) for parts in zip(*[first.parts(), *[e.parts() for e in others]], strict=True)))


def probed(check: "Check", k: int, output: str) -> Iterator[Evidence]:
    """The evidence where leaf k is a multiple of what it is."""
    for factor in PROBES:
        arrays = check.subject.copies()
        arrays[k][...] *= factor
        try:
            there = replace(check, subject=replace(check.subject, arrays=arrays))
            there.vs, there.found = check.vs, replace(check.found)
            there.values, there.gradients = pull(there.subject, there.subject.leaves(), there.vs)
            yield at_point(
                there, k, output, {at: there.along(k, there.unit(k, at))[output] for at in np.ndindex(arrays[k].shape)}
            )
        except (CheckError, ValueError, ArithmeticError):  # outside the domain
            continue


def at_point(check: "Check", k: int, output: str, by_entry: By) -> Evidence:
    """The evidence of one point; entries that were not measured are NaN."""
    subject, x, v = check.subject, check.subject.arrays[k], check.vs[output]
    measured, wrong = np.full_like(x, np.nan), np.zeros(x.shape, bool)
    for at, c in by_entry.items():
        wrong[at] = c.verdict == "differs"
        if c.verdict != "inconclusive":
            measured[at] = c.measured.slope / sizes(x)[at]
    zero = gradients(subject, {name: np.zeros_like(a) for name, a in check.vs.items()})[output][k]
    same = v.shape == x.shape
    diagonal = own_slopes(check, k, output, list(by_entry)) if same else np.full_like(x, np.nan)
    value = check.values[output] if same else np.full_like(x, np.nan)
    return Evidence(
        x, check.gradients[output][k], measured, wrong, zero, diagonal, value, v if same else np.full_like(x, np.nan)
    )


def own_slopes(check: "Check", k: int, output: str, entries: list[tuple[int, ...]]) -> Array:
    """∂yᵢ/∂xᵢ at the entries, where the output has the shape of leaf k; else NaN."""
    found = np.full_like(check.subject.arrays[k], np.nan)
    for at in entries:
        step, ends = 1e-5 * sizes(check.subject.arrays[k])[at], []
        for sign in (1, -1):
            arrays = check.subject.copies()
            arrays[k][at] += sign * step
            ends.append(check.subject.outputs(check.subject.leaves(arrays))[output].array[at])
        found[at] = (ends[0] - ends[1]) / (2 * step)
    return found


def table(e: Evidence) -> list[tuple[str, str]]:
    """Of a function of each entry alone: its derivative at some points, free of the cotangent, as given and as measured."""
    if not e.pointwise():
        return []
    order = np.argsort(e.x, axis=None)
    known = order[np.isfinite(e.measured.ravel()[order])]
    chosen = known[np.unique(np.linspace(0, len(known) - 1, 5).astype(int))]
    rows = zip(*(a.ravel()[chosen] for a in (e.x, e.given / e.v, e.measured / e.v)), strict=True)
    lines = [f"{x:<12.5g}{given:<12.5g}{measured:.5g}" for x, given, measured in rows]
    return [("f′(x)", f"{'x':<12}{'yours':<12}measured"), *(("", " " * 11 + line) for line in lines)]
