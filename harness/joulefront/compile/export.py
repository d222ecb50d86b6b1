"""From a torch model to a Relax module, and what to say when that does not go."""

from __future__ import annotations

import copy
import gc
import logging
import re
import sysconfig
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tvm.relax.frontend.torch import from_exported_program

from joulefront.compile import direct
from joulefront.compile.quiet import without_stderr
from joulefront.errors import CompileError


def imported(model: nn.Module, example: tuple[Tensor, ...]) -> Any:
    """The Relax module whose ``main`` computes the model at the shapes of ``example``; the model is left as it is.

    Raises CompileError when the model cannot be exported or has an operator that TVM does not know.
    """
    _check(model, example)
    try:
        model = copy.deepcopy(model).eval()
    except Exception as error:
        raise CompileError(
            f"{type(model).__name__} cannot be copied: {type(error).__name__}: {first_line(error)}"
        ) from error
    with _quiet(), torch.no_grad():
        try:
            program = torch.export.export(model, example)
        except Exception as error:
            raise _export_error(model, error) from error
        if misread := direct.misread(program):
            raise CompileError(f"{type(model).__name__} uses what TVM would compute wrongly: {misread}")
        try:
            if direct.is_known(program):
                return from_exported_program(
                    program,
                    unwrap_unit_return_tuple=True,
                    run_ep_decomposition=False,
                    custom_convert_map=dict(direct.CONVERTERS),
                )
            return from_exported_program(program, unwrap_unit_return_tuple=True)
        except Exception as error:
            # The importer's half-built graph complains on stderr when it goes, so it is to go now.
            with without_stderr():
                traceback.clear_frames(error.__traceback__)
                gc.collect()
            raise _import_error(model, error) from error


def _check(model: nn.Module, example: tuple[Tensor, ...]) -> None:
    named = [*model.named_parameters(), *model.named_buffers(), *((f"input {i}", t) for i, t in enumerate(example))]
    for name, tensor in named:
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise CompileError(f"{name} is {dtype}; only float32 models are compiled: call model.float()")
        if tensor.device.type != "cpu":
            raise CompileError(f"{name} is on {tensor.device}; models are compiled from the CPU: call model.cpu()")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch and TVM say about their own insides: errors say all that the user needs."""
    # torch gives several of its loggers handlers of their own.
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "torch"]
    loggers = [logging.getLogger(name) for name in names]
    disabled = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            warnings.filterwarnings("ignore", "The tensor attributes? .* assigned during export", UserWarning)
            yield
    finally:
        for logger, was in zip(loggers, disabled, strict=True):
            logger.disabled = was


def _export_error(model: nn.Module, error: Exception) -> CompileError:
    name, where = type(model).__name__, _user_line(error)
    if "data-dependent" in str(error).lower() or "DataDependent" in type(error).__name__:
        return CompileError(
            f"{name} cannot be exported: its forward decides by the values of a tensor{where}. "
            "Use torch.where, or decide by shapes, so that every input takes the same path"
        )
    return CompileError(f"{name} cannot be exported: {type(error).__name__}{where}: {first_line(error)}")


def _import_error(model: nn.Module, error: Exception) -> CompileError:
    name = type(model).__name__
    if found := re.search(r"Unsupported function types \[(.*)\]", str(error)):
        operators = ", ".join(f"aten.{operator}" for operator in sorted(re.findall(r"'([^']+)'", found[1])))
        return CompileError(
            f"{name} uses what TVM has no operator for: {operators}. Write it with other torch operators"
        )
    return CompileError(f"{name} cannot be imported into TVM: {type(error).__name__}: {first_line(error)}")


def _user_line(error: Exception) -> str:
    """The last line of the user's own code on the way to the error, as " at file:line (`source`)"; may be empty."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    if not frames:
        return ""
    return f" at {frames[-1].filename}:{frames[-1].lineno} (`{frames[-1].line}`)"


def _is_users(filename: str) -> bool:
    """Whether a source file is neither torch's, nor the standard library's, nor this one."""
    torchs, standard = str(Path(torch.__file__).parent), sysconfig.get_path("stdlib")
    if filename.startswith((torchs, "<")) or filename == __file__:
        return False
    return "site-packages" in filename or not filename.startswith(standard)


def first_line(error: Exception) -> str:
    """The first line of an error's message that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), "no message")
