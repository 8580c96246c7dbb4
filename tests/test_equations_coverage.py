"""The map is complete: what a student may call has an equation, also what is added tomorrow; and it is read where it is said."""

import inspect
import re
import sys

import pytest
from layers import LAYERS, LOSSES, weights

import minimtl as mm
from minimtl import equations, nn, optim
from minimtl.equations.page import anchor, page
from minimtl.nn import init
from minimtl.optim import lr_scheduler
from tests.bench.peers import ROOT

LESSONS = ROOT / "lessons"
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


def runs(f):
    """The mapped functions that run in f."""
    codes, before = set(), sys.getprofile()
    sys.setprofile(lambda frame, event, _: codes.add(frame.f_code) if event == "call" else None)
    try:
        f()
    finally:
        sys.setprofile(before)
    return {e.id for e in equations.all() if inspect.unwrap(e.function).__code__ in codes}


def mapped_with_derivative(ids):
    """Those of the ids of whose family there is a derivative."""
    return {id for id in ids if any(e.id.startswith(f"{id}.vjp") for e in equations.all())}


@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS.keys())
def test_layers_and_their_derivatives_have_equations(make, shape):
    layer, x = make(nn), mm.ones(*shape)
    if isinstance(layer, nn.Dropout):
        layer.p = 0.5
    if isinstance(layer, nn.Embedding):
        x = x.long()
    assert mapped_with_derivative(runs(lambda: layer(x)))


@pytest.mark.parametrize(("make", "x", "y"), LOSSES.values(), ids=LOSSES.keys())
def test_losses_and_their_derivatives_have_equations(make, x, y):
    loss = make(nn, mm.tensor(weights), "mean")
    assert mapped_with_derivative(runs(lambda: loss(mm.tensor(x), mm.tensor(y))))


DOCUMENTS = {
    "mtl.data", "mtl.total_loss", "tl.data", "tl.fine_tune", "mtl.weighted_loss", "mtl.parity", "mtl.regularised_loss",
    "mtl.joint_objective", "tl.delta", "mtl.minibatch", "mtl.own_gradient", "mtl.shared_gradient", "tl.delta_gradient",
}  # fmt: skip
LISTINGS = {
    "nn.linear", "nn.conv2d", "nn.max_pool2d", "nn.avg_pool2d", "nn.adaptive_avg_pool2d", "nn.relu", "nn.softmax",
    "nn.cross_entropy", "nn.soft_cross_entropy", "nn.nll_loss.of_probabilities", "nn.mse_loss", "nn.batch_norm", "nn.dropout",
}  # fmt: skip


def test_what_the_documents_print_and_what_their_listings_use():
    known = {e.id for e in equations.all()}
    assert known >= DOCUMENTS | LISTINGS | {"optim.sgd", "optim.adam"}
    assert mapped_with_derivative(LISTINGS) == LISTINGS


def test_the_share_that_is_evaluated():
    known = equations.all()
    documents = [e for e in known if e.id.startswith(("mtl.", "tl."))]
    assert len(known) - len(documents) >= 60
    assert sum(e.status == "evaluated" for e in known) >= 0.8 * len(known)
    assert {e.status for e in known} <= {"evaluated", "property"}


def test_the_page_is_the_map():
    assert (LESSONS / "EQUATIONS.md").read_text(encoding="utf-8") == page(), (
        "lessons/EQUATIONS.md is out of date: python -m minimtl.equations.page lessons/EQUATIONS.md"
    )


CITED = re.compile(r"`((?:nn|mtl|tl|ops|optim|init|data|metrics)\.[a-z0-9_.A-Z]+?)(?:\.…)?`")


def test_every_equation_is_cited_by_a_lesson():
    """A derivative is cited with its function."""
    text = "".join(path.read_text(encoding="utf-8") for path in LESSONS.glob("[0-9]*.py"))
    missing = {e.id for e in equations.all() if e.id.partition(".vjp")[0] not in CITED.findall(text)}
    assert not missing


@pytest.mark.parametrize("path", sorted(LESSONS.glob("*.md")), ids=lambda path: path.name)
def test_links_to_equations_lead_somewhere(path):
    text, anchors = path.read_text(encoding="utf-8"), {anchor(e.id) for e in equations.all()} | {"letters"}
    links = re.findall(r"(?:EQUATIONS\.md|\]\()#([a-z0-9_-]+)\)", text) if path.name == "EQUATIONS.md" else []
    links += re.findall(r"EQUATIONS\.md#([a-z0-9_-]+)", text)
    sections = {anchor(heading) for heading in re.findall(r"^#+ (.*)$", text, re.M)}
    assert set(links) <= anchors | sections


@pytest.mark.parametrize("path", sorted(LESSONS.glob("*.*")), ids=lambda path: path.name)
def test_ids_that_are_cited_exist(path):
    if path.suffix not in (".md", ".py"):
        return
    known = {e.id for e in equations.all()}
    for id in CITED.findall(path.read_text(encoding="utf-8")):
        names = id.split(".")
        assert id in known or hasattr(getattr(mm, names[0], None), names[1]), f"{path.name} cites {id}"


def test_all_are_found():
    assert {optim.SGD, optim.AdamW} <= set(RULES)
    assert {lr_scheduler.StepLR, lr_scheduler.ReduceLROnPlateau} <= set(SCHEDULES)
    assert {init.uniform_, init.kaiming_normal_} <= set(INITIALISERS)
