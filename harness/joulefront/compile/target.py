"""A target in TVM's terms, checked first: for a processor it does not know TVM warns, and for a triple it crashes."""

from __future__ import annotations

import difflib
from typing import Any

import tvm

from joulefront.compile.quiet import without_stderr
from joulefront.errors import ConfigError
from joulefront.records import Target


def tvm_target(target: Target) -> Any:
    """TVM's target. Raises ConfigError when LLVM does not know the triple's architecture, the processor or a feature."""
    architecture = target.triple.split("-")[0]
    known = [str(name) for name in tvm.get_global_func("target.llvm_get_targets")()]
    if not any(architecture.startswith(name) for name in known):
        raise ConfigError(
            f"target: LLVM knows no architecture like that of triple {target.triple!r}: {', '.join(known)}"
        )
    described: dict[str, Any] = {"kind": "llvm", "mtriple": target.triple}
    processors = tvm.get_global_func("target.llvm_get_cpu_archlist")(tvm.target.Target(described))
    names = [str(name) for name in processors]
    if target.cpu not in names:
        near = difflib.get_close_matches(target.cpu, names, 3) or names
        raise ConfigError(
            f"target: LLVM knows no cpu {target.cpu!r} for {target.triple}; did you mean {', '.join(near)}?"
        )
    described["mcpu"] = target.cpu
    for feature in target.features:
        name = feature.removeprefix("+").removeprefix("-")
        if not _is_feature(described, name):
            raise ConfigError(f"target: LLVM knows no feature {name!r} for {target.triple}")
        if name == feature:
            raise ConfigError(f"target: feature {name!r} needs a sign: +{name} or -{name}")
    if target.features:
        described["mattr"] = list(target.features)
    return tvm.target.Target(described)


def _is_feature(described: dict[str, Any], name: str) -> bool:
    """Whether the processor has the feature once it is added."""
    with without_stderr():  # where LLVM writes that it ignores one
        features = tvm.get_global_func("target.llvm_get_cpu_features")(
            tvm.target.Target(described | {"mattr": [f"+{name}"]})
        )
    return name in {str(known) for known in features}
