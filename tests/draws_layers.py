"""Arguments for products, losses, image operations and normalisations; `draws` says how numbers and options are drawn."""

import numpy as np
from draws import Call, call

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


def framed_images(d, kernel, padding, dilation=(1, 1)):
    """Sizes (H, W) into which at least one window fits."""
    return [max(1, e * (k - 1) + 1 - 2 * p) + d.integer(0, 4) for k, p, e in zip(kernel, padding, dilation)]


def filters(d):
    """N, groups, channels of a group in and out, kernel, stride, padding, dilation."""
    return d.of(2, 1, 3, 0), d.of(1, 2, 3), d.of(1, 2), d.of(2, 1), pair(d, 1, 3), pair(d, 1, 3), pair(d, 0, 2), pair(d, 1, 2)


def convolution(d):
    N, groups, C, F, kernel, stride, padding, dilation = filters(d)
    named = d.of(False, False, False, True)
    if named:  # "same" needs odd kernels here and stride 1, "valid" an image as large as the kernel
        kernel, stride, padding = d.of((3, 3), (1, 3), (1, 1)), (1, 1), (0, 0)
    H, W = framed_images(d, kernel, padding, dilation)
    x, w, b = d.arrays((N, groups * C, H, W), (groups * F, C, *kernel), (groups * F,))
    options = {"padding": d.of("same", "valid")} if named else {"padding": spelled(d, padding), "stride": spelled(d, stride)}
    return call(x, w, *d.of((b,), (None,), ()), dilation=spelled(d, dilation), groups=groups, **options)


def transposed_convolution(d):
    N, groups, C, F, kernel, stride, padding, dilation = filters(d)
    extra = tuple(d.integer(0, max(s, e) - 1) for s, e in zip(stride, dilation))
    size = [
        max(1, -(-(2 * p - e * (k - 1) - o) // s) + 1) + d.integer(0, 3)
        for k, s, p, e, o in zip(kernel, stride, padding, dilation, extra)
    ]
    x, w, b = d.arrays((N, groups * C, *size), (groups * C, F, *kernel), (groups * F,))
    options = {"output_padding": extra, "padding": spelled(d, padding), "dilation": spelled(d, dilation)}
    return call(x, w, *d.of((b,), (None,), ()), stride=spelled(d, stride), groups=groups, **options)


def windows(d):
    """Images, kernel, perhaps stride and padding."""
    kernel = pair(d, 1, 3)
    padding = tuple(d.integer(0, k // 2) for k in kernel)
    x = d.array(d.of(2, 1, 0), d.of(2, 1, 3), *framed_images(d, kernel, padding))
    return call(x, spelled(d, kernel), *d.of((), (None,), (spelled(d, pair(d, 1, 3)),)), padding=spelled(d, padding))


def mean_windows(d):
    args, options = windows(d)
    return Call(args, options | {"count_include_pad": d.of(True, False)})


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
