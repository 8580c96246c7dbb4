"""The map is complete: what a student may call has an equation, also what is added tomorrow."""

import inspect

import pytest

from minimtl import equations, optim
from minimtl.nn import init
from minimtl.optim import lr_scheduler

MAPPED = {e.function for e in equations.all()}


def classes(module, base, without=()):
    """The classes of a module that are of the kind `base`, but for itself and those without a rule of their own."""
    found = [c for _, c in inspect.getmembers(module, inspect.isclass) if issubclass(c, base)]
    return [c for c in found if c not in (base, *without)]


RULES = classes(optim, optim.Optimizer)
SCHEDULES = classes(lr_scheduler, lr_scheduler.Schedule, without=[lr_scheduler.LRScheduler])
INITIALISERS = [f for name, f in inspect.getmembers(init, inspect.isfunction) if name.endswith("_")]


@pytest.mark.parametrize("rule", RULES + SCHEDULES, ids=lambda c: c.__name__)
def test_rules_and_schedules_have_an_equation(rule):
    assert MAPPED & set(filter(inspect.isfunction, vars(rule).values())), f"{rule.__name__} has no equation"


@pytest.mark.parametrize("initialiser", INITIALISERS, ids=lambda f: f.__name__)
def test_initialisers_have_an_equation(initialiser):
    assert initialiser in MAPPED, f"{initialiser.__name__} has no equation"


def test_all_are_found():
    assert {optim.SGD, optim.AdamW} <= set(RULES)
    assert {lr_scheduler.StepLR, lr_scheduler.ReduceLROnPlateau} <= set(SCHEDULES)
    assert {init.uniform_, init.kaiming_normal_} <= set(INITIALISERS)
