"""A sign changed in any mapped function or helper of it, in its body or in a default, is noticed by the check of an equation."""

import ast
import copy
import inspect
import sys
import textwrap

import pytest
from test_equations import SEEDS

from minimtl.equation import registry
from minimtl.equations.checking import checks
from minimtl.equations.draw import Draw

# Signs that change nothing: function and expression, and why
EQUIVALENT = {
    ("sum_runs", "stops - starts"): "how many rounds a loop has, of which the last add nothing",
    ("sum_runs", "y[longer] += x[starts[longer] + k]"): "sums along both axes of an image, and so turned round twice",
    ("max_pool2d", "-np.inf"): "in the derivative what pads the image is only compared with y, which it never equals",
}

mapped = {}
for e in registry.values():
    mapped.setdefault(inspect.unwrap(e.function), []).append(e.id)
for e in list(registry.values()):
    for f in e.helpers:  # what it does may show in a derivative alone
        mapped.setdefault(inspect.unwrap(f), []).extend(
            id for id in registry if id.partition(".vjp")[0] == e.id.partition(".vjp")[0]
        )


def flipped(f):
    """The function with each of its signs turned round in turn: the expression, and the function."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(f)))
    definition = tree.body[0]
    definition.decorator_list = []
    for node in ast.walk(definition):
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, (ast.Add, ast.Sub)):
            other = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            other = ast.UAdd()
        else:
            continue
        expression, sign = ast.unparse(node), node.op
        node.op = other
        space = dict(vars(sys.modules[f.__module__]))
        exec(compile(copy.deepcopy(tree), f.__code__.co_filename, "exec"), space)
        node.op = sign
        yield expression, space[f.__name__]


def notices(id):
    check = checks[id]
    try:
        return any(not check.error(Draw(seed)) <= check.tolerance for seed in SEEDS)
    except Exception:
        return True


@pytest.mark.parametrize("f", [f for f in mapped if next(flipped(f), None)], ids=lambda f: mapped[f][-1])
def test_a_sign_is_noticed(f, monkeypatch):
    for expression, wrong in flipped(f):
        with monkeypatch.context() as patch:
            patch.setattr(f, "__code__", wrong.__code__)
            patch.setattr(f, "__defaults__", wrong.__defaults__)
            assert (f.__name__, expression) in EQUIVALENT or any(map(notices, mapped[f])), (
                f"{mapped[f]}: the sign of {expression}"
            )
