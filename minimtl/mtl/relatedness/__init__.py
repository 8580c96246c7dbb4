"""How related are tasks? By their labels, by their features, by their objectives; and from any measure a grouping.      D1 §2.2, §8

In the order of reading: `labels` (correlation, mutual information), `features` (CKA, proxy A-distance), `objectives` (cosines of
gradients, inter-task affinity), `grouping` (the matrix, and which tasks to train together).
"""

from minimtl.mtl.relatedness.features import linear_cka, proxy_a_distance
from minimtl.mtl.relatedness.grouping import Relatedness
from minimtl.mtl.relatedness.labels import label_correlation, label_information, mutual_information
from minimtl.mtl.relatedness.objectives import Conflict, affinity, gradient_cosine
