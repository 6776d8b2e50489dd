"""What was learned comes back into a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import etp

RNG = np.random.default_rng(0)
XS, YS = RNG.normal(size=(5, 4, 3)), RNG.integers(0, 2, size=(5, 4))


def net(n_rec: int = 6, seed: int = 0) -> etp.nn.Sequential:
    rng = np.random.default_rng(seed)
    return etp.nn.Sequential(
        etp.nn.GRUCell(3, n_rec, rng=rng),
        etp.nn.BatchNorm1d(n_rec),
        etp.nn.Linear(n_rec, 2, rng=rng),
    )


def trained(model: etp.Module) -> Any:
    learner = etp.compile(model, backend="numpy")
    learner.fit([(XS, YS)], etp.optim.sgd(0.3))
    return learner


def test_trained_parameters_and_buffers_come_back() -> None:
    model = net()
    before = model.state_dict()
    learner = trained(model)
    assert all(np.array_equal(model.state_dict()[n], x) for n, x in before.items())
    assert learner.copy_to() is model
    after = model.state_dict()
    for name, array in {**learner.params, **learner.buffers}.items():
        np.testing.assert_array_equal(after[name], array)
        assert not np.array_equal(after[name], before[name]), name
    fresh = etp.compile(model, backend="numpy")
    np.testing.assert_array_equal(fresh.predict(XS), learner.predict(XS))
    # The model's arrays are its own: training goes on without them.
    learner.fit([(XS, YS)])
    np.testing.assert_array_equal(model.state_dict()["layers.0.r.w_in"], after["layers.0.r.w_in"])


def test_another_model_of_the_same_parameters_takes_them() -> None:
    learner, other = trained(net()), net(seed=1)
    assert learner.copy_to(other) is other
    name = "layers.2.weight"
    np.testing.assert_array_equal(other.state_dict()[name], learner.params[name])


def test_a_model_that_does_not_fit_is_left_as_it_was() -> None:
    learner, wide = trained(net()), net(n_rec=7)
    before = wide.state_dict()
    with pytest.raises(etp.ShapeError, match=r"layers\.0\.r\.w_in.*\(3, 7\)(.|\n)*test_copying"):
        learner.copy_to(wide)
    assert all(np.array_equal(wide.state_dict()[n], x) for n, x in before.items())
    with pytest.raises(etp.ModelError, match=r"no trained parameter 'layers\.0\.r\.w_in'"):
        learner.copy_to(etp.nn.Linear(3, 2, rng=RNG))
    without = trained(etp.nn.GRUCell(3, 2, reset="before", rng=RNG))
    with pytest.raises(etp.ModelError, match=r"the learner has no trained parameter 'b_rec'"):
        without.copy_to(etp.nn.GRUCell(3, 2, rng=RNG))
    with pytest.raises(etp.ModelError, match="Module"):
        learner.copy_to({})


def test_loading_parameters_alone_says_how_to_copy_them() -> None:
    model = net()
    wanted = r"no array for layers\.0\.h(.|\n)*learner\.copy_to\(model\)"
    with pytest.raises(etp.ModelError, match=wanted):
        model.load_state_dict(trained(model).params)
