"""Arguments for products, losses, image operations and normalisations; `draws` says how numbers and options are drawn."""

import numpy as np
from draws import Call, call

from minimtl.testing import strategies

REDUCTIONS = ("mean", "sum", "none")
EQUATIONS = (
    "ij,jk->ik",
    "bij,bjk->bik",
    "ij,ij->",  # a product summed whole
    "i,j->ij",
    "i,i",
    "ij->ji",
    "ij->j",  # an index that stands in one operand alone
    "ijk->",
    "ij,k->k",
    "ii->i",  # a diagonal
    "ii",  # a trace
    "iij->j",
    "iji,j->ij",
    "ij,jj->i",
    "...ij,...jk->...ik",
    "...i,...i->...",
    "i...,ij->j...",
    "...,...",
    "...i->i",  # the axes of … are summed too
    "b...,b...->b",
    "ij,jk,kl->il",
    "bA,Ac",  # no arrow: letters in order, capitals first
    "nc,nc,c->n",
    "i,ij,j->",
)

# Products


def product(d):
    """Matrices with broadcasting leading axes, or a vector on either side, or on both."""
    n, m, p = (d.of(2, 3, 1, 0) for _ in range(3))
    front, back = d.shapes(2)
    front, back = front[:2], back[len(back) - min(len(back), 2) :] if front[:2] == () else front[:2]
    left, right = d.of(((n, m), (m, p)), ((n, m), (m, p)), ((m,), (m, p)), ((n, m), (m,)), ((m,), (m,)))
    if len(left) == 2:
        left = (*(1 if d.of(False, False, True) else k for k in front), *left)
    if len(right) == 2:
        right = (*back, *right)[d.of(0, 0, 1) if back else 0 :]
    return call(*d.arrays(left, right))


def weighing(d):
    """(…, I), (O, I), and perhaps (O)."""
    I, O = d.of(3, 1, 2, 0), d.of(2, 1, 4, 0)
    x, w, b = d.arrays((*d.shape(0, 2), I), (O, I), (O,))
    return call(x, w, *d.of((), (b,), (None,)))


def attended(d):
    """Queries, keys and values under leading axes; no mask, one of numbers, one of booleans, or a causal one."""
    A, B, E, V = (d.of(2, 3, 1) for _ in range(4))
    front = d.shape(0, 2, least=1)
    q, k, v = d.arrays((*front, A, E), (*front, B, E), (*front, B, V))
    looks = d.mask(A, B)
    looks[:, 0] = True  # a query that may look nowhere has no value
    return call(q, k, v, **d.of({}, {"attn_mask": d.array(A, B)}, {"attn_mask": looks}, {"is_causal": True}))


def well_conditioned(d):
    """A matrix whose singular values are apart from 0."""
    n, m = d.of(1, 2, 3), d.of(3, 4)
    return call(0.2 * d.array(n, m) + np.eye(n, m) * np.arange(1, n + 1)[:, None])


def contraction(d):
    """An equation, and operands whose axes are now and then 1 where another operand's are longer."""
    equation = d.of(*EQUATIONS)
    lengths = {letter: 0 if d.now_and_then(0.05) else d.of(2, 3, 1, 4) for letter in sorted(set(equation)) if letter.isalpha()}
    ellipsis = d.shape(0, 2)
    shapes = []
    for term in equation.split("->")[0].split(","):
        letters = term.replace("...", "")
        sizes = {i: 1 if letters.count(i) == 1 and d.rng.random() < 0.1 else lengths[i] for i in letters}
        before, dots, after = term.partition("...")
        more = ellipsis[d.integer(0, len(ellipsis)) :] if dots else ()
        shapes.append((*(sizes[i] for i in before), *more, *(sizes[i] for i in after)))
    return call(equation, *d.arrays(*shapes))


# Losses


def distances(d, **options):
    """Two tensors of one shape, whose differences are spaced or tied."""
    x, difference = d.arrays(*[d.shape()] * 2)
    return call(x, x - difference, reduction=d.of(*REDUCTIONS), **options)


def huber(d):
    return distances(d, delta=d.of(0.5, 1.0, 2))


def smooth_l1(d):
    return distances(d, beta=d.of(0.5, 1.0, 2, 0))


def divergences(d):
    """Log-probabilities, and probabilities or their logarithms."""
    (x, t), options = distances(d)
    log_target = d.of(False, True)
    kept = t if log_target else np.abs(t) + 0.25
    return call(x, kept, log_target=log_target, reduction=d.of("batchmean", options["reduction"]))


def bernoulli(d):
    shape = d.shape()
    weight = d.of(None, d.positive(*shape[1:]), d.positive(*shape))
    return call(d.probabilities(*shape), d.probabilities(*shape), weight=weight, reduction=d.of(*REDUCTIONS))


def bernoulli_logits(d):
    (_, y), options = bernoulli(d)
    pos_weight = d.of(None, d.positive(*y.shape[-1:]))
    return call(d.array(*y.shape), y, pos_weight=pos_weight, **options)


def classes(d):
    """Logits (N, C, …) or (C), the shape of their labels, and C."""
    C, more = d.of(3, 1, 4), d.of((), (), (2,), (2, 3))
    shape, wanted = ((C,), ()) if d.of(False, False, True) else ((N := d.of(2, 3, 1, 0), C, *more), (N, *more))
    return d.array(*shape), wanted, C


