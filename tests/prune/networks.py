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


class Residual(nn.Module):
    """A residual block that is the identity when its weights are zero, for inputs that are not negative."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = conv(channels, hidden, 3, bias=False), nn.BatchNorm2d(hidden)
        self.conv2, self.norm2 = conv(hidden, channels, 3, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x))))))


def blocks() -> nn.Module:
    return Net(
        lambda n, x: n.head(mean(n.stage2(F.relu(n.down(n.stage1(F.relu(n.stem(x)))))))),
        stem=conv(3, 8, 3),
        stage1=nn.Sequential(Residual(8, 8), Residual(8, 12)),
        down=conv(8, 16, 3),
        stage2=nn.Sequential(Residual(16, 8)),
        head=nn.Linear(16, 5),
    )


class FusedAttention(nn.Module):
    """Attention with one projection for queries, keys and values, a gate and a bias for each head, as in vision transformers."""

    def __init__(self, dim: int, heads: int, head_dim: int, *, by_head: bool = False) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.attn_dim, self.by_head = heads, head_dim, heads * head_dim, by_head
        self.qkv = nn.Linear(dim, 3 * self.attn_dim)
        self.gate = nn.Linear(dim, self.attn_dim)
        self.proj = nn.Linear(self.attn_dim, dim)
        self.table = nn.Parameter(torch.randn(36, heads))
        self.scale = nn.LayerNorm(head_dim)

    def forward(self, x: Tensor) -> Tensor:
        n, length, _ = x.shape
        y = self.qkv(x)
        if self.by_head:
            q, k, v = y.reshape(n, length, self.num_heads, 3 * self.head_dim).transpose(1, 2).chunk(3, -1)
        else:
            q, k, v = y.reshape(n, length, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        scores = self.scale(q) @ k.transpose(-2, -1) + self.table.T[None, :, None]
        y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, self.attn_dim)
        return self.proj(y * torch.sigmoid(self.gate(x)))


class Layer(nn.Module):
    """A layer of a vision transformer."""

    def __init__(self, dim: int, attend: nn.Module) -> None:
        super().__init__()
        self.norm1, self.attend, self.norm2 = nn.LayerNorm(dim), attend, nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, 16), nn.Linear(16, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def vit() -> nn.Module:
    net = Net(
        lambda n, x: n.head(n.norm(n.layers(n.stem(x).flatten(2).transpose(1, 2) + n.place)).mean(1)),
        stem=conv(3, 12),
        layers=nn.Sequential(
            Layer(12, FusedAttention(12, 3, 4)),
            Layer(12, FusedAttention(12, 2, 4, by_head=True)),
        ),
        norm=nn.LayerNorm(12),
        head=nn.Linear(12, 5),
    )
    net.place = nn.Parameter(torch.randn(1, 36, 12))
    return net


class SelfAttention(nn.Module):
    """Attention whose projection is elsewhere, and that returns its weights as well, as in BERT."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.num_attention_heads, self.attention_head_size, self.all_head_size = heads, dim // heads, dim
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        parts = (layer(x) for layer in (self.query, self.key, self.value))
        size = (*x.shape[:2], self.num_attention_heads, self.attention_head_size)
        q, k, v = (part.view(size).transpose(1, 2) for part in parts)
        weights = (q @ k.transpose(-2, -1)).softmax(-1)
        return (weights @ v).transpose(1, 2).reshape(*x.shape[:2], self.all_head_size), weights


def bert() -> nn.Module:
    def run(n: Any, x: Tensor) -> Any:
        y = n.stem(x)
        y = n.norm1(y + n.dense(n.attend(y)[0]))
        return n.head(n.norm2(y + n.down(F.gelu(n.up(y))))[:, 0])

    return Net(
        run,
        stem=nn.Linear(3, 12),
        attend=SelfAttention(12, 3),
        dense=nn.Linear(12, 12),
        norm1=nn.LayerNorm(12),
        up=nn.Linear(12, 16),
        down=nn.Linear(16, 12),
        norm2=nn.LayerNorm(12),
        head=nn.Linear(12, 5),
    )


