"""What an argument is where it is not given: as in PyTorch, for every layer, loss, function, optimiser, schedule and initialiser."""

import inspect

import pytest

import minimtl.nn.functional as F
from minimtl import nn, optim
from minimtl.nn import init, utils
from minimtl.optim import lr_scheduler

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle

PLACES = {
    "nn": (nn, torch.nn), "nn.functional": (F, torch.nn.functional), "nn.init": (init, torch.nn.init),
    "nn.utils": (utils, torch.nn.utils), "optim": (optim, torch.optim), "lr_scheduler": (lr_scheduler, torch.optim.lr_scheduler),
}  # fmt: skip
NONE_MEANS = {("ModuleList", "modules"): (), ("pad", "value"): 0.0}  # what PyTorch's None stands for


def defaults(f):
    """argument → default; nothing where Python does not know the signature."""
    try:
        parameters = inspect.signature(f).parameters
    except (TypeError, ValueError):
        return {}
    return {name: p.default for name, p in parameters.items() if p.default is not p.empty}


NAMES = [
    (place, name)
    for place, (ours, theirs) in PLACES.items()
    for name, f in vars(ours).items()
    if callable(f) and not name.startswith("_") and hasattr(theirs, name)
]


@pytest.mark.parametrize(("place", "name"), NAMES)
def test_defaults_are_pytorchs(place, name):
    own, wanted = (defaults(getattr(library, name)) for library in PLACES[place])
    for argument in set(own) & set(wanted):
        theirs = NONE_MEANS.get((name, argument), wanted[argument])
        theirs = getattr(theirs, "__name__", theirs)  # a function, for which we take its name
        assert own[argument] == theirs, f"{name}: {argument} is {own[argument]}, PyTorch's {theirs}"


def test_there_are_many():
    assert len(NAMES) > 60
