"""From a torch model to a shared library for a device. Importing this room loads torch and TVM."""

from collections.abc import Mapping

from joulefront.compile.compiler import TvmCompiler

READY: Mapping[str, str] = {"tvm": "joulefront.compile.compiler:TvmCompiler"}
"""What ``[compile] kind`` may name."""

__all__ = ["READY", "TvmCompiler"]