def encoder() -> nn.Module:
    return Net(
        lambda n, x: n.head(n.layer(n.stem(x))[:, 0]),
        stem=nn.Linear(3, 12),
        layer=nn.TransformerEncoderLayer(12, 3, 16, batch_first=True, norm_first=True),
        head=nn.Linear(12, 5),
    )


def decoder() -> nn.Module:
    return Net(
        lambda n, x: n.head(n.layer(n.left(x), n.right(x.flip(1)))[:, 0]),
        left=nn.Linear(3, 8),
        right=nn.Linear(3, 8),
        layer=nn.TransformerDecoderLayer(8, 2, 12, batch_first=True),
        head=nn.Linear(8, 5),
    )


def lstm() -> nn.Module:
    def run(n: Any, x: Tensor) -> Any:
        y, (h, _) = n.lstm(n.stem(x))
        return n.head(y[:, -1]) + n.last(torch.cat([h[-2], h[-1]], 1))

    return Net(
        run,
        stem=nn.Linear(3, 8),
        lstm=nn.LSTM(8, 6, 2, batch_first=True, bidirectional=True),
        head=nn.Linear(12, 5),
        last=nn.Linear(12, 5),
    )


def gru() -> nn.Module:
    def run(n: Any, x: Tensor) -> Any:
        y, h = n.first(n.stem(x).transpose(0, 1))
        y, _ = n.second(y, h)
        return n.head(F.relu(y[-1] + n.across(x[:, 0])))

    return Net(
        run,
        stem=nn.Linear(3, 8),
        first=nn.GRU(8, 6),
        second=nn.GRU(6, 6, bias=False),
        across=nn.Linear(3, 6),
        head=nn.Linear(6, 5),
    )


def rnn() -> nn.Module:
    return Net(lambda n, x: n.head(n.rnn(x)[1][-1]), rnn=nn.RNN(3, 8, 2, batch_first=True), head=nn.Linear(8, 5))


def conv1d() -> nn.Module:
    return Net(
        lambda n, x: n.head(F.relu(n.norm(n.second(F.relu(n.first(x.transpose(1, 2)))))).mean(2)),
        first=nn.Conv1d(3, 8, 5, padding=2),
        second=nn.Conv1d(8, 16, 3),
        norm=nn.BatchNorm1d(16),
        head=nn.Linear(16, 5),
    )


def dense() -> nn.Module:
    return Net(
        lambda n, x: n.head(F.relu(n.second(F.relu(n.first(x.flatten(1)))))),
        first=nn.Linear(18, 16),
        second=nn.Linear(16, 12),
        head=nn.Linear(12, 5),
    )


def gains() -> nn.Module:
    """Convolutions that have a gain for each filter beside the weight, as those of NFNets."""

    class Scaled(nn.Conv2d):
        def __init__(self, channels_in: int, channels_out: int) -> None:
            super().__init__(channels_in, channels_out, 3, padding=1)
            self.gain = nn.Parameter(torch.rand(channels_out, 1, 1, 1) + 0.5)

        def forward(self, x: Tensor) -> Tensor:
            return F.conv2d(x, self.weight * self.gain, self.bias, padding=1)

    return Net(
        lambda n, x: n.head(mean(F.relu(n.second(F.relu(n.first(x)))))),
        first=Scaled(3, 8),
        second=Scaled(8, 12),
        head=nn.Linear(12, 5),
    )


RGB = (3, 6, 6)
SEQUENCE = (6, 3)

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
            blocks,
            vit,
            gains,
        )
    },
    **{make.__name__: (make, SEQUENCE) for make in (bert, encoder, decoder, lstm, gru, rnn, conv1d, dense)},
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
