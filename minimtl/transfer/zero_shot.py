"""Zero-shot learning: classes without a single training sample, known by what is said of them.      D4 §3.1.3

Every class has a row of attributes, as [has wings, has stripes, …]. What is learnt on seen classes is how features go with attributes,
and so a class that was never seen is recognised by its row.

    head = transfer.Compatibility(84, attributes[seen])         trained by cross-entropy, labels 0 … len(seen) − 1
    head = transfer.eszsl(z, y, attributes[seen])               or in closed form
    head.on(attributes[unseen])(z)                              logits of unseen classes

D4 calls another thing zero transfer: to take nothing of the source. That is "zero" of `transfer.schemes`.
"""

import copy
from typing import Any

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.backend import Array, to_numpy
from minimtl.equation import equation
from minimtl.ops import tensor_of
from minimtl.random import random_numbers_repeated
from minimtl.training.metrics import METRICS


class Compatibility(nn.Module):
    """y_c = φ(x)ᵀ W a_c      (N, in_features) → (N, C), a_c row c of `attributes` (C, A), as ±1 or real numbers

    `predict` is W, a linear layer that says of features (N, D) how far each attribute holds, (N, A). With targets 0 and 1 it may be
    trained on attributes instead, by `binary_cross_entropy_with_logits`: then argmax is the class of largest likelihood, attributes
    being independent (Lampert et al. 2009). With a_c = ±1 all rows are of one length; where they are not, a long one attracts.
    """

    attributes: Tensor

    def __init__(self, in_features: int, attributes: Any, bias: bool = False) -> None:
        self.register_buffer("attributes", table("Compatibility", attributes))
        self.predict = nn.Linear(in_features, self.attributes.shape[1], bias)

    def forward(self, z: Tensor) -> Tensor:
        """Logits of the classes."""
        return compatibility(self.predict(z), self.attributes)

    def on(self, attributes: Any) -> "Compatibility":
        """The same W, the very parameters, for other classes."""
        other = copy.copy(self)
        vars(other)["_buffers"] = dict(vars(self)["_buffers"])
        other.attributes = table("Compatibility.on", attributes, self.predict.weight.dtype)
        if other.attributes.shape[1] != self.attributes.shape[1]:
            n, m = self.attributes.shape[1], other.attributes.shape[1]
            raise ValueError(f"Compatibility.on: needs {n} attributes a class, got {m}")
        return other


def table(name: str, attributes: Any, dtype: Any = np.float32) -> Tensor:
    """Attributes (C, A)."""
    a = to_numpy(tensor_of(attributes).array)
    if a.ndim != 2 or 0 in a.shape or not np.isfinite(a).all():
        raise ValueError(f"{name}: attributes must be finite, (C, A), got {a.shape}")
    return Tensor(np.array(a, dtype))


@equation(
    "tl.compatibility",
    r"y_{nc} = \sum_{i=1}^{A} u_{ni} a_{ci}, \quad u_{ni} = \sum_{d=1}^{D} z_{nd} W_{di}",
    symbols={"z": "u", "W": "u"},
    shapes="z (N, D), W (D, A), a (C, A) → y (N, C)",
    source="Akata et al. 2013; Romera-Paredes, Torr 2015",
    conventions="z are features φ(x), a_c the attributes of class c; the class is that of largest y",
)
def compatibility(u: Tensor, a: Tensor) -> Tensor:
    """y[n,c] = Σᵢ uₙᵢ a[c,i];  uₙᵢ = Σ_d z[n,d] W[d,i]      (N, A), (C, A) → (N, C)"""
    return u @ a.T


