"""Every layer and every loss of the table: its gradients, by inputs and by parameters; and that none is missing in the table."""

import numpy as np
import pytest
from layers import LAYERS, LOSSES, weights

import minimtl as mm
from minimtl import nn
from minimtl.testing import gradcheck, gradcheck_module

CONTAINERS = {"Module", "Sequential", "ModuleList", "ModuleDict"}


def test_every_public_layer_and_loss_has_a_row():
    public = {name for name, kind in vars(nn).items() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    of_three = {"MultiheadAttention"}  # see test_attention.py
    assert {row.split()[0] for row in [*LAYERS, *LOSSES]} - {"Sequential"} == public - CONTAINERS - of_three


def spaced_apart(shape, rng):
    """Numbers away from 0 and from each other, so that no step crosses a kink or exchanges the largest of a window."""
    n = int(np.prod(shape))
    return mm.tensor(((rng.permutation(n) - n // 2 + 0.5) / 8).reshape(shape))


def drawn(module, rng):
    """The module with numbers of its own in every parameter: weights of 1 and biases of 0 hide mistakes."""
    for p in module.parameters():
        p.data = p.detach() + mm.tensor(0.1 * rng.normal(size=p.shape).astype("float32"))
    return module


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS.keys())
def test_gradients_of_a_layer(make, shape, training):
    rng = np.random.default_rng(0)
    layer = drawn(make(nn), rng).train(training)
    before = {name: t.array.tobytes() for name, t in layer.state_dict().items()}
    x = mm.tensor(rng.integers(0, 5, shape)) if isinstance(layer, nn.Embedding) else spaced_apart(shape, rng)
    report = gradcheck_module(layer, x, mode="full" if training else "auto")
    assert not training or report.measured == sum(p.numel() for p in layer.parameters()) + (
        x.numel() if x.dtype.kind == "f" else 0
    )
    assert before == {name: t.array.tobytes() for name, t in layer.state_dict().items()}


@pytest.mark.parametrize("p", [0.3, 0.8])
def test_gradients_of_dropout_with_the_mask_repeated(p):
    x = spaced_apart((5, 4), np.random.default_rng(0))
    assert gradcheck_module(nn.Dropout(p), x)
    assert gradcheck_module(nn.Dropout(p, generator=mm.Generator(3)), x)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("make", "input", "target"), LOSSES.values(), ids=LOSSES.keys())
def test_gradients_of_a_loss(make, input, target, reduction):
    loss = make(nn, mm.tensor(weights), reduction)
    gradcheck(lambda x: loss(x, mm.tensor(target)), input, mode="full")
