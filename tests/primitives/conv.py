"""Draws of convolutions: one to three spatial axes, any layout, stride, dilation and grouping."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

import etp
from etp_ir.windows import Window
from tests.primitives.drawn import Drawn, normal, register

# Extents of the input, so that three axes have no more positions than one.
MOST = {1: 6, 2: 3, 3: 2}


@st.composite
def conv(draw: Any) -> Drawn:
    axes = draw(st.sampled_from([1, 1, 2, 2, 3]))
    letters = "DHW"[-axes:]

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    sizes, taps = each(1, MOST[axes]), each(1, 4 - axes if axes > 1 else 3)
    strides, spread, apart = each(1, 2), each(1, 2), each(1, 2)
    padding = tuple(zip(each(-1, 2), each(-1, 2), strict=True))
    for n, k, s, (low, high), a, b in zip(
        sizes, taps, strides, padding, spread, apart, strict=True
    ):
        # Every axis has a result that reads an element.
        assume((Window(n, k, s, low, high, a, b).table() >= 0).any())
    groups, inside, outside = (draw(st.integers(1, 2)) for _ in range(3))
    image, result = ("".join(draw(st.permutations("C" + letters))) for _ in range(2))
    kernel = "".join(draw(st.permutations("IO" + letters)))
    extents = dict(zip(letters, sizes, strict=True))
    x_shape = [{"C": groups * inside, **extents}[c] for c in image]
    reach = {**dict(zip(letters, taps, strict=True)), "I": inside, "O": groups * outside}
    # Options are in the order of the spatial axes of the input.
    order = [letters.index(c) for c in image if c != "C"]
    options = {
        name: tuple(given[i] for i in order)
        for name, given in (("strides", strides), ("padding", padding), ("lhs_dilation", spread),
                            ("rhs_dilation", apart))
    }  # fmt: skip
    lead = draw(st.sampled_from([(), (), (1,), (2,)]))
    n = "N" if lead else draw(st.sampled_from(["", "N"]))
    layout = (n + image, kernel, n + result)
    seed = draw(st.integers(0, 999))
    weights = {"w": normal(seed, *(reach[c] for c in kernel))}
    if draw(st.booleans()):
        weights["bias"] = normal(seed + 1, groups * outside)

    def call(x: Any, p: Any) -> Any:
        return etp.conv(
            x, p["w"], p.get("bias"), feature_group_count=groups,
            dimension_numbers=layout, **options,
        )  # fmt: skip

    x = normal(seed + 2, *lead, *x_shape)
    assume(np.abs(call(x, weights)).max() > 0.1)
    text = f"conv {layout} groups={groups} {options}"
    return Drawn(call, x, weights, text=text)


register("etp.conv", conv())
