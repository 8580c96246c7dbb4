"""minimtl agrees with a forward-mode engine on random graphs; and errors planted in it are found that way."""

import inspect
import sys
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from random_graphs import Graphs

import minimtl as mm
from minimtl import autograd, graph, methods, ops

TestGraphs = Graphs.TestCase
TestGraphs.settings = steps = settings(stateful_step_count=30, suppress_health_check=[HealthCheck.too_slow])

# Where, the line as it is, and as it might have been
ERRORS = {
    "the last to arrive wins": (graph, "add", "grads[target] + g", "g"),
    "summed into a shared array": (
        graph, "add", "grads[target] + g", "np.add(g, s := grads[target], out=s if s.flags.writeable else None)",
    ),
    "summed in float32": (graph, "add", "grads[target] + g", "(grads[target] + g).astype('float32')"),
    "never retained": (graph, "pull_back", "if not retain_graph:", "if True:"),
    "never released": (graph, "pull_back", "if not retain_graph:", "if False:"),
    "first made first": (graph, "pull_back", "edges_of.popitem()", "(node := next(iter(edges_of))), edges_of.pop(node)"),
    "in the order of names": (graph, "reachable", "node.number)", "(node.name, node.number))"),
    "wanted and lost": (graph, "pull_back", "grads[node] if wanted and node in wanted else grads.pop(node)", "grads.pop(node)"),
    "released means empty": (graph, "reachable", "stack.pop().edges", "stack.pop().edges or ()"),
    "everything is wanted": (graph, "leading", " if edge[0] in lead", ""),
    "only the last step is wanted": (graph, "leading", "lead.add(node)", "pass"),
    "nothing is checked": (graph, "pull_back", "node.check()", "pass"),
    "one write is free": (graph.Node, "check", "version.count != seen", "version.count > seen + 1"),
    "the result is not guarded": (graph.Node, "__init__", "in versions", "in list(versions)[1:]"),
    "a function in a map is not searched": (graph, "captured", "id(item) not in seen", "not seen"),
    "writes are not counted": (methods.Methods, "_written", "self._version.count += 1", "pass"),
    "views count alone": (autograd, "_shown", "new._version = t._version", "pass"),
    "detached tensors count alone": (mm.Tensor, "detach", "result._version = self._version", "pass"),
    "not accumulated": (mm.Tensor, "backward", "leaf.grad.array + g", "g"),
    "frozen too late": (mm.Tensor, "backward", " and x._requires_grad", ""),
    "one gradient for two leaves": (autograd, "_exclusive", "return g.copy()", "return g"),
    "a read-only gradient": (autograd, "_exclusive", " or is_read_only(g)", ""),
    "the first of those repeated": (autograd, "_fitted", "unbroadcast(", "np.resize("),
    "one seed for an output given twice": (autograd, "_seeds", "add(seeds, y._node or y, ", "seeds.__setitem__(y._node or y, "),
    "unused or not": (autograd, "grad", "if unused and not allow_unused:", "if False:"),
    "recorded under no_grad": (mm.no_grad, "__enter__", "recording.set(self.records)", "pass"),
    "a sign": (ops, "mul", "lambda G: G * a", "lambda G: -G * a"),
    "a map that writes to its gradient": (
        ops, "neg", "lambda G: -G", "lambda G: np.negative(G, out=G if G.flags.writeable else None)",
    ),
    "an operation that writes to its argument": (ops, "relu", "np.maximum(x, 0)", "np.maximum(x, 0, out=x)"),
}  # fmt: skip


def plant(monkeypatch, place, name, right, wrong):
    """Put the function with the wrong line wherever the engine knows it by its name."""
    function = vars(place)[name]
    source = dedent(inspect.getsource(function))
    assert source.count(right) == 1, f"{name} has changed: plant the error in the new line"
    scope = dict(vars(sys.modules[function.__module__]))
    scope["equation"] = lambda *_, **__: lambda f: f  # its formulas name the right function
    exec(source.replace(right, wrong), scope)
    for holder in {place, *(module for key, module in sys.modules.items() if key.startswith("minimtl"))}:
        if vars(holder).get(name) is function:
            monkeypatch.setattr(holder, name, scope[name])


RARE = {"a map that writes to its gradient", "one seed for an output given twice"}  # found late, in several seconds


@pytest.mark.parametrize(
    "error", [pytest.param(error, marks=[pytest.mark.slow] * (name in RARE), id=name) for name, error in ERRORS.items()]
)
def test_a_planted_error_is_found(error, monkeypatch):
    plant(monkeypatch, *error)
    search = settings(
        steps, max_examples=1000, phases=[Phase.generate], database=None, derandomize=True, report_multiple_bugs=False
    )
    with pytest.raises((AssertionError, KeyError, RuntimeError)):
        run_state_machine_as_test(Graphs, settings=search)
