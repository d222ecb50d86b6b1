"""From a torch model to a shared library for a device. Importing this room loads torch and TVM."""

from joulefront.compile.compiler import TvmCompiler

__all__ = ["TvmCompiler"]
