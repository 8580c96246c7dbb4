"""The map: every printed formula is evaluated and agrees with the code that it names, and wrong ones are noticed."""

import inspect
import sys
from unicodedata import normalize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimtl.equation import registry
from minimtl.equations.checking import MARGIN, TRIES, Evaluated, checks
from minimtl.equations.draw import Draw
from minimtl.testing.strategies import choices

every_check = pytest.mark.parametrize("check", checks.values(), ids=list(checks))
every_formula = pytest.mark.parametrize("check", [c for c in checks.values() if isinstance(c, Evaluated)], ids=lambda c: c.id)


SEEDS = range(TRIES)  # of the draws that every run makes, beside those of Hypothesis


class Drawn(Draw):
    """A draw whose integers, and so all its numbers, Hypothesis chooses and shrinks."""

    def __init__(self, draw):
        self.draw = draw

    def integers(self, low, high, shape):
        return self.draw(choices(range(low, high + 1), shape))


@st.composite
def draws(draw):
    return Drawn(draw)


def test_every_equation_has_a_check():
    assert set(checks) == set(registry)


@every_check
def test_formula_and_function_agree(check):
    def agree(d):
        error = check.error(d)
        assert error <= check.tolerance, f"{check.id}: formula and function differ by {error:.3g}"

    for seed in SEEDS:
        agree(Draw(seed))
    settings(max_examples=max(1, settings.default.max_examples // 4))(given(draws())(agree))()


@every_check
def test_the_check_runs_the_function_that_the_map_names(check):
    """So what is checked is what the engine calls, and no copy of it."""
    ran, before = set(), sys.getprofile()
    sys.setprofile(lambda frame, event, _: ran.add(frame.f_code) if event == "call" else None)
    try:
        for seed in SEEDS[:3]:
            check.error(Draw(seed))
    finally:
        sys.setprofile(before)
    function = inspect.unwrap(check.equation.function)
    assert function.__code__ in ran, f"{check.id}: {function.__qualname__} does not run"


@every_check
def test_the_map_names_what_is_public(check):
    f = check.equation.function
    found = sys.modules[f.__module__]
    for name in f.__qualname__.split("."):
        found = vars(found)[name]
    assert found is f, f"{check.id}: {f.__module__}.{f.__qualname__} is another function"


@every_check
def test_wrong_ones_are_rejected(check):
    for name, control in check.controls().items():
        assert check.rejects(control), f"{check.id}: the control {name} is not noticed"


@every_formula
def test_a_listed_control_is_a_formula(check):
    """One that the reader refuses, or that leaves where it is defined, would be rejected for nothing."""
    for old, new in check.wrong:
        wrong, least = check.equation.latex.replace(old, new), MARGIN * check.tolerance
        assert any(least <= check.error(Draw(seed), wrong) < np.inf for seed in SEEDS), (
            f"{check.id}: {old} → {new} gives no number"
        )


@every_formula
def test_symbols_are_parameters_and_the_other_way_round(check):
    """Every symbol of the formula is declared: the reader refuses others. Here: every declared one is used."""
    e, used = check.equation, check.formula().used | {s.name for s in check.formula().statements}
    unused = {normalize("NFKC", s) for s in e.own_symbols} - used
    assert not unused, f"{e.id}: {unused} are declared and do not occur"
    known = {"self", *e.parameters, *vars(sys.modules[e.function.__module__])}
    for symbol, target in e.own_symbols.items():
        assert target in known, f"{e.id}: {symbol} stands for {target}, no parameter and no function there"


def test_every_parameter_is_a_symbol():
    for f in {e.function for e in registry.values()}:
        own = [e for e in registry.values() if e.function is f]
        shown = set()
        for e in own:
            if isinstance(check := checks[e.id], Evaluated):
                letters = {s.name for s in check.formula().statements}
                shown |= {e.symbols.get(name, name) for name in check.formula().used | letters}
        unseen = {name for e in own for name in e.unseen}
        assert not unseen & shown, f"{own[0].id}: {unseen & shown} are said not to be shown, and are"
        missing = set(own[0].parameters) - shown - unseen
        assert not missing or not any(e.status == "evaluated" for e in own), (
            f"{own[0].id}: the parameters {missing} have no symbol"
        )


@every_formula
def test_what_stands_on_the_left_is_what_the_shapes_say(check):
    """No evaluation looks at the name on the left."""
    e, name = check.equation, check.formula().statements[0].name
    if e.forward:
        assert name.startswith("dL_d"), f"{e.id}: a derivative begins with ∂L/∂ …"
    elif "→" in e.shapes and not e.id.endswith(".size"):
        assert name == normalize("NFKC", e.shapes.partition("→")[2].split()[0]), f"{e.id}: the result is called {name}"


def words(text):
    return " ".join((text or "").split())


@every_formula
def test_the_docstring_states_the_formula(check):
    said = words(check.equation.function.__doc__)
    for statement in check.formula().statements if check.formula().steps else check.formula().statements[:1]:
        assert words(statement.text) in said, f"{check.id}: the docstring must say  {statement.text}"
