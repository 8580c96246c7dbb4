"""Weighting the losses: F(L₁, …, L_K), one objective of all tasks, and so the weights αₖ = ∂F/∂Lₖ of D1's Σₖ αₖ Lₖ.

In the order of reading: `base` (what a weighting is), `fixed` (no parameters of its own), `history` (what went before decides),
`learnt` (parameters trained along with the model). A new one is a function of the losses, or a class with one method, `objective`.
"""

from minimtl.mtl.weighting.base import Batch, Function, Normalised, Weighting
from minimtl.mtl.weighting.fixed import GLS, RLW, STCH, Fixed, PerLabel
from minimtl.mtl.weighting.history import DTP, DWA
from minimtl.mtl.weighting.learnt import FAMO, IMTLL, GradNorm, Uncertainty
