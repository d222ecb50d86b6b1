"""What a compiled network is made of, for programs and for people."""

from dataclasses import replace

import pytest

from joulefront.kernel_records import Composition, Fallback, Function, KernelUse
from joulefront.records import Artifact, Target
from joulefront.report.composition import composition, line

TUNED, UNTUNED = (KernelUse(f"dense data=1,{size}", "dense", size == 8, 1) for size in (8, 9))
CUMSUM, ARGMAX, AGAIN = (
    Fallback(Function(name, ()), operators, 1)
    for name, operators in (("cumsum", "cumsum"), ("argmax", "argmax"), ("cumsum1", "cumsum"))
)


def artifact(*kernels, fallbacks=()):
    target = Target("x86_64-linux-gnu", "x86-64-v3", (), 8, 16)
    return Artifact("key", "0" * 64, 1, target, Composition(kernels, fallbacks))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (artifact(TUNED, UNTUNED), "2 of ours, 1 of them tuned"),
        (artifact(UNTUNED), "1 of ours, none of them tuned"),
        (artifact(fallbacks=(CUMSUM,)), "none of ours; 1 function of TVM's own loops: cumsum"),
        (
            artifact(TUNED, fallbacks=(CUMSUM, ARGMAX, AGAIN)),
            "1 of ours, 1 of them tuned; 3 functions of TVM's own loops: cumsum, argmax",
        ),
        (artifact(), "not known: its compiler did not tell"),
        (None, "not known: it was never compiled"),
    ],
)
def test_a_line_tells_how_many_were_tuned_and_what_no_kernel_computes(made, said):
    assert line(composition(made)) == said


def test_what_is_not_known_is_none_with_a_reason():
    unknown = composition(replace(artifact(TUNED), composition=Composition()))
    assert unknown == {"kernels": None, "fallbacks": None, "kernels_reason": "its compiler did not tell"}
    assert composition(artifact(TUNED))["fallbacks"] == []
