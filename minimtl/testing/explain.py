"""What a failed check says: the worst entry, what it should be, and which mistake looks like this."""

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from minimtl.backend import Array
from minimtl.testing.differences import Judged, sizes
from minimtl.testing.patterns import Evidence, patterns
from minimtl.testing.point import Index, Point
from minimtl.testing.pull import pull
from minimtl.testing.report import CheckError, Lines

if TYPE_CHECKING:
    from minimtl.testing.check import Check

Told = list[tuple[str, str]]
SMALL = 8  # entries; below, a mistake shows itself at other points
PROBES = (-1.0, 2.0, -2.0, 0.5)
LIMIT = (
    "A gradient check compares derivatives with the values that f returns; it cannot see that a value is wrong. Compare "
    "values with a definition, as in np.testing.assert_allclose(f(x), definition(x))."
)


def wrong_entries(check: "Check", k: int, output: str, by_entry: dict[Index, Judged]) -> CheckError:
    """Entries of leaf k whose gradient differs from what was measured."""
    x, name = check.subject.arrays[k], check.subject.names[k]
    wrong = [at for at, j in by_entry.items() if j.verdict == "differs"]
    worst = max(wrong, key=lambda at: (not np.isfinite(by_entry[at].claimed), by_entry[at].relative, by_entry[at].scale))
    j, size = by_entry[worst], sizes(x)[worst]
    yours, measured, step = j.claimed / size, j.measured.value / size, j.measured.step * size
    steps = f"steps {step:.2g} and {step / 2:.2g} agree: this is no kink"
    if j.measured.flat:
        measured, steps = 0.0, f"nothing moves by steps of {step:.2g} and {step / 2:.2g}"
    number = bool(measured) and np.isfinite(yours)
    facts = [
        ("worst", f"{element(name, worst)} = {x[worst]:.6g}; {len(wrong)} of {len(by_entry)} entries looked at are wrong"),
        ("yours", f"{yours:.9g}"),
        ("measured", f"{measured:.9g}, by central differences; {steps}"),
        ("ratio", f"{yours / measured:.9g}" if number else "none, the derivative is 0" if not measured else "none"),
    ]

    def details() -> Told:
        return [*facts, *found_out(lambda: recognised(check, k, output, by_entry))]

    return CheckError(headline(check, k, output), details)


def recognised(check: "Check", k: int, output: str, by_entry: dict[Index, Judged]) -> Told:
    """The pattern that fits, and a table."""
    evidence = gathered(check, k, output, by_entry)
    return [*[("pattern", sentence) for sentence in patterns(evidence)][:2], *table(evidence)]


