"""A network's dependency graph, as torch-pruning reads it, and each group of it as plain data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch_pruning.ops import OPTYPE, _OutputOp

from joulefront.errors import PruneError
from joulefront.plugins import describe
from joulefront.prune.axes import Axis, ChannelGroup, Example
from joulefront.prune.opaque import Opaque


class Fixed(Exception):  # noqa: N818 -- not an error: the reason why a group is left alone
    """A group is better left alone."""


class _Graph(torch_pruning.DependencyGraph):  # type: ignore[misc]  # the library has no types
    """The dependency graph, where a grouped convolution is a row of convolutions, each kept or removed whole.

    So its channels are coupled from input to output, as torch-pruning has it for depthwise convolutions alone.
    """

    def get_pruner_of_module(self, module: object) -> Any:
        if isinstance(module, _ConvNd) and module.groups > 1:
            return self.REGISTERED_PRUNERS[OPTYPE.DEPTHWISE_CONV]
        return super().get_pruner_of_module(module)


def trace(model: nn.Module, example: Example) -> _Graph:
    training = model.training
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    graph = _Graph()
    try:
        # The graph is read off autograd, so everything must require a gradient meanwhile.
        for parameter in frozen:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            graph.build_dependency(model, example, output_transform=_marked, verbose=False)
    except Exception as error:
        raise PruneError(f"torch-pruning cannot trace the network: {describe(error)}") from error
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
        model.train(training)
    return graph


def _marked(outputs: object) -> object:
    """The outputs behind one more operation each, so that even a layer that ends the network has an output to reach."""
    if isinstance(outputs, Tensor):
        if not outputs.requires_grad:
            raise TypeError("an output cannot be differentiated")
        return outputs * 1
    if isinstance(outputs, dict):
        return [_marked(part) for part in outputs.values()]
    if isinstance(outputs, list | tuple):
        return [_marked(part) for part in outputs]
    raise TypeError(f"the network returns {type(outputs).__name__}, not tensors")


class Tracing:
    """A network as torch-pruning sees it, some of its modules as their stand-ins; the model is left as it is.

    Raises PruneError when it cannot be traced.
    """

    def __init__(
        self, shown: nn.Module, example: Example, opaque: Mapping[str, Opaque], sizes: Mapping[str, torch.Size]
    ) -> None:
        self._graph = trace(shown, example)
        self._names = {module: name for name, module in shown.named_modules()}
        self._modules = dict(shown.named_modules())
        self._opaque: dict[object, Opaque] = {module.stand_in.line: module for module in opaque.values()}
        self._sizes = sizes
        self._seen: set[object] = set()

    def group(self, layer: nn.Module, name: str) -> ChannelGroup | None:
        """The group of all channels that ``layer`` writes, called ``name``; None where it was in another group or not reached.

        Raises Fixed with the reason when it is better left alone.
        """
        if layer in self._seen or layer not in self._graph.module2node:
            return None
        pruner = self._graph.get_pruner_of_module(layer)
        channels = pruner.get_out_channels(layer)
        items = [
            (
                item.dep.target,
                self._graph.is_out_channel_pruning_fn(item.dep.handler),
                list(item.idxs),
                list(item.root_idxs),
            )
            for item in self._graph.get_pruning_group(layer, pruner.prune_out_channels, list(range(channels)))
        ]
        self._seen.update(node.module for node, produces, _, _ in items if produces)
        block = 1
        axes: list[Axis] = []
        for node, produces, indices, roots in items:
            found, run = self._axes(node, produces, indices, roots, channels)
            axes += found
            block = math.lcm(block, run)
        if channels % block:
            raise Fixed(f"its {channels} channels hang together in runs of {block}")
        return ChannelGroup(name, channels, block, tuple(axes))

    def _axes(
        self, node: torch_pruning.dependency.Node, produces: bool, indices: list[int], roots: list[int], channels: int
    ) -> tuple[list[Axis], int]:
        """What a node of the graph loses when all channels of the root go, and in which runs of them."""
        module = node.module
        if isinstance(module, _OutputOp):
            raise Fixed("its channels are the network's output")
        if opaque := self._opaque.get(module):
            return self._opaque_axes(opaque, produces, _owned(indices, roots, channels, opaque.name))
        path = self._graph._param_to_name[module] if isinstance(module, nn.Parameter) else self._names.get(module, "")
        tensors = list(_tensors(module, path, produces, node.pruning_dim))
        if not tensors:
            return [], 1
        owned, block = _owned(indices, roots, channels, path), 1
        if isinstance(module, nn.GroupNorm) and module.num_groups > 1:
            block = _block(owned, module.num_channels // module.num_groups, path)
        if isinstance(module, _ConvNd) and module.groups > 1:
            block = _block(owned, module.out_channels // module.groups, path)
        return [self._axis(tensor, dim, owned, writes) for tensor, dim, writes in tensors], block

    def _opaque_axes(self, opaque: Opaque, produces: bool, owned: Tensor) -> tuple[list[Axis], int]:
        if opaque.fixed:
            raise Fixed(opaque.fixed)
        block = _block(owned, opaque.block, opaque.name) if produces and opaque.block > 1 else 1
        return [
            self._axis(f"{opaque.name}.{part.tensor}", part.dim, part.owned[owned].flatten(1), part.produces)
            for part in (opaque.writes if produces else opaque.reads)
        ], block

    def _axis(self, tensor: str, dim: int, owned: Tensor, writes: bool) -> Axis:
        if tensor not in self._sizes:
            raise Fixed(f"{tensor!r} is computed from other parameters")
        size = self._sizes[tensor][dim]
        if int(owned.max()) >= size:
            raise Fixed(f"torch-pruning finds more channels in {tensor.rpartition('.')[0] or tensor!r} than it has")
        return Axis(tensor, dim, size, owned, writes)


def _tensors(module: object, path: str, produces: bool, dim: int) -> Iterator[tuple[str, int, bool]]:
    """The parameters and buffers of ``module`` that lose slices: name, dimension, whether they write."""
    if isinstance(module, nn.Parameter):
        yield path, dim % module.dim(), True
    elif isinstance(module, _ConvNd | nn.Linear):
        transposed = isinstance(module, _ConvTransposeNd)
        if isinstance(module, _ConvNd) and module.groups > 1:
            if transposed or module.in_channels != module.out_channels:
                raise Fixed(f"{path!r} is a grouped convolution with other channels out than in")
            produces, transposed = True, False
        yield f"{path}.weight", int(transposed) if produces else int(not transposed), produces
        for name, parameter in module.named_parameters(recurse=False) if produces else ():
            if name == "weight":
                continue
            if parameter.dim() == 0 or len(parameter) != parameter.numel():
                raise Fixed(f"{path}.{name}, of {type(module).__name__}, has not one value for each channel")
            yield f"{path}.{name}", 0, True
    elif isinstance(module, _BatchNorm | _InstanceNorm | nn.GroupNorm | nn.LayerNorm):
        if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) != 1:
            raise Fixed(f"{path!r} normalises over several dimensions")
        if (
            not isinstance(module, _BatchNorm) and module.weight is None
        ):  # a BatchNorm does not mind how wide it thinks it is
            raise Fixed(f"{path!r} has no weights to tell its width by")
        for name in ("weight", "bias", "running_mean", "running_var"):
            if getattr(module, name, None) is not None:
                yield f"{path}.{name}", 0, True
    elif isinstance(module, nn.PReLU):
        if module.num_parameters > 1:
            yield f"{path}.weight", 0, True
    elif isinstance(module, nn.Embedding):
        yield f"{path}.weight", 1, True
    elif isinstance(module, nn.Module) and any(True for _ in module.parameters(recurse=False)):
        raise Fixed(f"{path!r} is a {type(module).__name__}, which cannot be cut")


def _owned(indices: list[int], roots: list[int], channels: int, path: str) -> Tensor:
    """The indices of each channel, (channels, k). Raises Fixed unless each has as many: widths would not add up."""
    by_root: list[list[int]] = [[] for _ in range(channels)]
    for index, root in zip(indices, roots, strict=True):
        by_root[root].append(index)
    if len({len(own) for own in by_root}) != 1 or not by_root[0]:
        raise Fixed(f"only some of its channels reach {path!r}")
    return torch.tensor([sorted(own) for own in by_root])


def _block(owned: Tensor, size: int, path: str) -> int:
    """How many neighbouring channels fill one run of ``size`` of a layer that normalises or convolves run by run."""
    count = owned.shape[1]
    runs = owned // size
    block = max(1, size // count)
    whole = runs.reshape(-1, block * count) if size % count == 0 and len(runs) % block == 0 else None
    if whole is None or not bool((whole == whole[:, :1]).all()):
        raise Fixed(f"its channels lie across the groups of {path!r}")
    return block
