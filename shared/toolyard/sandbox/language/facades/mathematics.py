"""Numbers: math, statistics, random, decimal, fractions."""

import decimal
import fractions
import math
import random
import statistics
from typing import Final

from toolyard.sandbox.language.facades.facade import Facade, facade
from toolyard.sandbox.language.guards import make_writable

# A context is changed by setting its attributes; it belongs to the process, which ends with the call.
make_writable(decimal.Context)

MODULES: Final[dict[str, Facade]] = {
    "math": facade(
        "math",
        math,
        "acos acosh asin asinh atan atan2 atanh cbrt ceil comb copysign cos cosh degrees dist e erf erfc exp exp2 "
        "expm1 fabs factorial floor fmod frexp fsum gamma gcd hypot inf isclose isfinite isinf isnan isqrt lcm ldexp "
        "lgamma log log10 log1p log2 modf nan nextafter perm pi pow prod radians remainder sin sinh sqrt tan tanh tau "
        "trunc ulp",
    ),
    "statistics": facade(
        "statistics",
        statistics,
        "NormalDist StatisticsError correlation covariance fmean geometric_mean harmonic_mean linear_regression mean "
        "median median_grouped median_high median_low mode multimode pstdev pvariance quantiles stdev variance",
    ),
    "random": facade(
        "random",
        random,
        "Random SystemRandom betavariate choice choices expovariate gammavariate gauss getrandbits lognormvariate "
        "normalvariate paretovariate randbytes randint random randrange sample seed shuffle triangular uniform "
        "vonmisesvariate weibullvariate",
    ),
    "decimal": facade(
        "decimal",
        decimal,
        "BasicContext Clamped Context ConversionSyntax Decimal DecimalException DefaultContext DivisionByZero "
        "DivisionImpossible DivisionUndefined ExtendedContext FloatOperation Inexact InvalidContext InvalidOperation "
        "Overflow ROUND_05UP ROUND_CEILING ROUND_DOWN ROUND_FLOOR ROUND_HALF_DOWN ROUND_HALF_EVEN ROUND_HALF_UP "
        "ROUND_UP Rounded Subnormal Underflow getcontext localcontext setcontext",
    ),
    "fractions": facade("fractions", fractions, "Fraction"),
}
