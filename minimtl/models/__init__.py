"""Models under torchvision's names, with its layers, its initial numbers and its keys, so that its checkpoints fit.

    model = models.resnet18(weights="resnet18.pth")                       as it was trained
    model = models.resnet18(weights="resnet18.pth", num_classes=2)        a new head: `fc` is not read
    trunk = models.resnet18(weights="resnet18.pth", include_top=False)    (N, 3, H, W) → (N, 512), for heads of your own

`include_top` is Keras's word. `model.out_features` is the width of what comes out, `model.head` the name of the part left out.
"""

from minimtl.models.resnet import ResNet, resnet18, resnet34, resnet50
from minimtl.models.small import MLP, LeNet, lenet, mlp
from minimtl.models.vgg import VGG, vgg16, vgg16_bn
from minimtl.models.weights import cache_folder, load_weights
