"""Transfer learning: from θₛ, trained on a source, to θₜ on a target."""

from minimtl.transfer import adaptation, selection
from minimtl.transfer.freezing import freeze, frozen, unfreeze
from minimtl.transfer.objective import delta_loss, fine_tune, target_loss
