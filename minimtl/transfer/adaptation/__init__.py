"""Domain adaptation: labels of a source, none of a target; the features are to be distributed alike.      D0 §8

In the order of reading: `features` transforms or selects features that are there (arrays in, arrays out), `distances` says how far
apart two domains are (deep CORAL, MMD), `adversarial` lets a classifier say it (DANN), `model` trains with any of them,
`normalisation` replaces statistics alone (AdaBN). `mtl.relatedness.proxy_a_distance` measures what is left.
"""

from minimtl.transfer.adaptation.adversarial import DANN, ramp, reverse
from minimtl.transfer.adaptation.distances import deep_coral, mmd
from minimtl.transfer.adaptation.features import coral, kolmogorov_smirnov, select, standardise
from minimtl.transfer.adaptation.model import Alignment, aligned, tasks
from minimtl.transfer.adaptation.normalisation import adabn
