"""Normalisation: over a batch, the features of a sample or a group of channels."""

import minimtl.nn.functional as F
from minimtl.autograd import Tensor
from minimtl.equations.checking import Drawn, Values, evaluated, operation
from minimtl.equations.draw import Draw

# ε is as large as the variance, so that it matters whether it stands under the root
MEAN = r"\frac{1}{N} \sum_{n=1}^{N}"
ROOT = (r"\sqrt{\sigma^2_c + \varepsilon}", r"(\sigma^2_c + \varepsilon)")


def channels(d: Draw) -> Values:
    """Numbers in channels, weights and biases, statistics."""
    N, C, S = d.size(2, 3), d.size(1, 2), d.size(1, 3)
    v = {"x": d.distinct(N, C, S), "w": d.positive(C), "b": d.array(C)}
    return {**v, "ε": d.number(0.1, 1), "μ": d.array(C), "σ2": d.positive(C), "m": d.number(0.1, 0.9)}


def batch(d: Draw) -> Values:
    """The same without statistics: they are those of the batch."""
    v = channels(d)
    return {name: v[name] for name in ("x", "w", "b", "ε")}


def grouped(d: Draw) -> Values:
    """Channels in groups."""
    G = d.size(1, 2)
    C = G * d.size(1, 2)
    return {"x": d.distinct(d.size(1, 2), C, d.size(2, 3)), "w": d.positive(C), "b": d.array(C), "ε": d.number(0.1, 1), "G": G}


def features(d: Draw) -> Values:
    """Samples of several features."""
    D = d.size(2, 4)
    return {"x": d.distinct(d.size(1, 3), D), "w": d.positive(D), "b": d.array(D), "ε": d.number(0.1, 1)}


operation(
    "nn.normalise",
    lambda d: {"x": d.distinct(d.size(2, 5)), "ε": d.number(0.1, 1)},
    lambda v: F.layer_norm(v.x, v.x.shape, eps=v.ε),
    {
        "": [(r"\sqrt{\sigma^2 + \varepsilon}", r"(\sqrt{\sigma^2} + \varepsilon)"), (r"(x_j - \mu)^2", "x_j^2")],
        ".vjp": [(r" - \frac{1}{n} \sum_{j=1}^{n} g_j -", " -"), (r"\frac{\hat{x}_i}{n}", r"\hat{x}_i")],
    },
)
operation(
    "nn.batch_norm",
    batch,
    lambda v: F.batch_norm(v.x, None, None, v.w, v.b, training=True, eps=v.ε),
    {
        "": [ROOT, (r"(x_{m,c,r} - \mu_c)^2", r"x_{m,c,r}^2")],
        ".vjp.x": [(r" - \frac{1}{N S} \sum_{m=1}^{N} \sum_{r=1}^{S} g_{m,c,r} ", " "), (r"\frac{\hat{x}_{n,c,s}}{N S}", "0")],
        ".vjp.w": [(r"\sum_{n=1}^{N}", MEAN), (r"g_{n,c,s} \hat{x}_{n,c,s}", r"g_{n,c,s} x_{n,c,s}")],
        ".vjp.b": [(r"\sum_{n=1}^{N}", MEAN)],
    },
)
operation(
    "nn.batch_norm_eval",
    channels,
    lambda v: F.batch_norm(v.x, v.μ, v.σ2, v.w, v.b, training=False, eps=v.ε),
    {
        "": [ROOT],
        ".vjp.x": [ROOT, ("w_c", "1")],
        ".vjp.w": [ROOT, (r"\sum_{n=1}^{N}", MEAN)],
        ".vjp.b": [(r"\sum_{n=1}^{N}", MEAN)],
    },
    constants=("μ", "σ2"),
)
operation(
    "nn.layer_norm",
    features,
    lambda v: F.layer_norm(v.x, (v.x.shape[-1],), v.w, v.b, v.ε),
    {
        "": [
            (r"\hat{x}_{n,d} w_d", r"x_{n,d} w_d"),
            (r"\sqrt{\sigma^2_n + \varepsilon}", r"(\sqrt{\sigma^2_n} + \varepsilon)"),
        ],
        ".vjp.x": [
            (r"\frac{1}{D} \sum_{k=1}^{D} w_k g_{n,k} ", "0 "),
            (r"w_k g_{n,k} \hat{x}_{n,k}", r"g_{n,k} \hat{x}_{n,k}"),
        ],
        ".vjp.w": [(r"\sum_{n=1}^{N}", MEAN)],
        ".vjp.b": [(r"\sum_{n=1}^{N}", MEAN)],
    },
)
operation(
    "nn.group_norm",
    grouped,
    lambda v: F.group_norm(v.x, v.G, v.w, v.b, v.ε),
    {
        "": [
            (r"\hat{x}_{n,c,s} w_c", "x_{n,c,s} w_c"),
            (r"(x_{n,d,r} - \mu_{n,j})^2 [k_d = j]", r"(x_{n,d,r} - \mu_{n,j})^2"),
        ],
        ".vjp.x": [(r"w_d g_{n,d,r} [", r"g_{n,d,r} ["), (r" - \alpha_{n,k_c}", "")],
        ".vjp.w": [(r"\sum_{n=1}^{N}", MEAN)],
        ".vjp.b": [(r"\sum_{n=1}^{N}", MEAN)],
    },
)


@evaluated("nn.running_statistics", wrong=[(r"\frac{n}{n - 1} ", ""), (r"r + m \mu", r"r + \mu")])
def running_statistics(d: Draw) -> Drawn:
    """What batch normalisation leaves in its buffers after a batch in training."""
    v = channels(d)
    r, s = Tensor(v["μ"].copy()), Tensor(v["σ2"].copy())
    F.batch_norm(Tensor(v["x"]), r, s, training=True, momentum=v["m"])
    mean, var = v["x"].mean((0, 2)), v["x"].var((0, 2))
    values = {"r": v["μ"], "v": v["σ2"], "m": v["m"], "n": v["x"][:, 0].size, "μ": mean, "σ2": var}
    return values, {"r": r.array, "v": s.array}
