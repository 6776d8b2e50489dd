"""Cosine, deviation and ratio of gradients, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

import etp
from etp.study import align, alignment


def test_numbers_by_hand():
    a = alignment([3.0, 4.0], [3.0, 0.0])
    assert a.cosine == pytest.approx(3 / 5)
    assert a.deviation == pytest.approx(4 / 3)
    assert a.ratio == pytest.approx(5 / 3)
    assert (a.norm, a.reference) == (5.0, 3.0)
    assert a.deviation**2 == pytest.approx(1 - 2 * a.ratio * a.cosine + a.ratio**2)


def test_a_cosine_of_one_does_not_hide_the_size():
    a = alignment(2 * np.ones(3), np.ones(3))
    assert (a.cosine, a.ratio, a.deviation) == pytest.approx((1.0, 2.0, 1.0))


def test_zeros_are_told_apart():
    assert math.isnan(alignment([0.0], [1.0]).cosine)
    assert alignment([0.0], [1.0]).deviation == 1.0
    assert math.isnan(alignment([1.0], [0.0]).deviation)
    assert alignment([0.0], [0.0]).deviation == 0.0


def test_all_parameters_are_one_vector():
    rng = np.random.default_rng(0)
    r = {"a": rng.normal(size=(2, 3)), "b": rng.normal(size=4)}
    g = {"a": rng.normal(size=(2, 3)), "b": rng.normal(size=4)}
    whole = [np.concatenate([d["a"].ravel(), d["b"]]) for d in (g, r)]
    found = align(g, r)
    assert found.overall.to_dict() == pytest.approx(alignment(*whole).to_dict())
    assert found.parameters["b"] == alignment(g["b"], r["b"])
    assert align(g, r, ["a"]).overall == found.parameters["a"]


def test_what_one_lacks_is_named_and_left_out():
    found = align({"a": [1.0]}, {"a": [1.0], "b": [5.0]})
    assert found.missing == ("b",)
    assert found.overall.deviation == 0.0


def test_mistakes():
    with pytest.raises(etp.ETPError, match="no parameter in common"):
        align({"a": [1.0]}, {"b": [1.0]})
    with pytest.raises(etp.ETPError, match="no gradient of 'c'"):
        align({"a": [1.0]}, {"a": [1.0]}, ["c"])
    with pytest.raises(etp.ShapeError, match="'a': a gradient of shape"):
        align({"a": [1.0]}, {"a": [1.0, 2.0]})
