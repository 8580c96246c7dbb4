"""Residual networks.      He et al. 2016, in torchvision's form, which strides in a bottleneck's 3 × 3 convolution"""

from collections.abc import Sequence

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.models.weights import Weights, loaded
from minimtl.nn import init


def shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """The way round a block where its output has another shape: a 1 × 1 convolution and a batch norm."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """y = relu(F(x) + x), F: 3 × 3 to `width` channels, 3 × 3      (N, inputs, H, W) → (N, width, H/stride, W/stride)"""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """relu(F(x) + x)"""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


class Bottleneck(nn.Module):
    """y = relu(F(x) + x), F: 1 × 1 to `width` channels, 3 × 3, 1 × 1      (N, inputs, H, W) → (N, 4 width, H/stride, W/stride)"""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        """relu(F(x) + x)"""
        y = self.bn1(self.conv1(x)).relu()
        y = self.bn2(self.conv2(y)).relu()
        y = self.bn3(self.conv3(y))
        return (y + (x if self.downsample is None else self.downsample(x))).relu()


Block = type[BasicBlock] | type[Bottleneck]


def stage(block: Block, inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """So many blocks one after the other, of which the first strides."""
    first, rest = block(inputs, width, stride), [block(width * block.expansion, width, 1) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class ResNet(nn.Module):
    """(N, 3, H, W) → (N, num_classes) logits, or (N, 512 or 2048) features without top: images of any size

    conv1 → bn1 → relu → maxpool → layer1 … layer4 → global mean → fc, 1/32 of H and W before the mean. Convolutions start from
    N(0, 2 / fan_out), batch norms from 1 and 0, `fc` as a Linear does.
    """

    head = "fc"

    def __init__(self, block: Block, layers: Sequence[int], num_classes: int = 1000, include_top: bool = True) -> None:
        e = block.expansion
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = stage(block, 64, 64, layers[0], stride=1)
        self.layer2 = stage(block, 64 * e, 128, layers[1], stride=2)
        self.layer3 = stage(block, 128 * e, 256, layers[2], stride=2)
        self.layer4 = stage(block, 256 * e, 512, layers[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc: nn.Module = nn.Linear(512 * e, num_classes) if include_top else nn.Identity()
        self.out_features = num_classes if include_top else 512 * e
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits, or without top features."""
        x = self.maxpool(self.bn1(self.conv1(x)).relu())
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(
    weights: Weights = None, num_classes: int = 1000, include_top: bool = True, *, sha256: str | None = None
) -> ResNet:
    """ResNet-18: 11,689,512 parameters, 122 entries; features of 512.

    `weights`: a path, a name in the cache, or a URL with its `sha256`, see `load_weights`. The file's `fc` is left out where
    num_classes is not the file's, or include_top is False.
    """
    return loaded(ResNet(BasicBlock, (2, 2, 2, 2), num_classes, include_top), weights, sha256)


def resnet34(
    weights: Weights = None, num_classes: int = 1000, include_top: bool = True, *, sha256: str | None = None
) -> ResNet:
    """ResNet-34: 21,797,672 parameters, 218 entries; features of 512. The arguments are those of `resnet18`."""
    return loaded(ResNet(BasicBlock, (3, 4, 6, 3), num_classes, include_top), weights, sha256)


def resnet50(
    weights: Weights = None, num_classes: int = 1000, include_top: bool = True, *, sha256: str | None = None
) -> ResNet:
    """ResNet-50: 25,557,032 parameters, 320 entries; features of 2048. The arguments are those of `resnet18`."""
    return loaded(ResNet(Bottleneck, (3, 4, 6, 3), num_classes, include_top), weights, sha256)
