"""exp, tanh, erf and their like as polynomials: what LLVM would call the C library for, one float at a time.

Each is a tree of additions, multiplications and bit operations, which become vector instructions at any lane count.
Intermediate values are bound by Let, so that no tree is repeated. Relative errors, as measured over all magnitudes of
float32, are at most 2e-7 for exp and sigmoid, 1e-7 for log, 4e-7 for tanh and erf. Infinities, NaN, zeros and
denormals come out as they do in the C library, but that a sigmoid below 1e-38 is zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tvm
import tvm_ffi
from tvm import tirx
from tvm.ir import Call

from joulefront.compile.kernels.tir import Expr

_LOG2_E = 1.44269504088896341
# Cody and Waite's split of log(2): the first part has so few bits that its product with an exponent is exact.
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4
# XNNPACK, f32-vsigmoid rr2-p5: exp(r) for |r| <= log(2) / 2, lowest degree first.
_EXP = (1.0, 0.9999997019767761, 0.4999915063381195, 0.16667652130126953, 0.04189782217144966, 0.008289290592074394)
# Cephes, logf.c: (log(1 + r) - r + r^2 / 2) / r^3 for sqrt(1/2) - 1 <= r <= sqrt(2) - 1.
_LOG = (
    3.3333331174e-1,
    -2.4999993993e-1,
    2.0000714765e-1,
    -1.6668057665e-1,
    1.4249322787e-1,
    -1.2420140846e-1,
    1.1676998740e-1,
    -1.1514610310e-1,
    7.0376836292e-2,
)
# Eigen, generic_fast_erf_float: erf(x) / x as a quotient of polynomials in x^2; beyond the limit erf is one.
_ERF_LIMIT = 3.832506856900711
_ERF_OVER = (
    1.128379143519084,
    0.18520832239976145,
    0.050955695062380861,
    0.0034082910107109506,
    0.00022905065861350646,
)
_ERF_UNDER = (
    1.0,
    0.49746925110067538,
    0.11098505178285362,
    0.014070470171167667,
    0.0010179625278914885,
    0.000023547966471313185,
    -1.1791602954361697e-7,
)
# Eigen, ptanh_float: tanh(x) / x as a quotient of polynomials in x^2, here both divided by the lower one's constant, so
# that denormals stay exact; beyond the limit tanh is one.
_TANH_LIMIT = 9.0
_TANH_CONSTANT = 4.89352518554385e-3
_TANH_OVER = tuple(
    value / _TANH_CONSTANT
    for value in (
        4.89352455891786e-3,
        6.37261928875436e-4,
        1.48572235717979e-5,
        5.12229709037114e-8,
        -8.60467152213735e-11,
        2.00018790482477e-13,
        -2.76076847742355e-16,
    )
)
_TANH_UNDER = tuple(
    value / _TANH_CONSTANT for value in (_TANH_CONSTANT, 2.26843463243900e-3, 1.18534705686654e-4, 1.19825839466702e-6)
)
_ROUND = 12582912.0  # 3 * 2^22: to add it rounds a float32 to an integer, which is then in its lowest bits
_LEAST = 1.17549435e-38  # the least normal float32


def with_polynomials() -> Any:
    """The pass that computes float32 exp, log, tanh, erf and their like by polynomials, in every function."""

    @tvm.transform.module_pass(opt_level=0, name="WithPolynomials")  # type: ignore[untyped-decorator, unused-ignore]
    def run(module: Any, _context: Any) -> Any:
        found = [(v, f) for v, f in module.functions_items() if isinstance(f, tirx.PrimFunc)]
        module = module.clone()
        for variable, function in found:
            module.update_func(variable, function.with_body(tvm_ffi.structural_map(function.body, (Call, _replaced))))
        return module

    return run


def _replaced(call: Any) -> Any:
    if call.op.name not in _FUNCTIONS or str(call.ty.dtype) != "float32":
        return call
    names = _Names()
    arguments = [names.bind(argument) for argument in call.args]
    result = _FUNCTIONS[call.op.name](names, *arguments)
    return call if result is None else names.around(result)


class _Names:
    """Values that are named once and then read as often as one likes."""

    def __init__(self) -> None:
        self._bound: list[tuple[Any, Expr]] = []

    def bind(self, value: Expr) -> Expr:
        """The name of a value."""
        if isinstance(value, tirx.Var | tirx.FloatImm):
            return value
        variable = tirx.Var("t", value.ty.dtype)
        self._bound.append((variable, value))
        return variable

    def around(self, result: Expr) -> Expr:
        """The result in the scope of all the names."""
        for variable, value in reversed(self._bound):
            result = tirx.Let(variable, value, result)
        return result


def _float(value: float) -> Expr:
    return tirx.FloatImm("float32", value)


def _int(value: int) -> Expr:
    return tirx.IntImm("int32", value)


def _horner(x: Expr, coefficients: Sequence[float]) -> Expr:
    """A polynomial, of coefficients lowest degree first."""
    *others, result = (_float(value) for value in coefficients)
    for coefficient in reversed(others):
        result = result * x + coefficient
    return result


def _clamped(x: Expr, low: float, high: float) -> Expr:
    """``x`` within bounds; NaN stays, as these give their second operand unless the first is above or below it."""
    return tirx.min(_float(high), tirx.max(_float(low), x))


def _shifted(exponent: Expr) -> Expr:
    """2 to an int32 from -126 to 127; infinity for 128."""
    return tirx.reinterpret("float32", tirx.shift_left(exponent + _int(127), _int(23)))


def _exp_parts(names: _Names, x: Expr) -> tuple[Expr, Expr]:
    """(p, n) with exp(x) = p 2^n, p near 1 and n a float32 plus ``_ROUND``, for x within the range of float32."""
    shifted = names.bind(x * _float(_LOG2_E) + _float(_ROUND))
    n = names.bind(shifted - _float(_ROUND))
    r = names.bind(n * _float(-_LN2_LOW) + (n * _float(-_LN2_HIGH) + x))
    p = names.bind(_horner(r, _EXP))
    return p, tirx.reinterpret("int32", shifted) - _int(0x4B400000)


def _exp(names: _Names, x: Expr) -> Expr:
    """The power of two in two halves: it may be that of a denormal, or of infinity."""
    p, n = _exp_parts(names, names.bind(_clamped(x, -104.0, 89.0)))
    n = names.bind(n)
    half = names.bind(tirx.shift_right(n, _int(1)))
    return p * _shifted(half) * _shifted(n - half)


def _normal_exp(names: _Names, x: Expr) -> Expr:
    """exp(x), but never a denormal: for where 1 is added to it."""
    p, n = _exp_parts(names, names.bind(_clamped(x, -87.0, 89.0)))
    return p * _shifted(n)


def _sigmoid(names: _Names, x: Expr) -> Expr:
    return _float(1.0) / (_float(1.0) + _normal_exp(names, _float(0.0) - x))


def _quotient(names: _Names, x: Expr, over: Sequence[float], under: Sequence[float]) -> Expr:
    square = names.bind(x * x)
    return x * _horner(square, over) / _horner(square, under)


def _tanh(names: _Names, x: Expr) -> Expr:
    return _quotient(names, names.bind(_clamped(x, -_TANH_LIMIT, _TANH_LIMIT)), _TANH_OVER, _TANH_UNDER)


def _erf(names: _Names, x: Expr) -> Expr:
    return _quotient(names, names.bind(_clamped(x, -_ERF_LIMIT, _ERF_LIMIT)), _ERF_OVER, _ERF_UNDER)


def _log(names: _Names, x: Expr) -> Expr:
    """The mantissa's logarithm by a polynomial, the exponent's by a product."""
    tiny = x < _float(_LEAST)  # TVM cannot name a vector of truths
    bits = names.bind(tirx.reinterpret("int32", tirx.Select(tiny, x * _float(2.0**23), x)))
    # The exponent is such that the mantissa is between sqrt(1/2) and sqrt(2).
    exponent = names.bind(tirx.shift_right(bits - _int(0x3F3504F3), _int(23)))
    r = names.bind(tirx.reinterpret("float32", bits - tirx.shift_left(exponent, _int(23))) - _float(1.0))
    n = names.bind(tirx.Cast("float32", exponent - tirx.Select(tiny, _int(23), _int(0))))
    square = names.bind(r * r)
    tail = names.bind(_horner(r, _LOG) * r * square + n * _float(_LN2_LOW) - square * _float(0.5))
    finite = n * _float(_LN2_HIGH) + (r + tail)
    result = tirx.Select(x < _float(math.inf), finite, x)  # infinity, and NaN
    result = tirx.Select(x < _float(0.0), _float(math.nan), result)
    return tirx.Select(tirx.EQ(x, _float(0.0)), _float(-math.inf), result)


_FUNCTIONS: dict[str, Callable[..., Expr]] = {
    "tirx.exp": _exp,
    "tirx.sigmoid": _sigmoid,
    "tirx.tanh": _tanh,
    "tirx.erf": _erf,
    "tirx.log": _log,
}
