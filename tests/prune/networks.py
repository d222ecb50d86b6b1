"""Small networks, one for each way in which layers couple their channels; and the ready-made ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront.tasks.models import Block, cnn, resnet20, tiny


class Net(nn.Module):
    """Layers by name and a function of them and the input: a network in two lines."""

    def __init__(self, run: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.run = run

    def forward(self, x: Tensor) -> Any:
        return self.run(self, x)


def conv(channels_in: int, channels_out: int, size: int = 1, **more: Any) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, size, padding=size // 2, **more)


def mean(x: Tensor) -> Tensor:
    return x.mean((2, 3))


def depthwise() -> nn.Module:
    return Net(
        lambda n, x: n.head(mean(F.relu(n.point(F.relu(n.norm(n.depth(n.stem(x)))))))),
        stem=conv(3, 16, 3),
        depth=conv(16, 16, 3, groups=16),
        norm=nn.BatchNorm2d(16),
        point=conv(16, 24),
        head=nn.Linear(24, 5),
    )


def grouped() -> nn.Module:
    return Net(
        lambda n, x: n.head(mean(F.relu(n.point(F.relu(n.wide(n.stem(x))))))),
        stem=conv(3, 24),
        wide=conv(24, 24, 3, groups=4),
        point=conv(24, 16),
        head=nn.Linear(16, 5),
    )


def group_norm() -> nn.Module:
    return Net(
        lambda n, x: n.head(mean(F.relu(n.norm(n.stem(x))))),
        stem=conv(3, 16, 3),
        norm=nn.GroupNorm(4, 16),
        head=nn.Linear(16, 5),
    )


def concat() -> nn.Module:
    return Net(
        lambda n, x: n.head(torch.flatten(F.relu(n.after(F.relu(n.norm(torch.cat([n.left(x), n.right(x)], 1))))), 1)),
        left=conv(3, 16, 3),
        right=conv(3, 8),
        norm=nn.BatchNorm2d(24),
        after=conv(24, 16),
        head=nn.Linear(16 * 36, 5),
    )


def squeeze_excite() -> nn.Module:
    def run(n: Any, x: Tensor) -> Any:
        y = n.stem(x)
        return n.head(mean(y * torch.sigmoid(n.excite(F.relu(n.squeeze(y.mean((2, 3), keepdim=True)))))))

    return Net(run, stem=conv(3, 16, 3), squeeze=conv(16, 8), excite=conv(8, 16), head=nn.Linear(16, 5))


def residual_of_concat() -> nn.Module:
    return Net(
        lambda n, x: n.head(mean(n.after(torch.cat([n.left(x), n.right(x)], 1) + n.across(x)))),
        left=conv(3, 16, 3),
        right=conv(3, 8),
        across=conv(3, 24),
        after=conv(24, 16),
        head=nn.Linear(16, 5),
    )


def convnext() -> nn.Module:
    def run(n: Any, x: Tensor) -> Any:
        x = n.stem(x)
        y = n.down(F.gelu(n.up(n.norm(n.depth(x).permute(0, 2, 3, 1))))).permute(0, 3, 1, 2)
        return n.head(mean(x + n.scale * y))

    net = Net(
        run,
        stem=nn.Conv2d(3, 16, 2, 2),
        depth=conv(16, 16, 3, groups=16),
        norm=nn.LayerNorm(16),
        up=nn.Linear(16, 32),
        down=nn.Linear(32, 16),
        head=nn.Linear(16, 5),
    )
    net.scale = nn.Parameter(torch.linspace(0.5, 1.5, 16).reshape(16, 1, 1))
    return net


def transposed() -> nn.Module:
    return Net(
        lambda n, x: n.head(n.slope(n.up(F.relu(n.stem(x))))),
        stem=conv(3, 16, 3),
        up=nn.ConvTranspose2d(16, 12, 2, 2),
        slope=nn.PReLU(12),
        head=conv(12, 2),
    )


def reused() -> nn.Module:
    return Net(
        lambda n, x: n.head(mean(F.relu(n.again(F.relu(n.again(F.relu(n.stem(x)))))))),
        stem=conv(3, 16, 3),
        again=conv(16, 16, 3),
        head=nn.Linear(16, 5),
    )


def attention() -> nn.Module:
    def run(n: Any, x: Tensor) -> Any:
        y = n.stem(x).flatten(2).transpose(1, 2)
        y = y + n.attend(y, y, y, need_weights=False)[0]
        return n.head((y + n.down(F.relu(n.up(y)))).mean(1))

    return Net(
        run,
        stem=conv(3, 16, 3),
        attend=nn.MultiheadAttention(16, 2, batch_first=True),
        up=nn.Linear(16, 32),
        down=nn.Linear(32, 16),
        head=nn.Linear(16, 5),
    )


def gated() -> nn.Module:
    def run(n: Any, x: Tensor) -> Any:
        left, right = n.stem(x).chunk(2, 1)
        return n.head(mean(n.after(left * torch.sigmoid(right))))

    return Net(run, stem=conv(3, 32, 3), after=conv(16, 16), head=nn.Linear(16, 5))


def two_outputs() -> nn.Module:
    return Net(
        lambda n, x: {"first": n.first(mean(n.stem(x))), "map": n.second(n.stem(x))},
        stem=conv(3, 16, 3),
        first=nn.Linear(16, 5),
        second=conv(16, 2),
    )


def flattened_concat() -> nn.Module:
    return Net(
        lambda n, x: n.head(torch.cat([n.left(x), n.after(n.left(x))], 1).flatten(1)),
        left=conv(3, 16, 3),
        after=conv(16, 8),
        head=nn.Linear(24 * 36, 5),
    )


def input_residual() -> nn.Module:
    return Net(lambda n, x: n.head(mean(n.stem(x) + x)), stem=conv(3, 3, 3), head=nn.Linear(3, 5))


def fixed_view() -> nn.Module:
    return Net(
        lambda n, x: n.head(F.relu(n.hidden(F.relu(n.stem(x)).view(-1, 576)))),
        stem=conv(3, 16),
        hidden=nn.Linear(576, 8),
        head=nn.Linear(8, 5),
    )


def data_dependent() -> nn.Module:
    def run(n: Any, x: Tensor) -> Any:
        y = n.stem(x)
        return n.head(mean(y)) if float(y.sum()) > 0 else n.head(mean(-y))

    return Net(run, stem=conv(3, 16), head=nn.Linear(16, 5))


RGB = (3, 6, 6)

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "cnn": (cnn, (1, 28, 28)),
    "cnn_bn": (lambda: cnn(batch_norm=True), (1, 28, 28)),
    "tiny": (tiny, (1, 8, 8)),
    "resnet20": (resnet20, (1, 16, 16)),
    **{
        make.__name__: (make, RGB)
        for make in (
            depthwise,
            grouped,
            group_norm,
            concat,
            squeeze_excite,
            residual_of_concat,
            convnext,
            transposed,
            reused,
            attention,
            gated,
            two_outputs,
        )
    },
}
"""Networks that can be cut, at least in part, with the shape of one input."""


def built(name: str) -> tuple[nn.Module, tuple[Tensor]]:
    """A network of ``NETWORKS`` in eval mode, its BatchNorms with statistics of some data, and an example input."""
    make, shape = NETWORKS[name]
    return prepared(make, shape)


def prepared(make: Callable[[], nn.Module], shape: tuple[int, ...] = RGB) -> tuple[nn.Module, tuple[Tensor]]:
    torch.manual_seed(0)
    net = make()
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.dim() == 1:  # so that no bias is zero and no norm's scale one
                parameter.uniform_(0.5, 1.5)
        net.train()(torch.randn(4, *shape))
    return net.eval(), (torch.randn(1, *shape),)


def resnet20_like() -> nn.Module:
    """Two stages of two residual blocks, 8 and 16 wide, for images of one channel; its layers are named as resnet20's."""
    return nn.Sequential(
        OrderedDict(
            conv=conv(1, 8, 3, bias=False),
            norm=nn.BatchNorm2d(8),
            relu=nn.ReLU(),
            stage1=nn.Sequential(Block(8, 8, 1), Block(8, 8, 1)),
            stage2=nn.Sequential(Block(8, 16, 2), Block(16, 16, 1)),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            dense=nn.Linear(16, 5),
        )
    ).eval()
