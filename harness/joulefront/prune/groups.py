"""Which channels of a network hang together: found by torch-pruning's dependency graph, held as plain data.

A group is a set of layers whose channels are coupled: where two convolutions are added, channel i of one cannot go
without channel i of the other, nor without the slices of every later layer that read it (DepGraph; Fang 2023,
arXiv:2301.12900).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import torch
import torch_pruning
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch_pruning.ops import OPTYPE, _OutputOp

from joulefront.errors import PruneError
from joulefront.plugins import describe

Example = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Axis:
    """One dimension of one parameter or buffer, ``size`` long, and which of its indices each channel of a group owns.

    ``owned`` is (channels, k): removing channel i removes the indices ``owned[i]``. ``produces`` tells the side that
    writes the channel (a convolution's filters, a BatchNorm's scale) from the side that reads it.
    """

    tensor: str
    dim: int
    size: int
    owned: Tensor
    produces: bool


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Coupled channels. ``name`` is the first of its layers in the order of execution.

    Channels go in runs of ``block`` neighbours, 1 but where a grouped convolution or a GroupNorm holds them together.
    """

    name: str
    channels: int
    block: int
    axes: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Groups:
    """All groups of a network: those that can be cut, in the order of execution, and why the others cannot.

    ``fixed`` maps the name of each convolution or linear layer that starts a group which is left alone to the reason.
    ``outputs`` are the shapes of the network's outputs.
    """

    groups: tuple[ChannelGroup, ...]
    fixed: dict[str, str]
    outputs: tuple[tuple[int, ...], ...]

    @property
    def by_name(self) -> dict[str, ChannelGroup]:
        """The groups that can be cut, by their names."""
        return {group.name: group for group in self.groups}

    def without(self, dropped: Collection[str]) -> Groups:
        """What is left of the groups when the modules named ``dropped`` are taken out, by the same names.

        Their axes go, and so do the groups that lay in these modules alone.
        """
        if not dropped:
            return self
        left = [
            replace(group, axes=tuple(axis for axis in group.axes if not inside(axis.tensor, dropped)))
            for group in self.groups
        ]
        return replace(self, groups=tuple(group for group in left if group.axes))


class _Graph(torch_pruning.DependencyGraph):  # type: ignore[misc]  # the library has no types
    """The dependency graph, where a grouped convolution is a row of convolutions, each kept or removed whole.

    So its channels are coupled from input to output, as torch-pruning has it for depthwise convolutions alone.
    """

    def get_pruner_of_module(self, module: object) -> object:
        if isinstance(module, _ConvNd) and module.groups > 1:
            return self.REGISTERED_PRUNERS[OPTYPE.DEPTHWISE_CONV]
        return super().get_pruner_of_module(module)


class _Fixed(Exception):  # noqa: N818 -- not an error: the reason why a group is left alone
    pass


def find_groups(model: nn.Module, example: Example) -> Groups:
    """The groups of coupled channels of ``model``, which is left as it is.

    Raises PruneError when the network cannot be traced.
    """
    order, outputs = _execution_order(model, example)
    if not order:
        return Groups((), {}, outputs)
    names = {module: name for name, module in model.named_modules()}
    graph = _trace(model, example)
    groups: list[ChannelGroup] = []
    fixed: dict[str, str] = {}
    seen: set[nn.Module] = set()
    for layer in order:
        if layer in seen or layer not in graph.module2node:
            continue
        pruner = graph.get_pruner_of_module(layer)
        try:
            items = _items(graph, layer, pruner)
            seen.update(node.module for node, produces, _, _ in items if produces)
            groups.append(_group(graph, names, layer, items))
        except _Fixed as reason:
            fixed[names[layer]] = str(reason)
        except Exception as error:
            raise PruneError(
                f"the channels coupled to layer {names[layer]!r} cannot be found: {describe(error)}"
            ) from error
    return Groups(tuple(_disjoint(groups, fixed)), fixed, outputs)


def _disjoint(groups: list[ChannelGroup], fixed: dict[str, str]) -> list[ChannelGroup]:
    """The groups that share no index of any tensor with another one; the others go to ``fixed``.

    Coupled channels that overlap would be one group: where they do, torch-pruning lost its way (as it does where a
    concatenation is flattened).
    """
    owners: dict[tuple[str, int], Tensor] = {}
    clashes: dict[str, str] = {}
    for number, group in enumerate(groups):
        for axis in group.axes:
            owner = owners.setdefault((axis.tensor, axis.dim), torch.full((axis.size,), -1))
            for other in torch.unique(owner[axis.owned]).tolist():
                if other not in (-1, number):
                    clashes[groups[other].name], clashes[group.name] = group.name, groups[other].name
            owner[axis.owned] = number
    fixed |= {name: f"torch-pruning mixes its channels up with those of {other!r}" for name, other in clashes.items()}
    return [group for group in groups if group.name not in clashes]


def inside(name: str, modules: Collection[str]) -> bool:
    """Whether the tensor or module of the qualified ``name`` is one of the ``modules`` or lies in one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def shapes(outputs: object) -> tuple[tuple[int, ...], ...]:
    """The shapes of all tensors in a model's outputs."""
    if isinstance(outputs, Tensor):
        return (tuple(outputs.shape),)
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    if isinstance(outputs, list | tuple):
        return tuple(shape for part in outputs for shape in shapes(part))
    return ()


