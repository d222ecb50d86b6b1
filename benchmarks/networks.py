"""The networks that the benchmarks of kernels compile, by name: what users bring, whole and pruned.

Weights are random: no kernel's time depends on them. timm and torchvision bring most (``pip install timm torchvision``).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from joulefront.prune.space import find_space
from joulefront.prune.surgery import cut_to
from joulefront.space_records import Pruning
from joulefront.tasks.models import by_name, resnet20

Network = tuple[nn.Module, tuple[int, ...]]
"""A model in eval mode, and the shape of its input."""

DIGIT, PHOTO, IMAGE = (1, 1, 28, 28), (1, 3, 32, 32), (1, 3, 224, 224)


def pruned(model: nn.Module, shape: tuple[int, ...], keep: float, *, odd: bool = False, up_to: int = 1) -> nn.Module:
    """The model with about the share ``keep`` of each group's channels.

    With ``odd`` every width is odd. With ``up_to`` each is what it would be without, rounded up to the next multiple, or
    the full width where that is less.
    """
    example = (torch.zeros(shape),)
    space = find_space(model, example, multiple=1, floor=0.1)

    def width(gene: Any) -> int:
        wanted = round(gene.options[-1] * keep)
        cut = min((w for w in gene.options if w % 2 or not odd), key=lambda w: abs(w - wanted))
        return int(min((w for w in gene.options if w >= cut and w % up_to == 0), default=gene.options[-1]))

    return cut_to(model, example, Pruning({gene.name: width(gene) for gene in space.genes})).eval()


def macs(model: nn.Module, x: Tensor) -> int:
    """The multiply-accumulates of one inference: convolutions, dense layers, and the products of attention.

    (``joulefront.prune`` counts the first two only, as the literature does.)
    """
    # As plain products: the fused attention of a CPU is none that torch's counter knows.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(x)
    return int(counter.get_total_flops()) // 2


def timm(name: str, keep: float = 1.0) -> Network:
    """One of timm's networks."""
    model = _module("timm").create_model(name, pretrained=False).eval()
    return (model if keep == 1.0 else pruned(model, IMAGE, keep)), IMAGE


def torchvision(name: str) -> Network:
    """One of torchvision's networks."""
    return _module("torchvision").models.get_model(name, weights=None).eval(), IMAGE


def _module(name: str) -> Any:
    """timm or torchvision. Exits with what to install where it is not there."""
    _without_compiled_operators()
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SystemExit(f"{name} is needed for this network ({error}): pip install timm torchvision") from error


def _without_compiled_operators() -> None:
    """Let torchvision be imported beside a torch that its compiled operators are not for: no network here has any."""
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        try:
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:  # they are there
            return
    _KEPT.append(library)


_KEPT: list[Any] = []  # an operator goes with its library


class Conv1dNet(nn.Module):
    """Four convolutions over 128 steps of a six-axis inertial sensor, as in recognising activities."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels, out, stride in ((6, 64, 1), (64, 64, 2), (64, 128, 2), (128, 128, 2)):
            layers += [nn.Conv1d(channels, out, 5, stride, 2, bias=False), nn.BatchNorm1d(out), nn.ReLU()]
        self.layers, self.fc = nn.Sequential(*layers), nn.Linear(128, 6)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes (n, 6, 128) to (n, 6)."""
        scores: Tensor = self.fc(self.layers(x).mean(-1))
        return scores


def dense_net() -> nn.Module:
    """Three dense layers."""
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


def _resnet20(keep: float = 1.0, **rounding: Any) -> Network:
    model = resnet20(channels=3).eval()
    return (model if keep == 1.0 else pruned(model, PHOTO, keep, **rounding)), PHOTO


NETWORKS: dict[str, Callable[[], Network]] = {
    "demo CNN": lambda: (by_name["cnn"]().eval(), DIGIT),
    "ResNet-20": _resnet20,
    "ResNet-20 at 75 %": lambda: _resnet20(0.75),
    "ResNet-20 at 50 %": lambda: _resnet20(0.5),
    "ResNet-20 at 25 %": lambda: _resnet20(0.25),
    "ResNet-20, odd widths": lambda: _resnet20(0.6, odd=True),
    "ResNet-18": lambda: torchvision("resnet18"),
    "ResNet-50": lambda: torchvision("resnet50"),
    "MobileNetV2": lambda: torchvision("mobilenet_v2"),
    "MobileNetV2 at 60 %": lambda: timm("mobilenetv2_100", 0.6),
    "MobileNetV3-small": lambda: torchvision("mobilenet_v3_small"),
    "EfficientNet-B0": lambda: torchvision("efficientnet_b0"),
    "ConvNeXt-atto": lambda: timm("convnext_atto"),
    "DenseNet-121": lambda: torchvision("densenet121"),
    "ViT-tiny": lambda: timm("vit_tiny_patch16_224"),
    "RepVGG-A0": lambda: timm("repvgg_a0"),
    "SqueezeNet 1.1": lambda: torchvision("squeezenet1_1"),
    "VGG11-bn": lambda: torchvision("vgg11_bn"),
    "Conv1d net": lambda: (Conv1dNet().eval(), (1, 6, 128)),
    "dense net": lambda: (dense_net().eval(), (1, 784)),
}