def eszsl(features: Any, labels: Any, attributes: Any, gamma: float = 1.0, lam: float = 1.0) -> Compatibility:
    """V = (ZᵀZ + γI)⁻¹ Zᵀ Y S (SᵀS + λI)⁻¹ as W of a `Compatibility`      Romera-Paredes, Torr 2015

    features Z (N, D), labels (N) of classes 0 … C − 1, attributes S (C, A). Y is 1 for the sample's class and −1 for others. V is the
    least of ‖Z V Sᵀ − Y‖² + γ‖V Sᵀ‖² + λ‖Z V‖² + γλ‖V‖².
    """
    S = table("eszsl", attributes, np.float64).array
    Z = to_numpy(tensor_of(features).array)
    c = to_numpy(tensor_of(labels).array)
    if Z.ndim != 2 or Z.dtype.kind != "f" or not np.isfinite(Z).all():
        raise ValueError(f"eszsl: features must be finite floating-point numbers (N, D), got {Z.dtype} {Z.shape}")
    if c.dtype.kind not in "iu" or c.shape != (len(Z),) or not ((c >= 0) & (c < len(S))).all():
        raise ValueError(f"eszsl: labels must be {len(Z)} classes of 0 … {len(S) - 1}, got {c.dtype} {c.shape}")
    if not (gamma > 0 and lam > 0):
        raise ValueError(f"eszsl: needs gamma > 0 and lam > 0, got {gamma} and {lam}")
    Y = np.where(c[:, None] == np.arange(len(S)), 1.0, -1.0)
    V = solved(Z.astype(float), Y, S, gamma, lam)
    with random_numbers_repeated():  # nothing of what is drawn here stays
        head = Compatibility(Z.shape[1], S).to(Z.dtype).on(S)
    head.predict.weight = nn.Parameter(Tensor(np.ascontiguousarray(V.T, Z.dtype)))
    return head


@equation(
    "tl.eszsl",
    r"o_{di} = \sum_{k=1}^{D} \sum_{j=1}^{A} P_{dk} V_{kj} Q_{ji} = \sum_{n=1}^{N} \sum_{c=1}^{C} Z_{nd} Y_{nc} S_{ci}, \quad "
    r"P_{dk} = \sum_{n=1}^{N} Z_{nd} Z_{nk} + \gamma [d = k], \quad Q_{ji} = \sum_{c=1}^{C} S_{cj} S_{ci} + \lambda [j = i]",
    symbols={"V": "solved"},
    shapes="Z (N, D), Y (N, C), S (C, A), V (D, A)",
    source="Romera-Paredes, Torr 2015",
    conventions="V = P⁻¹ Zᵀ Y S Q⁻¹; Y is 1 for the class of the sample and −1 for the others",
)
def solved(Z: Array, Y: Array, S: Array, γ: float, λ: float) -> Array:
    """V where o[d,i] = Σₖ Σⱼ P[d,k] Vₖⱼ Qⱼᵢ = Σₙ Σ_c Z[n,d] Y[n,c] S[c,i]      (N, D), (N, C), (C, A) → (D, A)"""
    P, Q = Z.T @ Z + γ * np.eye(Z.shape[1]), S.T @ S + λ * np.eye(S.shape[1])
    left: Array = np.linalg.solve(P, Z.T @ Y @ S)
    return np.linalg.solve(Q, left.T).T


def class_accuracy(logits: Tensor, labels: Tensor) -> float:
    """The mean over the classes that occur of the share that is right: a rare class counts as much      Xian et al. 2017"""
    M = METRICS["accuracy"].sums(logits, labels)
    n = M.sum(axis=1)
    return float((np.diag(M)[n > 0] / n[n > 0]).mean()) if n.any() else float("nan")


@equation(
    "tl.harmonic_mean",
    r"h = \frac{2 s u}{s + u}",
    source="Xian et al. 2017",
    conventions="s and u are accuracies on samples of seen and of unseen classes, all classes being possible; 0 where both are 0",
)
def harmonic_mean(s: float, u: float) -> float:
    """h = 2 s u / (s + u)      near the smaller: to know seen classes alone is worth nothing"""
    return 2 * s * (u / (s + u)) if s + u > 0 else 0.0