def _execution_order(model: nn.Module, example: Example) -> tuple[list[nn.Module], tuple[tuple[int, ...], ...]]:
    """The convolutions and linear layers in the order in which a forward pass first calls them, and what it returns."""
    order: dict[nn.Module, None] = {}

    def note(module: nn.Module, _inputs: object) -> None:
        order.setdefault(module)

    layers = [module for module in model.modules() if isinstance(module, _ConvNd | nn.Linear)]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    try:
        with torch.no_grad():
            outputs = model(*example)
    finally:
        for hook in hooks:
            hook.remove()
    return list(order), shapes(outputs)


def _trace(model: nn.Module, example: Example) -> _Graph:
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


_Item = tuple[torch_pruning.dependency.Node, bool, list[int], list[int]]
"""A node of the graph, whether its outputs are cut, the indices that go, and the root's channel behind each."""


def _items(graph: _Graph, layer: nn.Module, pruner: object) -> list[_Item]:
    """Everything that goes when all channels of ``layer`` go."""
    prune, channels = pruner.prune_out_channels, pruner.get_out_channels(layer)  # type: ignore[attr-defined]
    group = graph.get_pruning_group(layer, prune, list(range(channels)))
    return [
        (item.dep.target, graph.is_out_channel_pruning_fn(item.dep.handler), list(item.idxs), list(item.root_idxs))
        for item in group
    ]


def _group(graph: _Graph, names: dict[nn.Module, str], layer: nn.Module, items: list[_Item]) -> ChannelGroup:
    """The group as plain data. Raises _Fixed with the reason when it is better left alone."""
    name, channels, block = names[layer], len(items[0][2]), 1
    sizes = {tensor: value.shape for tensor, value in graph.model.state_dict().items()}
    axes: list[Axis] = []
    for node, produces, indices, roots in items:
        module = node.module
        if isinstance(module, _OutputOp):
            raise _Fixed("its channels are the network's output")
        path = graph._param_to_name[module] if isinstance(module, nn.Parameter) else names.get(module, "")
        tensors = list(_tensors(module, path, produces, node.pruning_dim))
        if not tensors:
            continue
        owned = _owned(indices, roots, channels, path)
        if isinstance(module, nn.GroupNorm) and module.num_groups > 1:
            block = math.lcm(block, _block(owned, module.num_channels // module.num_groups, path))
        if isinstance(module, _ConvNd) and module.groups > 1:
            block = math.lcm(block, _block(owned, module.out_channels // module.groups, path))
        for tensor, dim, writes in tensors:
            if tensor not in sizes:
                raise _Fixed(f"{tensor!r} is computed from other parameters")
            size = sizes[tensor][dim]
            if int(owned.max()) >= size:
                raise _Fixed(f"torch-pruning finds more channels in {path!r} than it has")
            axes.append(Axis(tensor, dim, size, owned, writes))
    if channels % block:
        raise _Fixed(f"its {channels} channels hang together in runs of {block}")
    return ChannelGroup(name, channels, block, tuple(axes))


def _tensors(module: object, path: str, produces: bool, dim: int) -> Iterator[tuple[str, int, bool]]:
    """The parameters and buffers of ``module`` that lose slices: name, dimension, whether they write."""
    if isinstance(module, nn.Parameter):
        yield path, dim % module.dim(), True
    elif isinstance(module, _ConvNd | nn.Linear):
        transposed = isinstance(module, _ConvTransposeNd)
        if isinstance(module, _ConvNd) and module.groups > 1:
            if transposed or module.in_channels != module.out_channels:
                raise _Fixed(f"{path!r} is a grouped convolution with other channels out than in")
            produces, transposed = True, False
        yield f"{path}.weight", int(transposed) if produces else int(not transposed), produces
        if produces and module.bias is not None:
            yield f"{path}.bias", 0, True
    elif isinstance(module, _BatchNorm | _InstanceNorm | nn.GroupNorm | nn.LayerNorm):
        if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) != 1:
            raise _Fixed(f"{path!r} normalises over several dimensions")
        if (
            not isinstance(module, _BatchNorm) and module.weight is None
        ):  # a BatchNorm does not mind how wide it thinks it is
            raise _Fixed(f"{path!r} has no weights to tell its width by")
        for name in ("weight", "bias", "running_mean", "running_var"):
            if getattr(module, name, None) is not None:
                yield f"{path}.{name}", 0, True
    elif isinstance(module, nn.PReLU):
        if module.num_parameters > 1:
            yield f"{path}.weight", 0, True
    elif isinstance(module, nn.Embedding):
        yield f"{path}.weight", 1, True
    elif isinstance(module, nn.Module) and any(True for _ in module.parameters(recurse=False)):
        raise _Fixed(f"{path!r} is a {type(module).__name__}, which cannot be cut")


def _owned(indices: list[int], roots: list[int], channels: int, path: str) -> Tensor:
    """The indices of each channel, (channels, k). Raises _Fixed unless each has as many: widths would not add up."""
    by_root: list[list[int]] = [[] for _ in range(channels)]
    for index, root in zip(indices, roots, strict=True):
        by_root[root].append(index)
    if len({len(own) for own in by_root}) != 1 or not by_root[0]:
        raise _Fixed(f"only some of its channels reach {path!r}")
    return torch.tensor([sorted(own) for own in by_root])


def _block(owned: Tensor, size: int, path: str) -> int:
    """How many neighbouring channels fill one run of ``size`` of a layer that normalises or convolves run by run."""
    count = owned.shape[1]
    runs = owned // size
    block = max(1, size // count)
    whole = runs.reshape(-1, block * count) if size % count == 0 and len(runs) % block == 0 else None
    if whole is None or not bool((whole == whole[:, :1]).all()):
        raise _Fixed(f"its channels lie across the groups of {path!r}")
    return block
