"""Transfer learning: from θₛ, trained on a source, to θₜ on a target.

In the order of reading: `objective` (what the documents print), `freezing` and `heads` (a new task on a fixed trunk), `cache`
(features computed once), `fine_tuning` (which layers move, when, how fast), `delta` and `updates` (θ + θ′: LoRA, adapters, biases),
`anchoring` and `behaviour` (held to where θ was, or to what it did), `replay` (old samples among the new), `adaptation` (another
domain, without its labels), `selection` (which source), `compression`, `footprint` and `looking` (small, and looked into),
`zero_shot` (unseen classes).
"""

from minimtl.transfer import adaptation, selection
from minimtl.transfer.anchoring import ewc, fisher, l2_sp
from minimtl.transfer.behaviour import Watched, bss, channel_attention, feature_maps, lwf
from minimtl.transfer.cache import FeatureCache
from minimtl.transfer.compression import permanent, prune, quantize
from minimtl.transfer.delta import Delta, full, itself
from minimtl.transfer.fine_tuning import GradualUnfreezing, SlantedTriangularLR, discriminative, schemes, two_stage
from minimtl.transfer.footprint import Footprint, footprint, footprint_of
from minimtl.transfer.freezing import freeze, frozen, unfreeze
from minimtl.transfer.heads import replace_head, resize_head
from minimtl.transfer.looking import grad_cam, saliency, smooth_grad
from minimtl.transfer.objective import delta_loss, fine_tune, target_loss
from minimtl.transfer.replay import Replay, Reservoir
from minimtl.transfer.updates import adapter, lora
from minimtl.transfer.zero_shot import Compatibility, class_accuracy, eszsl, harmonic_mean
