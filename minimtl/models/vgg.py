"""VGG-16.      Simonyan and Zisserman 2015, configuration D, in torchvision's form"""

from collections.abc import Iterator

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.models.weights import Weights, loaded
from minimtl.nn import init

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions; each stage ends by halving the image
GRID, WIDTH = 7, 4096


def stages(batch_norm: bool) -> Iterator[nn.Module]:
    """Convolutions 3 × 3, each with a ReLU, in stages that end in a max-pool."""
    inputs = 3
    for channels, convolutions in STAGES:
        for _ in range(convolutions):
            yield nn.Conv2d(inputs, channels, 3, padding=1)
            if batch_norm:
                yield nn.BatchNorm2d(channels)
            yield nn.ReLU()
            inputs = channels
        yield nn.MaxPool2d(2)


class VGG(nn.Module):
    """(N, 3, H, W) → (N, num_classes) logits, or (N, 25088) features without top: images of any size from 32 × 32 on

    features → means over 7 × 7 windows → flatten, 512 · 7 · 7 → classifier: Linear 4096, ReLU, Dropout, Linear 4096, ReLU, Dropout,
    Linear. `model.features` alone gives maps, (N, 512, ⌊H/32⌋, ⌊W/32⌋), as Keras's VGG16 without top does, to flatten or to pool.
    Convolutions start from N(0, 2 / fan_out), Linears from N(0, 0.01²), biases from 0; with `drawn` False all as layers
    do, which spares seconds where numbers are loaded.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        include_top: bool = True,
        batch_norm: bool = False,
        dropout: float = 0.5,
        drawn: bool = True,
    ) -> None:
        self.features = nn.Sequential(*stages(batch_norm))
        self.avgpool = nn.AdaptiveAvgPool2d(GRID)
        n = STAGES[-1][0] * GRID * GRID
        self.out_features = num_classes if include_top else n
        self.head = "classifier.6" if include_top else "classifier"
        self.classifier: nn.Module = nn.Identity()
        if include_top:
            self.classifier = nn.Sequential(
                *(nn.Linear(n, WIDTH), nn.ReLU(), nn.Dropout(dropout)),
                *(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Dropout(dropout)),
                nn.Linear(WIDTH, num_classes),
            )
        for module in self.modules() if drawn else ():
            if isinstance(module, nn.Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                init.normal_(module.weight, 0, 0.01)
            if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
                init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, or without top features."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def vgg16(weights: Weights = None, num_classes: int = 1000, include_top: bool = True, *, sha256: str | None = None) -> VGG:
    """VGG-16: 138,357,544 parameters, 32 entries; features of 25088.

    `weights`: a path, a name in the cache, or a URL with its `sha256`, see `load_weights`. The file's `classifier.6` is left out
    where num_classes is not the file's, and then starts as a Linear does; the whole classifier where include_top is False.
    """
    return loaded(VGG(num_classes, include_top, drawn=weights is None), weights, sha256)


def vgg16_bn(weights: Weights = None, num_classes: int = 1000, include_top: bool = True, *, sha256: str | None = None) -> VGG:
    """VGG-16 with batch norms: 138,365,992 parameters, 97 entries; features of 25088. The arguments are those of `vgg16`."""
    return loaded(VGG(num_classes, include_top, batch_norm=True, drawn=weights is None), weights, sha256)
