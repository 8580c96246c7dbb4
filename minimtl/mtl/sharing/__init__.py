"""What tasks share. Every model gives {task: ŷₖ}, and tells φ, which several losses reach, from θₖ, which only one does.

In the order of reading: `base` (what a sharing is), `hard` (one trunk), `soft` (networks apart, or stitched together), `experts`
(mixtures of experts with a gate for each task), `attention` (a mask for each task over one trunk).
"""

from minimtl.mtl.sharing.attention import MTAN
from minimtl.mtl.sharing.base import Sharing
from minimtl.mtl.sharing.experts import CGC, PLE, MMoE
from minimtl.mtl.sharing.hard import HardSharing
from minimtl.mtl.sharing.soft import CrossStitch, SoftSharing