def labelled(d):
    """Integer labels, of which some are ignored; class weights."""
    x, wanted, C = classes(d)
    labels, options = d.indices(C, *wanted), {"reduction": d.of(*REDUCTIONS)}
    if d.of(False, True):
        options["weight"] = np.abs(d.array(C)) + 0.1
    if d.of(False, True):
        options["ignore_index"] = ignored = d.of(-100, 0, 255)
        labels = np.where(d.mask(*wanted), ignored, labels)
    return call(x, labels, **options)


def smoothly_labelled(d):
    args, options = labelled(d)
    return Call(args, options | d.of({}, {"label_smoothing": 0.1}, {"label_smoothing": 1.0}))


def softly_labelled(d):
    """Probabilities for labels."""
    x, _, C = classes(d)
    options = d.of({}, {"label_smoothing": 0.2}) | d.of({}, {"weight": np.abs(d.array(C)) + 0.1})
    return call(x, d.distributions(*x.shape), reduction=d.of(*REDUCTIONS), **options)


# Images


def spelled(d, pair):
    """A pair of sizes as it is written: one number for both where they agree, a tuple or a list."""
    return d.of(pair, list(pair), pair[0] if pair[0] == pair[1] else pair)


def pair(d, low, high):
    return (d.integer(low, high), d.integer(low, high))


def layer(d, cases):
    """The arguments of a layer: its geometry from the strategy, its numbers this Draw's, None or nothing for a missing bias."""
    case = d.draw(cases)
    x, w, *b = d.arrays(*[t.shape for t in case.tensors])
    spelt = {name: spelled(d, value) if isinstance(value, tuple) else value for name, value in case.options.items()}
    return call(x, w, *b, *([None] if not b and d.of(False, True) else []), **spelt)


def convolution(d):
    """Now and then a padding by name: "same" needs odd kernels here and stride 1, "valid" any image as large as the kernel."""
    if d.of(True, True, True, False):
        return layer(d, strategies.convolutions())
    kernel = d.of((3, 3), (1, 3), (1, 1))
    x, w = d.arrays((2, 2, *(k + d.integer(0, 3) for k in kernel)), (3, 2, *kernel))
    return call(x, w, padding=d.of("same", "valid"))


def transposed_convolution(d):
    return layer(d, strategies.transposed_convolutions())


def windows(d, average=False):
    """Images, kernel, perhaps stride, padding."""
    case = d.draw(strategies.poolings(average))
    x, options = d.array(*case.tensors[0].shape), dict(case.options)
    kernel, stride = (spelled(d, options.pop(name)) for name in ("kernel_size", "stride"))
    default = case.options["kernel_size"] == case.options["stride"]
    return call(
        x, kernel, *d.of((), (None,)) if default else (stride,), **options | {"padding": spelled(d, options["padding"])}
    )


def mean_windows(d):
    return windows(d, average=True)


def adapted(d):
    return call(d.array(d.of(2, 1, 0), d.of(2, 1), *pair(d, 1, 7)), spelled(d, pair(d, 1, 8)))


def resized(d):
    x = d.array(d.of(2, 1, 0), d.of(2, 1), *pair(d, 1, 7))
    factors = d.of(2, 3.0, (2, 1), (1.0, 3), 1.5, (0.5, 1.7))
    small = min(int(n * f) for n, f in zip(x.shape[2:], np.broadcast_to(factors, 2)))
    return call(x, scale_factor=factors) if small and d.of(True, False) else call(x, spelled(d, pair(d, 1, 12)))


# Normalisations


def channels(d):
    """(N, C, …) with more than one number in each channel, and for w and b each (C), or None."""
    shape = (d.of(3, 2, 4), d.of(2, 3, 1, 4), *d.shape(0, 2, 1))
    return d.array(*shape), *scales(d, shape[1:2])


def scales(d, shape):
    w, b = d.arrays(shape, shape)
    return d.of(w, None), d.of(b, None)


def batch_statistics(d):
    x, w, b = channels(d)
    return call(x, None, None, weight=w, bias=b, training=True, eps=d.of(1e-5, 0.1))


def given_statistics(d):
    x, w, b = channels(d)
    mean, var = d.array(x.shape[1]), np.abs(d.array(x.shape[1]))
    return call(d.of(x, x[:0]), running_mean=mean, running_var=var, weight=w, bias=b, eps=d.of(1e-5, 0.1))


def last_axes(d):
    shape = d.shape(1, 3, 2)
    last = shape[len(shape) - d.integer(1, len(shape)) :]
    return call(d.array(*d.of((), (2,), (1, 3), (0,)), *shape), last, *scales(d, last), d.of(1e-5, 0.1))


def groups(d):
    G, more = d.of(2, 1, 3), d.shape(0, 2, 1)
    C = G * d.of(2, 1, 3)
    w, b = d.of((None, None), d.arrays((C,), (C,)))  # PyTorch's derivative fails for b without w
    return call(d.array(d.of(2, 1, 0), C, *more, 2), G, w, b, d.of(1e-5, 0.1))
