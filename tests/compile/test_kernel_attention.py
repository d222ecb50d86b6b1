"""Products of computed tensors, softmax and layer norm against torch's, over shapes and where their elements lie."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import tvm_ffi
from loading import TARGETS, WIDEST, difference
from torch import Tensor, nn
from torch.nn import functional as F

from joulefront.compile.export import imported
from joulefront.compile.kernels import KERNELS, Choice, Machine, machine
from joulefront.compile.lower import lower
from joulefront.compile.simplify import simplify
from joulefront.records import Target

LENGTHS = (1, 5, 16, 33, 197)


class Attention(nn.Module):
    """Self-attention of several heads, as timm writes it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.qkv, self.out, self.heads = nn.Linear(width, 3 * width), nn.Linear(width, width), heads

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        n, length, width = x.shape
        qkv = self.qkv(x).reshape(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        queries, keys, values = qkv.unbind(0)
        result = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask).transpose(1, 2)
        total: Tensor = self.out(result.reshape(n, length, width))
        return total


class Few(nn.Module):
    """Attention and the like in two sizes: one of whole vectors, one that is odd."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.norm = Attention(48, 3), nn.LayerNorm(37)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        a = x[:, :21, :37]
        return self.attention(x[:, :37]), self.norm(a), F.softmax(a * 20, -1), a @ x[:, 21:71, :37].transpose(1, 2)


class Cases(nn.Module):
    """All that this page is about, in one library: compiling is what takes time."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.multihead = Attention(48, 3), nn.MultiheadAttention(30, 2, batch_first=True)
        mask = torch.zeros(19, 19).masked_fill_(torch.ones(19, 19).triu(1) > 0, -torch.inf)
        self.register_buffer("causal", mask)
        self.norms = nn.ModuleList(nn.LayerNorm(length) for length in LENGTHS[1:])
        self.last = nn.LayerNorm((4, 5), elementwise_affine=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        a, b = x[:, :21, :37], x[:, 21:71, :37]
        rows = x.reshape(-1)
        products: list[Tensor] = [
            a @ b.transpose(1, 2),
            a[:, 1:, 2:] @ x[0, :35, :48] * 2 + 1,
            a[0] @ b[1].T,
            (a[:, None] @ x[:, None, :37, :19].expand(2, 3, 37, 19)).relu(),
            (a.transpose(1, 2) @ a).permute(1, 0, 2) + 1,
            a[:, :1] @ x[:, :37, :16],
        ]
        attentions = [
            self.attention(x[:, :19], self.causal),
            self.multihead(*[x[:, :23, :30]] * 3, need_weights=False)[0],
        ]
        softmaxes = [F.softmax(rows[: 3 * n].reshape(3, n) * 20, -1) for n in LENGTHS]
        norms = [norm(rows[: 2 * n].reshape(2, n) + 3) for n, norm in zip(LENGTHS[1:], self.norms, strict=True)]
        return (*products, *attentions, *softmaxes, *norms, self.last(rows[:120].reshape(2, 3, 4, 5)))


def check(network: nn.Module, target: Target, folder: Path) -> None:
    """The compiled network computes what torch does, with weights and inputs that are always the same."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5, generator=generator)
    assert difference(network.eval(), (torch.randn(2, 71, 48, generator=generator),), target, folder) <= 1e-5


def test_attention_is_as_in_torch(tmp_path: Path) -> None:
    check(Cases(), WIDEST, tmp_path)


def test_attention_on_a_narrow_machine(tmp_path: Path) -> None:
    check(Few(), TARGETS["avx2"], tmp_path)


def test_attention_by_two_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tvm_ffi.get_global_func("runtime.NumThreads")() == 2
    monkeypatch.setattr(machine, "SERIAL_MACS", 0)
    check(Few(), replace(WIDEST, threads=2), tmp_path)


def test_attention_moves_no_data() -> None:
    choice = Choice(KERNELS, Machine.of(TARGETS["avx2"]))
    text = str(lower(simplify(imported(Attention(48, 3).eval(), (torch.zeros(1, 37, 48),))), choice)["main"].script())
    assert "permute_dims" not in text
    assert text.count("call_tir") == 5
    assert sorted(use.kernel for use in choice.uses) == ["batched", "batched", "dense", "dense", "softmax"]


def test_rows_without_a_score_are_zero_where_the_mask_is_an_input(tmp_path: Path) -> None:
    """torch's softmax of them would be NaN: where they can be, attention keeps its guard."""

    class Masked(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mask = torch.where(x[0, :5, :5] > 0.0, 0.0, -torch.inf)
            return F.scaled_dot_product_attention(x[:, :, :5], x[:, :, 1:6], x[:, :, 2:7], attn_mask=mask)

    x = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    x[0, 2] = -1.0
    assert difference(Masked(), (x,), TARGETS["avx2"], tmp_path) <= 1e-5
