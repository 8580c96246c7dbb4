"""Transfer learning: from θₛ, trained on a source, to θₜ on a target."""

from minimtl.transfer.anchoring import ewc, fisher, l2_sp
from minimtl.transfer.behaviour import Watched, bss, channel_attention, feature_maps, lwf
from minimtl.transfer.delta import Delta, full, itself
from minimtl.transfer.freezing import freeze, frozen, unfreeze
from minimtl.transfer.objective import delta_loss, fine_tune, target_loss
from minimtl.transfer.replay import Replay, Reservoir
from minimtl.transfer.updates import adapter, lora
