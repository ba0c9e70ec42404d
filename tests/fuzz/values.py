"""What is thrown at the workbench: numbers, arrays, classes, layers and words, right, wrong and hostile."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

HUGE = 10**13
_WORDS = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "{{7*7}}{% raw %}",
    "%{customdata}",
    "{0.__class__}",
    "__import__('os').system('touch executed')",
    "$(touch executed)",
    "../../etc/passwd",
    "a\nb\r\0c",
    "\u202e\ud7ff",
    "'\"`;--",
    "",
    "javascript:alert(1)",
    "&lt;b&gt;",
    "[1]*10**9",
)


def mostly(right: st.SearchStrategy[Any], wrong: st.SearchStrategy[Any], *, of: int = 7) -> st.SearchStrategy[Any]:
    """Something right, or once in so many times something that may be wrong."""
    return st.integers(1, of).flatmap(lambda draw: wrong if draw == of else right)


words = st.one_of(st.text(max_size=12), st.sampled_from(_WORDS))
#: Whole numbers that are asked for: few, none, fewer than none, or more than any memory holds.
counts = mostly(st.integers(2, 5), st.sampled_from([1, 0, -1, HUGE, 2**63, 10**30]))
few = mostly(st.integers(1, 5), st.integers(-2, 0))
seeds = mostly(st.integers(0, 5), st.sampled_from([-1, 2**31, 2**62, 2**64, -(2**70)]))
_WILD = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, -1.0, 1e-300, 1e300]))
numbers = mostly(st.floats(0.05, 2), _WILD)
shares = mostly(st.floats(0.05, 0.6), _WILD)
classes = mostly(st.integers(0, 2), st.one_of(st.integers(-2, 4), words, st.just(2**70)))
layers = mostly(st.sampled_from(["1", "2", 1, -1]), st.one_of(st.integers(-7, 7), words))

_DTYPES = st.sampled_from(["float32", "float64", "float16", "int64", "uint8", "bool", "complex64"])


@st.composite
def arrays(draw: st.DrawFn, *shape: int) -> Any:
    """An array or tensor, mostly of the shape (batch, *shape), of any dtype, with or without NaN and infinity."""
    dims = draw(
        st.one_of(
            st.integers(0, 3).map(lambda n: (n, *shape)),
            st.just(shape),
            st.lists(st.integers(0, 4), max_size=4).map(tuple),
        )
    )
    dtype = draw(_DTYPES)
    kind = np.dtype(dtype).kind
    if kind == "f":
        elements = (
            st.one_of(st.floats(-1, 1, width=16), st.floats(width=16, allow_nan=True, allow_infinity=True))
            if draw(st.booleans())
            else st.floats(-1, 1, width=16)
        )
        array = draw(hnp.arrays(dtype, dims, elements=elements))
    elif kind == "c":
        array = np.zeros(dims, dtype)
    else:
        array = draw(hnp.arrays(dtype, dims, elements=st.integers(0, 1) if kind != "b" else st.booleans()))
    return array if draw(st.booleans()) else torch.from_numpy(array)


def batches(*shape: int) -> st.SearchStrategy[Any]:
    """Finite rows, or an array of any kind, or something that is none."""
    nothing = st.sampled_from([None, "z", [], [[1, 2], [3]], {}, object(), [["a"] * 4], float("nan")])
    return mostly(good(2, *shape), st.one_of(arrays(*shape), arrays(*shape), nothing), of=3)


def good(*shape: int) -> st.SearchStrategy[torch.Tensor]:
    """Finite points of a shape, in [-1, 1]."""
    return hnp.arrays("float32", shape, elements=st.floats(-1, 1, width=16)).map(torch.from_numpy)
