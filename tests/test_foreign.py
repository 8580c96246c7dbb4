"""Operations on arrays of another library: every NumPy function they use dispatches, forward and backward, as on a GPU."""

import numpy as np
import pytest
from foreign import Foreign

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import nn, optim

R = np.random.default_rng(0)
X, IMAGES, W, LABELS = R.standard_normal((4, 5)), R.standard_normal((2, 3, 8, 8)), R.standard_normal((4, 3, 3, 3)), np.arange(4)


def T(a, requires_grad=True):
    return mm.Tensor(Foreign(np.array(a)), requires_grad and np.asarray(a).dtype.kind == "f")


def constant(a):
    return T(a, requires_grad=False)


CASES = {
    "arithmetic": lambda: 2.0 * T(X) / 3 - T(X) ** 2 + T(X).maximum(T(X[:1])) + T(X) % 2.0,
    "where": lambda: mm.where(T(X) > 0, T(X), 0.0),
    "clip": lambda: T(X).clip(-1, 1),
    "elementwise": lambda: T(X).exp().sqrt().log().sin().tanh().sigmoid(),
    "activations": lambda: F.gelu(F.softplus(F.leaky_relu(F.relu(T(X))))),
    "sums": lambda: T(X).sum(1) + T(X).mean() + T(X).var(1) + T(X).std(1) + T(X).norm(dim=1) + T(X).norm(1, 1),
    "extremes": lambda: T(X).max(1).values + T(X).min() + T(X).argmax(1) + T(X).argmin(1),
    "softmax": lambda: T(X).softmax(1) + T(X).log_softmax(1) + T(X).logsumexp(1, keepdim=True),
    "shapes": lambda: T(X).reshape(2, 10).flatten().unsqueeze(0).expand(3, 20).permute(1, 0).squeeze(),
    "joining": lambda: mm.stack([mm.cat([T(X), T(X)])] * 2).split(1)[0],
    "pad": lambda: F.pad(T(X), (1, 1)),
    "slices": lambda: T(X)[1:, None, 2],
    "tensors as indices": lambda: T(X)[constant([0, 0, 1])],
    "a list as index": lambda: T(X)[[0, 1]],
    "a mask as index": lambda: T(X)[T(X) > 0],
    "index_select": lambda: T(X).index_select(0, constant([1, 1])),
    "embedding": lambda: F.embedding(constant(LABELS), T(X)),
    "matmul": lambda: T(X) @ T(X.T) @ T(X) @ T(X[0]) @ T(X[:, 0]),
    "einsum": lambda: mm.einsum("ij,kj->ik", T(X), T(X)),
    "linear": lambda: F.linear(T(X), T(X), T(X[:, 0])),
    "casts": lambda: T(X).float().double(),
    "cross_entropy": lambda: F.cross_entropy(T(X), constant(LABELS), weight=constant(np.ones(5)), label_smoothing=0.1),
    "nll_loss": lambda: F.nll_loss(T(X), constant(LABELS)),
    "mse_loss": lambda: F.mse_loss(T(X), constant(X * 2)) + F.huber_loss(T(X), constant(X * 2)),
    "bce": lambda: F.binary_cross_entropy_with_logits(T(X), constant((X > 0) * 1.0)),
    "kl_div": lambda: F.kl_div(T(X), constant(np.abs(X))),
    "conv2d": lambda: F.conv2d(T(IMAGES), T(W), T(W[:, 0, 0, 0]), padding=1),
    "conv_transpose2d": lambda: F.conv_transpose2d(T(IMAGES), T(W.transpose(1, 0, 2, 3)), stride=2),
    "pooling": lambda: F.max_pool2d(T(IMAGES), 2) + F.avg_pool2d(T(IMAGES), 2) + F.adaptive_avg_pool2d(T(IMAGES), 4),
    "interpolate": lambda: F.interpolate(T(IMAGES), scale_factor=2),
    "batch_norm": lambda: F.batch_norm(
        T(IMAGES), constant(np.zeros(3)), constant(np.ones(3)), T(np.ones(3)), T(np.zeros(3)), training=True
    ),
    "layer_norm": lambda: F.layer_norm(T(X), (5,), T(np.ones(5)), T(np.zeros(5))),
    "group_norm": lambda: F.group_norm(T(IMAGES), 3, T(np.ones(3)), T(np.zeros(3))),
}


@pytest.mark.parametrize("name", CASES)
def test_nothing_leaves_the_other_library(name):
    y = CASES[name]()
    assert isinstance(y.array, Foreign)
    y.backward(mm.Tensor(np.ones_like(y.array)))


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop])
def test_optimisers_and_clipping_stay_there(optimizer):
    p = nn.Parameter(T(X))
    momentum = {"momentum": 0.9} if optimizer in (optim.SGD, optim.RMSprop) else {}
    steps = optimizer([p], lr=0.1, weight_decay=0.1, **momentum)
    for _ in range(2):
        (p * p).sum().backward()
        nn.utils.clip_grad_norm_([p], 1.0)
        steps.step()
    assert isinstance(p.array, Foreign)


def test_the_disguise_is_seen_through_by_no_conversion():
    """What this file would catch: a function that converts, and a mixture of both libraries."""
    with pytest.raises(TypeError):
        np.asarray(Foreign(X))
    with pytest.raises(TypeError, match="met a foreign array"):
        T(X) + mm.Tensor(X)
