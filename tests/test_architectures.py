"""Architectures that users bring: each is pruned, recovered, exported, compiled and run, and gives what torch gives.

``python -m pytest -m architectures tests/test_architectures.py`` passes all of them, of random weights; two tiny ones are in
the default run.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from joulefront import training
from joulefront.errors import CompileError, PruneError
from joulefront.prune.blocks import find_blocks
from joulefront.prune.cost import Predictor, count
from joulefront.prune.criteria import L2
from joulefront.prune.groups import find_groups
from joulefront.prune.surgery import cut
from joulefront.prune.weights import load, save
from joulefront.space_records import Pruning, inside
from joulefront.tasks.task import Task
from lent import lent

networks, loading = lent("prune/networks"), lent("compile/loading")


@dataclass(frozen=True)
class Architecture:
    """``size`` is that of the square images, ``exclude`` what is left alone since a message says to, ``heads`` and ``blocks``
    what there is to prune beside channels, ``keywords`` what the network is made with."""

    size: int = 64
    exclude: tuple[str, ...] = ()
    heads: bool = False
    blocks: bool = False
    keywords: Mapping[str, Any] = field(default_factory=dict)


TINY = {
    "timm/test_resnet": Architecture(blocks=True),
    # Whose positions are not interpolated when it is exported, which TVM has no operator for.
    "timm/test_vit": Architecture(heads=True, blocks=True, keywords={"dynamic_img_size": False}),
}
OTHERS = {
    "timm/test_efficientnet": Architecture(),
    "timm/test_convnext": Architecture(blocks=True),
    "timm/test_nfnet": Architecture(),
    "timm/test_byobnet": Architecture(),
    "timm/vit_tiny_patch16_224": Architecture(heads=True, blocks=True),
    "timm/convnext_atto": Architecture(blocks=True),
    "timm/mobilenetv3_small_050": Architecture(blocks=True),
    "timm/mobilenetv4_conv_small_035": Architecture(blocks=True),
    "timm/regnetx_002": Architecture(blocks=True),
    "timm/repvgg_a0": Architecture(128),  # smaller maps leave its many norms too few values to be steady
    "timm/ghostnet_050": Architecture(blocks=True),
    "timm/mobilevit_xxs": Architecture(heads=True, blocks=True),
    "timm/hardcorenas_a": Architecture(blocks=True),
    "timm/lcnet_035": Architecture(),
    "timm/dla34": Architecture(blocks=True),
    "timm/levit_128s": Architecture(224, blocks=True),
    "timm/pit_ti_224": Architecture(224, heads=True, blocks=True),
    "timm/mixer_s32_224": Architecture(224, blocks=True),
    "timm/swin_tiny_patch4_window7_224": Architecture(
        224,
        ("patch_embed.proj", "layers.1.downsample.reduction", "layers.2.downsample.reduction"),
        heads=True,
        blocks=True,
    ),
    "torchvision/resnet18": Architecture(blocks=True),
    "torchvision/mobilenet_v2": Architecture(blocks=True),
    "torchvision/efficientnet_b0": Architecture(blocks=True),
    "torchvision/mnasnet0_5": Architecture(blocks=True),
    "torchvision/regnet_y_400mf": Architecture(blocks=True),
    "torchvision/squeezenet1_1": Architecture(),
    "torchvision/densenet121": Architecture(),
    # Its auxiliary heads run in training alone, so that no trace in eval mode shows what they read.
    "torchvision/googlenet": Architecture(keywords={"aux_logits": False, "init_weights": False}),
    "torchvision/alexnet": Architecture(),
    "torchvision/vgg11_bn": Architecture(),
    "torchvision/vit_b_32": Architecture(64, ("conv_proj",), heads=True, blocks=True, keywords={"image_size": 64}),
}
REFUSED_BY_TVM = {
    "timm/edgenext_xx_small": "EdgeNeXt cannot be imported into TVM: TypeError: Binary operators",  # floor of a quotient
}
REFUSED = {
    "torchvision/shufflenet_v2_x0_5": "torch-pruning cannot trace the network: ZeroDivisionError",  # its channel shuffle
}


def made(name: str, size: int = 64, **keywords: Any) -> tuple[nn.Module, tuple[torch.Tensor]]:
    """A network of random weights, always the same, and an image."""
    # torchvision's compiled operators may be of another build of torch: no classifier has any.
    sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))
    library, _, model = name.partition("/")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say of their own past
        if library == "timm":
            timm: Any = pytest.importorskip("timm")
            try:
                net = timm.create_model(model, img_size=size, **keywords)
            except TypeError:  # it takes images of any size
                net = timm.create_model(model)
        else:
            torchvision: Any = pytest.importorskip("torchvision")
            net = torchvision.models.get_model(model, weights=None, **keywords)
    net.eval()
    return net, (torch.randn(1, 3, size, size),)


def check(name: str, architecture: Architecture, folder: Path) -> None:
    net, example = made(name, architecture.size, **architecture.keywords)
    groups = find_groups(net, example)
    blocks = find_blocks(net, example, groups)
    assert bool(blocks) == architecture.blocks
    assert any(group.name.endswith(("qkv", "attn", "attention")) for group in groups.groups) == architecture.heads
    widths = {
        group.name: max(1, group.channels // 2 // group.block) * group.block
        for group in groups.groups
        if not inside(group.name, architecture.exclude)
    }
    pruning = Pruning(widths, blocks[-1:])
    small = cut(net, example, pruning, L2(), groups=groups)
    predicted = Predictor(net, example, groups)(pruning)
    assert count(small, example) == predicted
    assert predicted.params < 0.75 * count(net, example).params
    shape = example[0].shape[1:]
    data = TensorDataset(torch.randn(8, *shape), torch.arange(8))
    task = Task(net, example, train=data, validation=data, test=data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        training.recalibrate(small, task, batches=2, batch_size=4, seed=0, device="cpu")
        training.fit(small, task, epochs=1, learning_rate=1e-4, batch_size=4, seed=0, precision="float32", device="cpu")
    save(small, folder / "weights.safetensors")
    again = load(net, example, pruning, folder / "weights.safetensors", groups=groups)
    assert loading.difference(again, example, loading.WIDEST, folder) < 1e-4


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_architecture_is_pruned_recovered_compiled_and_run(name: str, tmp_path: Path) -> None:
    check(name, TINY[name], tmp_path)


@pytest.mark.architectures
@pytest.mark.parametrize("name", OTHERS)
def test_an_architecture_is_pruned_recovered_compiled_and_run(name: str, tmp_path: Path) -> None:
    check(name, OTHERS[name], tmp_path)


@pytest.mark.architectures
@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "bert", "encoder", "decoder", "attention"])
def test_recurrent_nets_and_attentions_are_compiled_after_a_cut(name: str, tmp_path: Path) -> None:
    """Recurrence is unrolled over the example's steps."""
    net, example = networks.built(name)
    groups = find_groups(net, example)
    pruning = Pruning({g.name: max(1, g.channels // 2 // g.block) * g.block for g in groups.groups})
    for number, model in enumerate((net, cut(net, example, pruning, L2(), groups=groups))):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert loading.difference(model, example, loading.WIDEST, folder) < 1e-5


@pytest.mark.architectures
@pytest.mark.parametrize("name", REFUSED_BY_TVM)
def test_an_architecture_that_cannot_be_compiled_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    net, example = made(name)
    small = cut(net, example, Pruning(), L2())
    with pytest.raises(CompileError, match=REFUSED_BY_TVM[name]):
        loading.difference(small, example, loading.WIDEST, tmp_path)


@pytest.mark.architectures
@pytest.mark.parametrize("name", REFUSED)
def test_an_architecture_that_cannot_be_pruned_is_refused_with_the_reason(name: str) -> None:
    net, example = made(name)
    with pytest.raises(PruneError, match=REFUSED[name]):
        find_groups(net, example)
