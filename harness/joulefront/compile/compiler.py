"""The compiler: torch model in, shared library out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tvm
from tvm import relax

from joulefront.compile import link, pipeline, sources
from joulefront.compile.contest import contest
from joulefront.compile.export import first_line, imported
from joulefront.compile.fallbacks import fallbacks
from joulefront.compile.kernels import KERNELS, Choice, Machine, Site
from joulefront.compile.kernels.winograd import Winograd
from joulefront.compile.lower import lower
from joulefront.compile.quiet import without_stderr
from joulefront.compile.simplify import simplify
from joulefront.compile.target import tvm_target
from joulefront.errors import CompileError
from joulefront.kernel_records import Composition, Contenders, Variant
from joulefront.records import Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from joulefront.compile.onnx.model import OnnxModel


class TvmCompiler:
    """torch.export, Relax, kernels written for the target, LLVM, one shared library with ``main`` for the Relax VM.

    Two compilations of the same weights give the same bytes. Without ``winograd`` no convolution is computed by transforms,
    whose weights make a library up to four times as large. ``tuned`` is what tuning found quickest on the device, by the
    text of the workload. Raises ConfigError for a target that LLVM does not know or that nothing on this machine links for.
    """

    def __init__(self, target: Target, winograd: bool = True, tuned: Mapping[str, Variant] | None = None) -> None:
        self.target = target
        self._tuned = tuned or {}
        self._kernels = tuple(kernel for kernel in KERNELS if winograd or kernel.name != Winograd.name)
        self._tvm_target = tvm_target(target)
        self._linker = link.linker(target.triple)
        self._spare = link.spare(target.triple, self._linker)
        self.key = _key(target, self._linker, self._spare, winograd, self._tuned)

    def compile(self, model: nn.Module, example: tuple[Tensor, ...], library: Path) -> Composition:
        """Write the library for ``model`` at the shapes of ``example`` to the path ``library``; returns what it is made of.

        ``model`` is in eval mode, float32 and on the CPU, and stays as it is. Raises CompileError when the model cannot
        be exported, an operator cannot be compiled, or the linker fails.
        """
        return self._write(imported(model, example), type(model).__name__, library)

    def compile_onnx(self, model: OnnxModel, library: Path) -> Composition:
        """Write the library for the model of an ONNX file to the path ``library``; as ``compile``."""
        return self._write(model.imported(), str(model.path), library)

    def sites(self, module: Any) -> list[Site]:
        """Where there are several ways to compute something in an imported graph, the most frequent first."""
        choice = Choice(self._kernels, Machine.of(self.target))
        with self._tvm_target, without_stderr():
            lower(simplify(module), choice)
        found = [workload for workload, _ in choice.calls.most_common() if len(choice.variants(workload)) > 1]
        return [choice.sites[workload] for workload in found]

    def compile_contest(self, sites: Sequence[Site], count: int, library: Path) -> tuple[Contenders, ...]:
        """Write a library with at most ``count`` variants of each site's kernel to the path ``library``.

        Returns which of its functions computes which, site by site. Raises CompileError when the linker fails.
        """
        with self._tvm_target as target, without_stderr():
            module, contenders = contest(sites, Choice(self._kernels, Machine.of(self.target)), count)
            built = tvm.compile(module, target, tir_pipeline=pipeline.NAME)
        link.link(built, self._linker, library, self.target.triple, self._spare)
        return contenders

    def _write(self, module: Any, name: str, library: Path) -> Composition:
        choice = Choice(self._kernels, Machine.of(self.target), self._tuned)
        try:
            with self._tvm_target as target:
                with without_stderr():  # where a graph complains that is dropped half-built
                    module = lower(simplify(module), choice)
                executable = relax.build(module, target, tir_pipeline=pipeline.NAME)
        except Exception as error:
            raise CompileError(
                f"TVM cannot compile {name} for {self.target.cpu}: {type(error).__name__}: {first_line(error)}"
            ) from error
        link.link(executable, self._linker, library, self.target.triple, self._spare)
        return Composition(choice.uses, fallbacks(module))


def _key(
    target: Target, linker: tuple[str, ...], spare: tuple[str, ...] | None, winograd: bool, tuned: Mapping[str, Variant]
) -> str:
    """All a library's bytes depend on but the model: versions, this package's source, target, settings and linkers."""
    digest = sources.digest(".")
    found = hashlib.sha256(repr(sorted(tuned.items())).encode()).hexdigest()
    fields = ",".join(f"{name}={value}" for name, value in asdict(target).items())
    versions = ",".join(f"{package}={version(package)}" for package in ("apache-tvm", "torch"))
    linkers = " or ".join(link.version(command) for command in (linker, spare) if command is not None)
    return f"tvm({versions},sources={digest[:16]},{fields},winograd={winograd},tuned={found[:16]},linker={linkers})"
