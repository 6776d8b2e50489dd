"""The learner's public contract: predict, grad, step, parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import etp
from tests.learner.setups import BATCH, LENGTH, arrays, learner
from tests.models import N_OUT, build, data


def close(got: Any, want: Any, tolerance: float = 1e-12) -> None:
    """Compare gradients by the largest of all, which must not vanish."""
    assert list(got) == list(want)
    scale = max(np.abs(w).max() for w in want.values())
    assert scale > 1e-3
    for name in want:
        assert np.abs(got[name] - want[name]).max() < tolerance * scale, name


def total(*many: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: np.sum([g[n] for g in many], axis=0) for n in many[0]}


def scaled(factor: float, grads: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {n: factor * g for n, g in grads.items()}


# -- predict -------------------------------------------------------------------------------
@pytest.mark.parametrize(("length", "batch"), [(1, 1), (LENGTH, BATCH), (4, 1)])
def test_predict_gives_one_output_per_step_and_example(length: int, batch: int) -> None:
    lr, (x, _) = learner(), data(length, batch)
    out = lr.predict(x)
    assert out.shape == (length, batch, N_OUT)
    model = build("rnn")
    for b in range(batch):
        model.reset_states()
        for t in range(length):
            np.testing.assert_allclose(out[t, b], model(x[t, b]), rtol=1e-12)
    assert np.ptp(out) > 0.1


def test_inputs_may_be_lists_tuples_and_dicts() -> None:
    class Two(etp.Module):
        def __init__(self) -> None:
            self.cell = build("rnn")

        def __call__(self, x: Any) -> Any:
            first, second = (x["a"], x["b"]) if isinstance(x, dict) else x
            return self.cell(first * second)

    x, _ = data(4, 2)
    want = learner().predict(x * (x + 1))
    lr = etp.compile(Two(), loss="mse", backend="numpy", dtype="float64")
    for given in [(x, x + 1), {"a": x, "b": x + 1}, {"b": x + 1, "a": x}]:
        np.testing.assert_allclose(lr.predict(given), want, rtol=1e-14)
    np.testing.assert_array_equal(learner().predict(x.tolist()), learner().predict(x))


def test_tensors_of_other_libraries_are_read() -> None:
    class Torch:
        """What PyTorch offers of a tensor that needs a gradient."""

        def __init__(self, array: Any, ready: bool = False) -> None:
            self.array, self.shape, self.dtype, self.ready = array, array.shape, object(), ready

        def detach(self) -> Any:
            return self

        def cpu(self) -> Any:
            return Torch(self.array, ready=True)

        def numpy(self) -> Any:
            assert self.ready
            return self.array

        def __array__(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("call detach() first")

    class TensorFlow:
        def __init__(self, array: Any) -> None:
            self.array, self.shape, self.dtype = array, object(), "<dtype: 'float64'>"

        def numpy(self) -> Any:
            return self.array

    x, y = data(LENGTH, BATCH)
    want = learner().grad(x, y)[0]
    for kind in (Torch, TensorFlow):
        close(learner().grad(kind(x), kind(y))[0], want, 1e-15)


# -- grad ----------------------------------------------------------------------------------
def test_grad_changes_nothing() -> None:
    lr, (x, y) = learner(), data(LENGTH, BATCH)
    lr.step(x[0], y[0])
    before = arrays(lr.params), arrays(lr.stream), arrays(lr.gradients), x.copy(), y.copy()
    first, second = lr.grad(x, y)[0], lr.grad(x, y)[0]
    after = arrays(lr.params), arrays(lr.stream), arrays(lr.gradients), x, y
    for a, b in zip(before, after, strict=True):
        np.testing.assert_equal(a, b)
    np.testing.assert_equal(first, second)
    assert list(first) == list(lr.params)


def test_gradient_and_loss_are_reduced_as_they_say() -> None:
    lr, (x, y) = learner(), data(LENGTH, BATCH)
    (mean, m), (whole, s) = lr.grad(x, y), lr.grad(x, y, reduction="sum")
    close(mean, scaled(1 / (LENGTH * BATCH), whole))
    assert m["loss"] == pytest.approx(s["loss"] / (LENGTH * BATCH), rel=1e-12)
    error = np.square(lr.predict(x) - y).mean(axis=-1)
    assert s["loss"] == pytest.approx(error.sum(), rel=1e-12)


def test_mean_divides_each_example_by_its_unmasked_steps() -> None:
    lr, (x, y) = learner(), data(LENGTH, BATCH)
    mask = np.zeros((LENGTH, BATCH))
    mask[[1, 3, 6], 0] = mask[2, 1] = mask[:, 2] = 1
    parts, losses = [], []
    for b in range(BATCH):
        g, m = lr.grad(x[:, [b]], y[:, [b]], mask[:, [b]], reduction="sum")
        parts.append(scaled(1 / (mask[:, b].sum() * BATCH), g))
        losses.append(m["loss"] / mask[:, b].sum() / BATCH)
    got, metrics = lr.grad(x, y, mask)
    close(got, total(*parts))
    assert metrics["loss"] == pytest.approx(sum(losses), rel=1e-12)


def test_a_mask_of_steps_is_a_mask_of_all_examples() -> None:
    lr, (x, y) = learner(), data(LENGTH, BATCH)
    mask = np.array([1, 0, 1, 1, 0, 0, 1])
    wide = np.repeat(mask[:, None], BATCH, axis=1)
    np.testing.assert_equal(lr.grad(x, y, mask)[0], lr.grad(x, y, wide.astype(bool))[0])
    unlike = max(np.abs(a - b).max() for a, b in zip(
        lr.grad(x, y, mask)[0].values(), lr.grad(x, y)[0].values(), strict=True))  # fmt: skip
    assert unlike > 1e-3


def test_masked_steps_still_advance_the_network() -> None:
    """What comes after the last unmasked step does not count, what comes before does."""
    lr, (x, y) = learner("leaky"), data(LENGTH, BATCH)
    mask = np.arange(LENGTH) == 4
    got = lr.grad(x, y, mask, reduction="sum")[0]
    close(lr.grad(x[:5], y[:5], mask[:5], reduction="sum")[0], got)
    alone = lr.grad(x[4:5], y[4:5], reduction="sum")[0]
    assert np.abs(alone["cell.w"] - got["cell.w"]).max() > 1e-2


@pytest.mark.parametrize("schedule", ["step", "auto", 3])
def test_an_empty_mask_gives_zeros(schedule: Any) -> None:
    lr, (x, y) = learner(schedule=schedule), data(LENGTH, BATCH)
    for reduction in ("mean", "sum"):
        grads, metrics = lr.grad(x, y, np.zeros(LENGTH), reduction=reduction)
        assert metrics["loss"] == 0
        assert all(not np.any(g) for g in grads.values())


def test_a_sequence_that_chunks_do_not_divide() -> None:
    x, y = data(LENGTH, BATCH)
    want = learner(schedule="step").grad(x, y)[0]
    for schedule in ("chunk(4)", "chunk(5)", 2, "chunk"):
        lr = learner(schedule=schedule)
        close(lr.grad(x, y)[0], want)
        if schedule == "chunk(4)":
            assert lr.report().schedule == "chunk(4)"


def test_new_sizes_are_met_by_themselves() -> None:
    lr = learner()
    for length, batch in [(3, 2), (7, 2), (3, 5), (1, 1), (3, 2)]:
        x, y = data(length, batch)
        fresh = learner()
        close(lr.grad(x, y)[0], fresh.grad(x, y)[0], 1e-15)
        lr.fit([(x, y)], etp.optim.sgd(0.0))
        assert lr.predict(x).shape == (length, batch, N_OUT)


def test_labels_and_other_element_types() -> None:
    x, _ = data(LENGTH, BATCH)
    labels = np.arange(LENGTH * BATCH).reshape(LENGTH, BATCH) % N_OUT
    want = learner(loss="softmax_cross_entropy").grad(x, np.eye(N_OUT)[labels])
    for kind in ("int64", "int32", "uint8", "int8"):
        got = learner(loss="softmax_cross_entropy").grad(x, labels.astype(kind))
        close(got[0], want[0], 1e-14)
        assert got[1]["accuracy"] == want[1]["accuracy"]
    single = learner().grad(x.astype("float32"), x.astype("float32"))[0]
    assert {g.dtype.name for g in single.values()} == {"float64"}
    assert {g.dtype.name for g in learner(dtype="float32").grad(x, x)[0].values()} == {"float32"}


# -- parameters ----------------------------------------------------------------------------
def test_compile_never_changes_the_model() -> None:
    model = build("gru")
    before = {n: x.copy() for n, x in model.state_dict().items()}
    lr = etp.compile(model, loss="mse", backend="numpy", dtype="float64")
    x, y = data(LENGTH, BATCH)
    lr.fit([(x, y)], etp.optim.adam(0.1))
    lr.step(x[0], y[0], optimizer=etp.optim.adam(0.1))
    np.testing.assert_equal(model.state_dict(), before)
    assert list(lr.params) == list(model.named_params())
    moved = [n for n, p in lr.params.items() if np.abs(p - before[n]).max() > 1e-3]
    assert moved == list(lr.params)


def test_parameters_can_be_set() -> None:
    lr, other = (
        learner(),
        etp.compile(build("rnn", 5), loss="mse", backend="numpy", dtype="float64"),
    )
    x, y = data(LENGTH, BATCH)
    assert np.abs(lr.predict(x) - other.predict(x)).max() > 0.1
    lr.params = other.params
    np.testing.assert_array_equal(lr.predict(x), other.predict(x))
    given = np.zeros(N_OUT)
    lr.params = {"readout.bias": given}
    given += 1
    np.testing.assert_array_equal(lr.params["readout.bias"], 0)
    lr.params = {"readout.bias": [1, 2]}
    np.testing.assert_allclose(
        lr.predict(x), other.predict(x) - other.params["readout.bias"] + [1, 2]
    )


def test_setting_parameters_is_all_or_nothing() -> None:
    lr = learner()
    before = arrays(lr.params)
    with pytest.raises(
        etp.ModelError, match=r"no parameter 'readout.wieght'; did you mean 'readout.weight'\?"
    ):
        lr.params = {"readout.bias": np.ones(N_OUT), "readout.wieght": np.ones((3, 2))}
    with pytest.raises(etp.ShapeError, match=r"'readout.weight' has shape \(3, 2\), got \(2, 3\)"):
        lr.params = {"readout.bias": np.ones(N_OUT), "readout.weight": np.ones((2, 3))}
    np.testing.assert_equal(arrays(lr.params), before)
    with pytest.raises(ValueError, match="read-only"):
        lr.params["readout.bias"] += 1
    handed = lr.params  # what is handed out is a dict of its own
    handed["readout.bias"] = None
    np.testing.assert_equal(arrays(lr.params), before)


# -- streaming -----------------------------------------------------------------------------
def test_the_stream_shows_its_states_and_traces_and_starts_over() -> None:
    lr, (x, y) = learner("leaky"), data(LENGTH, BATCH)
    assert lr.states == lr.traces == {}
    losses = [lr.step(x[t], y[t]) for t in range(LENGTH)]
    assert list(lr.states) == ["cell.h"]
    assert set(lr.traces) == {"e.cell.a.cell.h", "e.cell.w.cell.h"}
    assert lr.traces["e.cell.w.cell.h"].shape == (BATCH, 2, 3)
    error = np.square(lr.predict(x) - y).mean(axis=(1, 2))
    np.testing.assert_allclose(losses, error, rtol=1e-12)
    lr.reset()
    assert lr.states == {}
    assert [lr.step(x[t], y[t]) for t in range(LENGTH)] == losses


def test_a_masked_example_gives_the_stream_no_gradient() -> None:
    lr, (x, y) = learner("leaky"), data(2, BATCH)
    lr.step(x[0], y[0], mask=[0, 1, 0])
    got = arrays(lr.gradients)
    close(got, scaled(1 / BATCH, lr.grad(x[:1, [1]], y[:1, [1]])[0]))
    assert lr.step(x[1], y[1], mask=np.zeros(BATCH)) == 0
    assert not any(np.any(g) for g in lr.gradients.values())