def wrong_direction(check: "Check", k: int, judged: dict[str, Judged]) -> CheckError:
    """The gradient of leaf k differs along a random direction; entries were not looked at, or none of them shows it alone."""
    output, j = next((name, j) for name, j in judged.items() if j.verdict == "differs")
    return CheckError(
        headline(check, k, output),
        lambda: [
            ("yours", f"{j.claimed:.9g} along a random direction of {check.subject.arrays[k].size} entries"),
            ("measured", f"{j.measured.value:.9g}, by central differences"),
            ("", f"mode={'auto' if check.mode == 'project' else 'full'!r} tells which entries are wrong"),
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


def context(check: "Check") -> Told:
    """What every failure is told with: where the function is written, with what it was called, how to see it again."""
    subject, own = check.subject, check.cotangent is not None
    lines = [
        ("equation", subject.equation),
        ("written at", subject.place),
        ("G", "the cotangent that the caller gave" if own else f"random, seed {check.seed}"),
        ("note", subject.note),
        ("replay", f"the same call, with {check.options()}" if own else subject.replay(check.options())),
        ("", LIMIT),
    ]
    return [(heading, text) for heading, text in lines if text]


def found_out(details: Lines) -> Told:
    """The details; none where finding them out goes wrong, as where f fails at other points: a message must not fail."""
    try:
        return details()
    except Exception:
        return []


def headline(check: "Check", k: int, output: str) -> str:
    """Which gradient of which function is wrong."""
    several = f" (of {output})" if len(check.point.vs) > 1 else ""
    return f"{check.subject.name}: the gradient of argument {k}, {check.subject.names[k]}{several}, is wrong"


def element(name: str, at: tuple[int, ...]) -> str:
    """x[1, 2], or x where it is a single number."""
    return f"{name}[{', '.join(map(str, at))}]" if at else name


def gathered(check: "Check", k: int, output: str, by_entry: dict[Index, Judged]) -> Evidence:
    """What patterns are recognised by: this point, and where it has few entries, multiples of it."""
    point = check.point
    points = [evidence(point, k, output, by_entry)]
    if points[0].x.size < SMALL:
        points += probed(check, k, output)
    shapes = [a.shape for a in [*check.subject.arrays, *point.values.values()]]
    runs = {prod(shape[i:j]) for shape in shapes for i in range(len(shape)) for j in range(i + 1, len(shape) + 1)}
    return Evidence.stacked(points, runs)


def probed(check: "Check", k: int, output: str) -> Iterator[Evidence]:
    """The evidence where leaf k is a multiple of what it is."""
    for factor in PROBES:
        arrays = check.subject.copies()
        arrays[k][...] *= factor
        try:
            point = Point.of(replace(check.subject, arrays=arrays), check.point.vs)
            everywhere = {at: point.at(k, at, check.rtol, check.atol)[output] for at in np.ndindex(arrays[k].shape)}
            yield evidence(point, k, output, everywhere)
        except Exception:  # outside the domain
            continue


def evidence(point: Point, k: int, output: str, by_entry: dict[Index, Judged]) -> Evidence:
    """The evidence of one point; entries that were not measured are NaN."""
    subject, x, v = point.subject, point.subject.arrays[k], point.vs[output]
    measured, wrong = np.full_like(x, np.nan), np.zeros(x.shape, bool)
    for at, j in by_entry.items():
        wrong[at] = j.verdict == "differs"
        if j.verdict != "inconclusive":
            measured[at] = j.measured.value / sizes(x)[at]
    _, zero = pull(subject, subject.leaves(), {name: np.zeros_like(a) for name, a in point.vs.items()})
    unknown = np.full_like(x, np.nan)
    if v.shape != x.shape:
        return Evidence(x, point.gradients[output][k], measured, wrong, zero[output][k], unknown, unknown, unknown)
    own = own_slopes(point, k, output, list(by_entry))
    return Evidence(x, point.gradients[output][k], measured, wrong, zero[output][k], own, point.values[output], v)


def own_slopes(point: Point, k: int, output: str, entries: list[Index]) -> Array:
    """∂yᵢ/∂xᵢ at the entries, where the output has the shape of leaf k; else NaN."""
    found = np.full_like(point.subject.arrays[k], np.nan)
    for at in entries:
        step, ends = 1e-5 * sizes(point.subject.arrays[k])[at], []
        for sign in (1, -1):
            arrays = point.subject.copies()
            arrays[k][at] += sign * step
            ends.append(point.subject.outputs(point.subject.leaves(arrays))[output].array[at])
        found[at] = (ends[0] - ends[1]) / (2 * step)
    return found


def table(e: Evidence) -> Told:
    """Of a function of each entry alone: its derivative at some points, free of the cotangent, as given and as measured."""
    if not e.pointwise():
        return []
    _, order = np.unique(e.x + 0.0, return_index=True)  # one row for a number, in their order
    known = order[np.isfinite(e.measured.ravel()[order])]
    chosen = known[np.unique(np.linspace(0, len(known) - 1, 5).astype(int))]
    rows = zip(*(a.ravel()[chosen] for a in (e.x, e.given / e.v, e.measured / e.v)), strict=True)
    lines = [f"{x:<12.5g}{given:<12.5g}{measured:.5g}" for x, given, measured in rows]
    return [("f′(x)", f"{'x':<12}{'yours':<12}measured"), *(("", " " * 11 + line) for line in lines)]
