"""Aggregating the gradients: from the Jacobian J of φ, a row gₖ for each task, one direction d. Usable without any network:

    mtl.aggregation.PCGrad()(J)          J (K, P) ndarray → d (P,)

In the order of reading: `base` (what an aggregation is), `solvers` (the small problems behind some), then the methods: `conflict`
(what opposes is taken out), `optimal` (an optimum over combinations), `spectral` (by the Gramian as a whole).
"""

from minimtl.mtl.aggregation.base import Aggregation, Mean, Sum, Weighted, combination, cosines, gramian
from minimtl.mtl.aggregation.conflict import GradDrop, GradVac, PCGrad
from minimtl.mtl.aggregation.optimal import MGDA, CAGrad, NashMTL, UPGrad
from minimtl.mtl.aggregation.spectral import IMTLG, AlignedMTL, ConFIG
