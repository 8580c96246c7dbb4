"""Two small networks to begin with."""

from collections.abc import Sequence

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.models.weights import Weights, loaded


class MLP(nn.Module):
    """x ↦ Wₙ relu(… relu(W₁ x + b₁) …) + bₙ      (N, …) → (N, num_classes), or without top (N, width of the last hidden layer)

    All axes but the first are one; `features` holds the hidden layers, `fc` is Wₙ, bₙ.
    """

    head = "fc"

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int] = (128,),
        num_classes: int = 10,
        include_top: bool = True,
        dropout: float = 0.0,
    ) -> None:
        self.features = nn.Sequential(nn.Flatten())
        width = in_features
        for units in hidden:
            for layer in (nn.Linear(width, units), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])):
                self.features.append(layer)
            width = units
        self.fc: nn.Module = nn.Linear(width, num_classes) if include_top else nn.Identity()
        self.out_features = num_classes if include_top else width

    def forward(self, x: Tensor) -> Tensor:
        """Logits, or without top features."""
        return self.fc(self.features(x))


class LeNet(nn.Module):
    """D1's network: (N, in_channels, H, W) → (N, num_classes), or (N, 84) without top; from 12 × 12 on, made for 28 × 28

    conv 6 @ 5 × 5, ReLU, max-pool 2, conv 16 @ 5 × 5, ReLU, max-pool 2, then 256 → 120 → 84 with ReLUs, and `fc`. Of images of other
    sizes the mean over windows makes the 4 × 4 that the first Linear needs.
    """

    head = "fc"

    def __init__(self, num_classes: int = 10, include_top: bool = True, in_channels: int = 1) -> None:
        self.features = nn.Sequential(
            *(nn.Conv2d(in_channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.AdaptiveAvgPool2d(4), nn.Flatten()),
            *(nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()),
        )
        self.fc: nn.Module = nn.Linear(84, num_classes) if include_top else nn.Identity()
        self.out_features = num_classes if include_top else 84

    def forward(self, x: Tensor) -> Tensor:
        """Logits, or without top features."""
        return self.fc(self.features(x))


def mlp(
    in_features: int,
    hidden: Sequence[int] = (128,),
    weights: Weights = None,
    num_classes: int = 10,
    include_top: bool = True,
    *,
    dropout: float = 0.0,
    sha256: str | None = None,
) -> MLP:
    """An `MLP`, with the numbers of a file if one is given, see `load_weights`; its head is `fc`, as that of `resnet18`."""
    return loaded(MLP(in_features, hidden, num_classes, include_top, dropout), weights, sha256)


def lenet(
    weights: Weights = None,
    num_classes: int = 10,
    include_top: bool = True,
    *,
    in_channels: int = 1,
    sha256: str | None = None,
) -> LeNet:
    """A `LeNet`, with the numbers of a file if one is given, see `load_weights`; its head is `fc`, as that of `resnet18`."""
    return loaded(LeNet(num_classes, include_top, in_channels), weights, sha256)
