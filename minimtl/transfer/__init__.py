"""Transfer learning: from θₛ, trained on a source, to θₜ on a target."""

from minimtl.transfer import adaptation, selection
from minimtl.transfer.cache import FeatureCache
from minimtl.transfer.fine_tuning import GradualUnfreezing, SlantedTriangularLR, discriminative, schemes, two_stage
from minimtl.transfer.freezing import freeze, frozen, unfreeze
from minimtl.transfer.heads import replace_head, resize_head
from minimtl.transfer.objective import delta_loss, fine_tune, target_loss
from minimtl.transfer.compression import permanent, prune, quantize
from minimtl.transfer.footprint import Footprint, footprint, footprint_of
from minimtl.transfer.looking import grad_cam, saliency, smooth_grad
from minimtl.transfer.zero_shot import Compatibility, class_accuracy, eszsl, harmonic_mean
