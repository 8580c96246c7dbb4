"""The table of layers and losses: how each is made, in this library or in PyTorch's, and what it is tried on."""

import numpy as np

RNG = np.random.default_rng(5)

# name and variant: how it is made of the module `nn`, and the shape of its input
LAYERS = {
    "Linear": (lambda n: n.Linear(3, 4), (5, 3)),
    "Linear no bias": (lambda n: n.Linear(3, 4, bias=False), (2, 5, 3)),
    "Linear vector": (lambda n: n.Linear(3, 4), (3,)),
    "Conv2d": (lambda n: n.Conv2d(2, 4, 3), (2, 2, 6, 7)),
    "Conv2d options": (lambda n: n.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (2, 1), 2, False), (2, 4, 8, 7)),
    "Conv2d same": (lambda n: n.Conv2d(2, 2, 3, padding="same", dilation=2), (1, 2, 5, 5)),
    "Conv2d depthwise": (lambda n: n.Conv2d(3, 6, 3, groups=3), (2, 3, 5, 5)),
    "ConvTranspose2d": (lambda n: n.ConvTranspose2d(2, 3, 3), (2, 2, 4, 5)),
    "ConvTranspose2d options": (lambda n: n.ConvTranspose2d(4, 6, (3, 2), 2, 1, 1, 2, False, 2), (2, 4, 4, 5)),
    "MaxPool2d": (lambda n: n.MaxPool2d(2), (2, 3, 5, 6)),
    "MaxPool2d options": (lambda n: n.MaxPool2d(3, 2, 1), (2, 3, 6, 7)),
    "AvgPool2d": (lambda n: n.AvgPool2d((2, 3)), (2, 3, 5, 6)),
    "AvgPool2d options": (lambda n: n.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 3, 6, 7)),
    "AdaptiveAvgPool2d": (lambda n: n.AdaptiveAvgPool2d((3, 2)), (2, 3, 7, 5)),
    "Upsample": (lambda n: n.Upsample(scale_factor=2), (2, 3, 4, 5)),
    "Upsample size": (lambda n: n.Upsample((5, 8)), (2, 3, 4, 5)),
    "BatchNorm1d": (lambda n: n.BatchNorm1d(3), (5, 3)),
    "BatchNorm1d lengths": (lambda n: n.BatchNorm1d(3, eps=0.1, momentum=0.7), (4, 3, 5)),
    "BatchNorm2d": (lambda n: n.BatchNorm2d(3), (4, 3, 2, 5)),
    "BatchNorm2d plain": (lambda n: n.BatchNorm2d(3, affine=False, track_running_stats=False), (4, 3, 2, 5)),
    "LayerNorm": (lambda n: n.LayerNorm(4), (2, 3, 4)),
    "LayerNorm options": (lambda n: n.LayerNorm((3, 4), eps=0.1, bias=False), (2, 3, 4)),
    "LayerNorm plain": (lambda n: n.LayerNorm([3, 4], elementwise_affine=False), (2, 3, 4)),
    "GroupNorm": (lambda n: n.GroupNorm(2, 6), (3, 6, 4)),
    "GroupNorm options": (lambda n: n.GroupNorm(3, 6, 0.1, affine=False), (3, 6, 4, 2)),
    "Flatten": (lambda n: n.Flatten(), (3, 6, 4)),
    "Flatten options": (lambda n: n.Flatten(0, 1), (3, 6, 4)),
    "Embedding": (lambda n: n.Embedding(5, 3), (2, 4)),
    "Identity": (lambda n: n.Identity(), (3,)),
    "ReLU": (lambda n: n.ReLU(inplace=True), (3, 4)),
    "LeakyReLU": (lambda n: n.LeakyReLU(0.2), (3, 4)),
    "GELU": (lambda n: n.GELU(), (3, 4)),
    "GELU tanh": (lambda n: n.GELU("tanh"), (3, 4)),
    "Sigmoid": (lambda n: n.Sigmoid(), (3, 4)),
    "Tanh": (lambda n: n.Tanh(), (3, 4)),
    "Softplus": (lambda n: n.Softplus(2.0, 1.0), (3, 4)),
    "Softmax": (lambda n: n.Softmax(1), (3, 4)),
    "LogSoftmax": (lambda n: n.LogSoftmax(dim=0), (3, 4)),
    "Dropout": (lambda n: n.Dropout(0.0), (3, 4)),
    "TransformerEncoderLayer": (lambda n: n.TransformerEncoderLayer(4, 2, 8, dropout=0.0), (3, 2, 4)),
    "TransformerEncoderLayer options": (
        lambda n: n.TransformerEncoderLayer(6, 3, 5, 0.0, "gelu", 0.1, batch_first=True, norm_first=True),
        (2, 3, 6),
    ),
    "TransformerEncoder": (
        lambda n: n.TransformerEncoder(n.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True), 2, n.LayerNorm(4)),
        (2, 3, 4),
    ),
    "Sequential": (lambda n: n.Sequential(n.Conv2d(1, 3, 3), n.BatchNorm2d(3), n.ReLU(), n.MaxPool2d(2)), (4, 1, 6, 6)),
}

# and of losses: how it is made of `nn`, class weights and a reduction; input and target
logits, probabilities = RNG.normal(size=(6, 4)), RNG.dirichlet(np.ones(4), 6)
labels, reals, weights = np.array([0, 3, 1, -100, 2, 2]), RNG.normal(size=(6, 4)), np.array([0.5, 1.0, 2.0, 3.0])
LOSSES = {
    "CrossEntropyLoss": (lambda n, w, r: n.CrossEntropyLoss(reduction=r), logits, labels),
    "CrossEntropyLoss options": (lambda n, w, r: n.CrossEntropyLoss(w, ignore_index=2, reduction=r, label_smoothing=0.1),
                                 logits, np.abs(labels) % 4),
    "CrossEntropyLoss soft": (lambda n, w, r: n.CrossEntropyLoss(w, reduction=r, label_smoothing=0.1), logits, probabilities),
    "NLLLoss": (lambda n, w, r: n.NLLLoss(w, reduction=r), np.log(probabilities), labels),
    "MSELoss": (lambda n, w, r: n.MSELoss(reduction=r), logits, reals),
    "L1Loss": (lambda n, w, r: n.L1Loss(reduction=r), logits, reals),
    "HuberLoss": (lambda n, w, r: n.HuberLoss(r, 0.5), logits, reals),
    "SmoothL1Loss": (lambda n, w, r: n.SmoothL1Loss(reduction=r, beta=0.5), logits, reals),
    "KLDivLoss": (lambda n, w, r: n.KLDivLoss(reduction=r), np.log(probabilities), probabilities[::-1].copy()),
    "KLDivLoss log": (lambda n, w, r: n.KLDivLoss(reduction=r, log_target=True), np.log(probabilities), logits),
    "BCELoss": (lambda n, w, r: n.BCELoss(w, reduction=r), probabilities, probabilities[::-1].copy()),
    "BCEWithLogitsLoss": (lambda n, w, r: n.BCEWithLogitsLoss(w, reduction=r, pos_weight=w + 1), logits, probabilities),
}  # fmt: skip
