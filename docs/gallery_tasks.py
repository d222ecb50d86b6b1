"""Two models of the gallery, as a user's own file hands them over: ResNet-20, and a small vision transformer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront import training
from joulefront.tasks.base_model import trained_once
from joulefront.tasks.ready_made import digits, mnist5k
from joulefront.tasks.task import Task


def resnet20() -> Task:
    """ResNet-20 on 5,000 images of MNIST; trained in about two minutes, the first time."""
    return mnist5k("resnet20")


class Attention(nn.Module):
    """Self-attention of ``heads`` heads. In and out (n, tokens, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = heads, width // heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, tokens, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(n, tokens, self.num_heads * self.head_dim))


class Mlp(nn.Module):
    """Two dense layers of a block. In and out (n, tokens, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Residual(nn.Module):
    """What is added to what it is given: a norm, and ``inner`` behind it."""

    def __init__(self, width: int, inner: nn.Module) -> None:
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(width), inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(self.norm(x))


class Transformer(nn.Module):
    """A vision transformer for images of 8x8 in patches of 2x2. In (n, 1, 8, 8), out (n, 10)."""

    def __init__(self, width: int = 64, heads: int = 8, depth: int = 3) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, stride=2)
        self.places = nn.Parameter(torch.randn(1, 16, width) / 8)
        blocks: list[nn.Module] = []
        for _ in range(depth):
            blocks += [Residual(width, Attention(width, heads)), Residual(width, Mlp(width))]
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.head(self.norm(self.blocks(tokens)).mean(1))


def vit() -> Task:
    """The transformer on scikit-learn's digits; trained in some twenty seconds, the first time."""
    known, recipe = digits(), {"epochs": 40, "learning_rate": 0.05, "batch_size": 64, "seed": 0, "precision": "float32"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Transformer()
    task = Task(model, known.example, known.train, known.validation, known.test)
    trained_once(model, "gallery-vit", lambda model: training.fit(model, task, **recipe), recipe=recipe)
    model.eval()
    return task
