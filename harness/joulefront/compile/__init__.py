"""From a torch model to a shared library for a device. The room's modules load torch and TVM; this page does not."""

from collections.abc import Mapping

READY: Mapping[str, str] = {"tvm": "joulefront.compile.compiler:TvmCompiler"}
"""What ``[compile] kind`` may name."""
