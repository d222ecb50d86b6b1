"""Networks in which every kind of kernel has its turn: by name, what computes an output from one shared map."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHAPE = (2, 12, 13, 17)  # of the map


class Attention(nn.Module):
    """Self-attention of several heads: batched products and softmax between dense layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        queries, keys, values = qkv.unbind(0)
        result = F.scaled_dot_product_attention(queries, keys, values).transpose(1, 2)
        total: Tensor = self.out(result.reshape(n, length, width))
        return total


class Behind(nn.Module):
    """Some layers, and a function behind them, of a view of the map."""

    def __init__(
        self,
        layers: nn.Module,
        after: Callable[[Tensor], Tensor] = F.relu,
        view: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.layers, self.after, self.view = layers, after, view

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.layers(x if self.view is None else self.view(x)))


class Outputs(nn.Module):
    """Several branches in one library. ``first`` makes an NHWC map; the names in ``of_input`` read the input as it is."""

    def __init__(self, branches: dict[str, nn.Module], of_input: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.first, self.branches, self.of_input = nn.Conv2d(SHAPE[1], SHAPE[1], 1), nn.ModuleDict(branches), of_input

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        y = self.first(x)
        return tuple(branch(x if name in self.of_input else y) for name, branch in self.branches.items())


def _settled(network: Outputs) -> Outputs:
    """In eval mode, with weights that are always the same."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, max(1, parameter[0].numel()) ** -0.5, generator=generator)
    return network.eval()


def every_kernel() -> Outputs:
    """All kinds but Winograd's, which the compiler would choose for some of these if it were let."""
    convolutions: dict[str, nn.Module] = {
        "3x3": Behind(nn.Conv2d(12, 37, 3, padding=1)),
        "3x3 of NCHW": Behind(nn.Conv2d(12, 20, 3, 2, 1)),
        "7x7 of NCHW": Behind(nn.Conv2d(12, 9, 7, 2, 3), lambda y: F.max_pool2d(F.relu(y), 3, 2, 1)),
        "stride": Behind(nn.Conv2d(12, 13, (3, 2), (1, 3)), F.relu6),
        "dilation": Behind(nn.Conv2d(12, 18, 3, 1, (2, 3), (2, 3)), F.hardswish),
        "groups": Behind(nn.Conv2d(12, 30, 3, 1, 1, groups=3)),
        "asymmetric": Behind(nn.Conv2d(12, 7, 3), view=lambda y: F.pad(y, (0, 2, 1, 0))),
        "1x1": Behind(nn.Conv2d(12, 89, 1), lambda y: y * torch.sigmoid(y.mean((2, 3), keepdim=True))),
        "1x1 stride": Behind(nn.Conv2d(12, 31, 1, 2)),
        "transposed": Behind(nn.ConvTranspose2d(12, 6, 4, 2, 1)),
    }
    depthwise: dict[str, nn.Module] = {
        f"depthwise {size} by {stride}": Behind(nn.Conv2d(12, 12 * many, size, stride, size // 2, groups=12), F.silu)
        for size, stride, many in ((3, 1, 1), (3, 2, 2), (5, 2, 1), (7, 1, 1))
    } | {
        "depthwise odd": Behind(nn.Conv2d(7, 7, 3, (1, 2), 1, groups=7), F.silu, lambda y: y[:, 2:9]),
    }
    sequences: dict[str, nn.Module] = {
        "dense": Behind(nn.Linear(221, 70), torch.tanh, lambda y: y.flatten(2)),
        "dense of one row": Behind(nn.Linear(517, 3), torch.erf, lambda y: y.flatten()[None, :517]),
        "attention": Behind(
            nn.Sequential(Attention(34, 2), nn.LayerNorm(34)), F.gelu, lambda y: y[:, :, 0:2].flatten(2)
        ),
        "product": Behind(nn.Identity(), lambda y: y[:, 0] @ y[:, 1].transpose(1, 2)),
        "softmax": Behind(nn.Softmax(-1), torch.exp, lambda y: y * 20),
        "layer norm": Behind(nn.LayerNorm((13, 17)), torch.tanh),
        "1-d": Behind(
            nn.Sequential(nn.Conv1d(12, 9, 5, 2, 2), nn.GELU(), nn.MaxPool1d(3, 2, 1), nn.Conv1d(9, 14, 3, dilation=2)),
            lambda y: y.mean(-1),
            lambda y: y.flatten(2),
        ),
    }
    others: dict[str, Callable[[Tensor], Tensor]] = {
        "max pool": lambda y: F.max_pool2d(y, 2),
        "max pool ceil": lambda y: F.max_pool2d(y, 3, 2, 1, ceil_mode=True),
        "average pool": lambda y: F.avg_pool2d(y, 3, 2, 1),
        "average pool ceil": lambda y: F.avg_pool2d(y, 2, 3, ceil_mode=True, count_include_pad=False),
        "mean": lambda y: y.mean((2, 3)),
        "mean of rows": lambda y: y.mean(-1) + y.var(-1),
        "sum of all": lambda y: torch.exp(y * 0.1).sum(),
        "concatenation": lambda y: torch.cat([y[:, :5], F.relu(y), y[:, 3:4] * 2], 1),
        "slice": lambda y: y[:, ::2, 1:, 2::3] * 3,
        "pad": lambda y: F.pad(y, (1, 2, 0, 3), value=1.5),
        "transposition": lambda y: y.transpose(2, 3).contiguous() * 3,
        "rows moved": lambda y: y.flatten(2).transpose(1, 2) + 1,
        "shuffle": lambda y: F.pixel_shuffle(y, 2),
        "logarithm": lambda y: torch.log(y * y + 0.1),
        "softplus": F.softplus,
    }
    moved: dict[str, nn.Module] = {name: Behind(nn.Identity(), function) for name, function in others.items()}
    return _settled(Outputs(convolutions | depthwise | sequences | moved, ("3x3 of NCHW", "7x7 of NCHW")))


def winograd() -> Outputs:
    """Convolutions that Winograd's kernel applies to: several blocks of tiles, odd widths, tiles that end outside."""
    layers = {
        "padded": Behind(nn.Conv2d(12, 44, 3, padding=1), lambda y: F.relu(y) * 2),
        "not padded": Behind(nn.Conv2d(12, 4, 3), F.silu),
        "padded above": Behind(nn.Conv2d(7, 89, 3, 1, (1, 0)), F.gelu, lambda y: y[:, 3:10]),
        "small map": Behind(nn.Conv2d(12, 21, 3, padding=2), view=lambda y: y[:, :, :2, :3]),
    }
    return _settled(Outputs(dict(layers)))
