"""What operations mean, in plain NumPy or by loops over single numbers. `kernel_cases` has the loops of the image operations."""

import itertools
import math
import string

import kernel_cases as loops
import numpy as np


def each(f):
    """A function of one number, applied to each entry."""
    return lambda x, **options: np.array([f(v, **options) for v in x.ravel().tolist()], dtype=float).reshape(x.shape)


def softplus(x, beta=1.0, threshold=20.0):
    return x if beta * x > threshold else math.log1p(math.exp(beta * x)) / beta


def gelu(x, approximate="none"):
    inner = math.erf(x / math.sqrt(2)) if approximate == "none" else math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return 0.5 * x * (1 + inner)


def leaky_relu(x, negative_slope=0.01):
    return np.where(x > 0, 1, negative_slope) * x


def clip(x, low, high):
    above = x if low is None else np.where(x < low, low, x)
    return above if high is None else np.where(above > high, high, above)


# Reductions


def reduction(f):
    """A reduction of NumPy under PyTorch's names: `dim` for axis, `keepdim` for keepdims."""

    def named(x, *more, dim=None, keepdim=False, **options):
        if x.ndim == 0:
            return np.reshape(f(x.reshape(1), *more, axis=0, keepdims=False, **options), ())
        return f(x, *more, axis=dim, keepdims=keepdim, **options)

    return named


def extreme(best, place):
    """The extreme of all entries, or, with dim, the extremes along it and their places."""
    value, index = reduction(best), reduction(place)
    return lambda x, dim=None, **keep: best(x) if dim is None else [value(x, dim=dim, **keep), index(x, dim=dim, **keep)]


def mean(x, axis, keepdims):
    return np.sum(x, axis=axis, keepdims=keepdims) / np.sum(np.ones_like(x), axis=axis, keepdims=keepdims)


def variance(x, axis, keepdims, correction=1):
    total, squares, n = (np.sum(a, axis=axis, keepdims=keepdims) for a in (x, x * x, np.ones_like(x)))
    return (squares - total**2 / n) / np.maximum(n - correction, 0)


def deviation(x, axis, keepdims, correction=1):
    return np.sqrt(variance(x, axis, keepdims, correction))


def logsumexp(x, axis, keepdims):
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


def norm(x, p, axis, keepdims):
    if p == 0:
        return np.sum(x != 0, axis=axis, keepdims=keepdims).astype(x.dtype)
    if math.isinf(p):
        return (np.max if p > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    return np.sum(np.abs(x) ** p, axis=axis, keepdims=keepdims) ** (1 / p)


def softmax(x, dim):
    e = np.exp(x)
    return e / e.sum(axis=dim, keepdims=True) if x.ndim else np.ones(())


# Shapes


def flatten(x, first=0, last=-1):
    last %= max(x.ndim, 1)
    return x.reshape(*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :])


def squeeze(x, dim=None):
    dims = range(x.ndim) if dim is None else {d % max(x.ndim, 1) for d in np.atleast_1d(dim)}
    return x.reshape([n for i, n in enumerate(x.shape) if n != 1 or i not in dims])


def expand(x, sizes):
    old = (1,) * (len(sizes) - x.ndim) + x.shape
    return x * np.ones([n if s == -1 else s for n, s in zip(old, sizes)])


def split(x, sections, dim):
    n = x.shape[dim]
    sizes = ([min(sections, n - i) for i in range(0, n, sections)] or [0]) if isinstance(sections, int) else sections
    return np.split(x, np.cumsum(sizes)[:-1], axis=dim)


def pad(x, widths, value):
    before, after = ([0] * (x.ndim - len(widths) // 2) + list(widths[k::2])[::-1] for k in (0, 1))
    y = np.full([n + a + b for n, a, b in zip(x.shape, before, after)], value)
    for at in np.ndindex(y.shape):
        source = tuple(i - b for i, b in zip(at, before))
        if all(0 <= i < n for i, n in zip(source, x.shape)):
            y[at] = x[source]
    return y


# Products


def einsum(equation, *operands):
    """The sum, over all values of all indices that are not in the output, of the products of entries."""
    left, arrow, output = equation.partition("->")
    terms = left.split(",")
    widths = [x.ndim - len(t) + 3 if "..." in t else 0 for t, x in zip(terms, operands)]
    dots = "".join(c for c in string.ascii_letters if c not in equation)[: max(widths)]
    if not arrow:
        output = "..." + "".join(sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1))
    terms = [t.replace("...", dots[len(dots) - n :]) for t, n in zip(terms, widths)]
    output = output.replace("...", dots)
    sizes = {}
    for c, n in itertools.chain(*(zip(t, x.shape) for t, x in zip(terms, operands))):
        sizes[c] = n if sizes.get(c, 1) == 1 else sizes[c]
    y = np.zeros([sizes[c] for c in output])
    for values in itertools.product(*map(range, sizes.values())):
        at = dict(zip(sizes, values))
        factors = [x[tuple(at[c] if n > 1 else 0 for c, n in zip(t, x.shape))] for t, x in zip(terms, operands)]
        y[tuple(at[c] for c in output)] += math.prod(factors)
    return y


def matmul(a, b):
    """A vector is a row on the left, a column on the right."""
    left, right = ("j" if x.ndim == 1 else term for x, term in ((a, "...ij"), (b, "...jk")))
    output = "..." * (a.ndim > 1 or b.ndim > 1) + "i" * (a.ndim > 1) + "k" * (b.ndim > 1)
    return einsum(f"{left},{right}->{output}", a, b)


def linear(x, w, b=None):
    return einsum("...i,oi->...o", x, w) + (0 if b is None else b)


# Losses


def summary(losses, reduction="mean", count=None):
    if reduction == "none":
        return losses
    return losses.sum() / (1 if reduction == "sum" else np.float64(losses.size if count is None else count))


def distance(f):
    return lambda x, y, reduction, **options: summary(f(x - y, **options), reduction)


def huber(d, delta):
    return np.where(np.abs(d) <= delta, d * d / 2, delta * (np.abs(d) - delta / 2))


def smooth_l1(d, beta):
    return np.where(np.abs(d) < beta, d * d / 2 / (beta or 1), np.abs(d) - beta / 2)


def kl_div(x, t, log_target, reduction):
    losses = np.exp(t) * (t - x) if log_target else np.where(t > 0, t * np.log(np.where(t > 0, t, 1)), 0) - t * x
    return losses.sum() / np.float64(len(x) if x.ndim else 1) if reduction == "batchmean" else summary(losses, reduction)


def bernoulli(p, y, weight, reduction):
    losses = -(y * np.maximum(np.log(p), -100) + (1 - y) * np.maximum(np.log(1 - p), -100))
    return summary(losses if weight is None else losses * weight, reduction)


def bernoulli_logits(x, y, weight, reduction, pos_weight):
    p = 1 / (1 + np.exp(-x))
    losses = -((1 if pos_weight is None else pos_weight) * y * np.log(p) + (1 - y) * np.log(1 - p))
    return summary(losses if weight is None else losses * weight, reduction)


def rows(x):
    """(N, C, …) or (C) → (N, …, C): the classes last."""
    return np.moveaxis(x, min(1, x.ndim - 1), -1)


def nll_loss(x, target, weight=None, ignore_index=-100, reduction="mean"):
    x, losses, count = rows(x), np.zeros(target.shape), 0.0
    for at in np.ndindex(target.shape):
        if target[at] != ignore_index:
            w = 1.0 if weight is None else weight[target[at]]
            losses[at], count = -w * x[at][target[at]], count + w
    return summary(losses, reduction, count)


def attention(Q, K, V, attn_mask=None, is_causal=False):
    """Query by query: the values in the proportion of e^{score}."""
    looks = np.ones((Q.shape[-2], K.shape[-2]), dtype=bool)
    if is_causal:
        looks = np.array([[j <= i for j in range(K.shape[-2])] for i in range(Q.shape[-2])])
    elif attn_mask is not None and attn_mask.dtype == bool:
        looks = attn_mask
    added = attn_mask if attn_mask is not None and attn_mask.dtype != bool else np.zeros(looks.shape)
    y = np.zeros((*Q.shape[:-1], V.shape[-1]))
    for at in np.ndindex(Q.shape[:-2]):
        for i, q in enumerate(Q[at]):
            e = [math.exp(q @ k / math.sqrt(len(q)) + m) * on for k, m, on in zip(K[at], added[i], looks[i], strict=True)]
            y[(*at, i)] = sum(share * v for share, v in zip(e, V[at], strict=True)) / math.fsum(e)
    return y


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """Sample by sample, class by class."""
    x, C = rows(x), rows(x).shape[-1]
    soft, w = target.dtype.kind == "f", np.ones(C) if weight is None else weight
    target = rows(target) if soft else target
    losses, count = np.zeros(x.shape[:-1]), 0.0
    for at in np.ndindex(losses.shape):
        if soft or target[at] != ignore_index:
            log_p = x[at] - math.log(math.fsum(map(math.exp, x[at])))
            q = (1 - label_smoothing) * (target[at] if soft else np.arange(C) == target[at]) + label_smoothing / C
            losses[at] = -math.fsum(w[c] * q[c] * log_p[c] for c in range(C))
            count += 1.0 if soft else w[target[at]]
    return summary(losses, reduction, count)


# Images and normalisation, under the names of the operations


def pair(n):
    return (n, n) if isinstance(n, int) else tuple(n)


def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    reach = [e * (k - 1) for e, k in zip(pair(dilation), w.shape[2:])]
    padding = (
        {"valid": (0, 0), "same": tuple(r // 2 for r in reach)}.get(padding) if isinstance(padding, str) else pair(padding)
    )
    return loops.naive_conv2d(x, w, b, pair(stride), padding, pair(dilation), groups)


def conv_transpose2d(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    return loops.naive_conv_transpose2d(x, w, b, pair(stride), pair(padding), pair(output_padding), groups, pair(dilation))


def max_pool2d(x, kernel, stride=None, padding=0):
    return loops.naive_pool(x, pair(kernel), pair(kernel if stride is None else stride), pair(padding), max)


def avg_pool2d(x, kernel, stride=None, padding=0, count_include_pad=True):
    stride = kernel if stride is None else stride
    return loops.naive_avg_pool2d(x, pair(kernel), pair(stride), pair(padding), count_include_pad)


def adaptive_avg_pool2d(x, size):
    return loops.naive_adaptive_avg_pool2d(x, pair(size))


def interpolate(x, size=None, scale_factor=1):
    size = [int(n * f) for n, f in zip(x.shape[2:], np.broadcast_to(scale_factor, 2))] if size is None else pair(size)
    return loops.naive_upsample_nearest2d(x, size)


def batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, eps=1e-5):
    if training:
        return loops.naive_batch_norm(x, weight, bias, eps)[0]
    return loops.naive_batch_norm_eval(x, running_mean, running_var, weight, bias, eps)


def layer_norm(x, shape, w, b, eps):
    return loops.naive_layer_norm(x, w, b, len(shape), eps)


def group_norm(x, groups, w, b, eps):
    return loops.naive_group_norm(x, w, b, groups, eps)
