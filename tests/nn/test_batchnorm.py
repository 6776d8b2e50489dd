"""Batch normalisation, buffers, and the mean over the examples of a batch."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import etp
from etp import nn, xp
from tests.nn.nets import BACKENDS, compiled, randomise

pytestmark = pytest.mark.filterwarnings("ignore::etp.CompilationWarning")
T, B = 4, 5
RNG = np.random.default_rng(0)
XS, YS = RNG.normal(size=(T, B, 3)) + 0.5, RNG.normal(size=(T, B, 2))


class Net(etp.Module):
    """Batch normalisation before the states and after the readout, or inside the recurrence."""

    def __init__(self, recurrent: bool = False) -> None:
        self.lin = nn.Linear(3, 4, rng=0)
        self.rec = nn.Linear(4, 4, rng=2, bias=False) if recurrent else None
        self.norm = nn.BatchNorm1d(4)
        self.h = etp.State((4,))
        self.readout = nn.Linear(4, 2, rng=1)
        self.last = nn.BatchNorm1d(2)

    def __call__(self, x: Any) -> Any:
        z = self.lin(x)
        if self.rec is not None:
            z = z + self.rec(self.h.value)
        self.h.value = 0.5 * self.h.value + xp.tanh(self.norm(z))
        return self.last(self.readout(self.h.value))


def learner(rule: str = "d_rtrl", *, recurrent: bool = False, **options: Any) -> etp.Learner:
    return compiled(randomise(Net(recurrent)), rule, **options)


def arrays(given: Any) -> dict[str, np.ndarray]:
    return {n: np.array(x) for n, x in given.items()}


def differences(recurrent: bool, length: int, mask: Any = None) -> dict[str, np.ndarray]:
    """Return the gradient of the summed loss of the whole batch by central differences."""
    model = learner("bptt", recurrent=recurrent)

    def loss(params: dict[str, np.ndarray]) -> float:
        model.params = params
        return model.grad(XS[:length], YS[:length], mask)[1]["loss"]

    return etp.oracle.finite_differences(loss, arrays(model.params))


def close(found: Any, wanted: Any, tolerance: float = 1e-8) -> None:
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(
            np.asarray(found[name]), wanted[name], rtol=0, atol=tolerance, err_msg=name
        )


# -- values --------------------------------------------------------------------------------
def twin(p: Any, xs: np.ndarray, running: dict[str, np.ndarray] | None = None) -> Any:
    """Return outputs of `Net`, and the running statistics after it, in NumPy."""
    kept = {"norm.mean": np.zeros(4), "norm.variance": np.ones(4),
            "last.mean": np.zeros(2), "last.variance": np.ones(2)}  # fmt: skip

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        mean, var = x.mean(0), x.var(0)
        kept[f"{name}.mean"] = 0.9 * kept[f"{name}.mean"] + 0.1 * mean
        kept[f"{name}.variance"] = 0.9 * kept[f"{name}.variance"] + 0.1 * var
        if running is not None:
            mean, var = running[f"{name}.mean"], running[f"{name}.variance"]
        return (x - mean) / np.sqrt(var + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]

    h, out = np.zeros((xs.shape[1], 4)), []
    for x in xs:
        h = 0.5 * h + np.tanh(norm(x @ p["lin.weight"] + p["lin.bias"], "norm"))
        out.append(norm(h @ p["readout.weight"] + p["readout.bias"], "last"))
    return np.array(out), kept


@pytest.mark.parametrize("backend", BACKENDS)
def test_training_uses_the_batch_and_evaluation_the_running_statistics(backend: str) -> None:
    model = learner(backend=backend, schedule="step")
    p = arrays(model.params)
    outputs, kept = twin(p, XS)
    np.testing.assert_allclose(model.predict(XS, training=True), outputs, rtol=1e-10)
    fresh = arrays(model.buffers)
    close(fresh, {n: np.zeros_like(x) + ("variance" in n) for n, x in kept.items()})
    np.testing.assert_allclose(model.predict(XS), twin(p, XS, fresh)[0], rtol=1e-10)
    _, metrics = model.grad(XS, YS)
    np.testing.assert_allclose(metrics["loss"], ((outputs - YS) ** 2).mean(), rtol=1e-10)
    close(arrays(model.buffers), kept, 1e-12)
    np.testing.assert_allclose(model.predict(XS), twin(p, XS, kept)[0], rtol=1e-10)
    close(arrays(model.buffers), kept, 1e-12)
    # In evaluation no example acts on another.
    np.testing.assert_allclose(model.predict(XS)[:, :2], model.predict(XS[:, :2]), rtol=1e-12)


@pytest.mark.parametrize("axis", [-1, 0])
def test_channels_of_images_and_sequences_are_normalised_over_their_places(axis: int) -> None:
    class Images(etp.Module):
        def __init__(self, layer: Any) -> None:
            self.layer = layer
            self.h = etp.State((1,))

        def __call__(self, x: Any) -> Any:
            self.h.value = 0.5 * self.h.value
            return self.layer(x)

    for shape, layer in (((3, 4, 2), nn.BatchNorm2d), ((6, 2), nn.BatchNorm1d)):
        x = RNG.normal(size=(T, B, *shape)) * 2 + 1
        places = tuple(range(1, x.ndim - 1))
        mean, var = x.mean(places, keepdims=True), x.var(places, keepdims=True)
        model = compiled(randomise(Images(layer(2, channel_axis=axis))))
        p = arrays(model.params)
        wanted = (x - mean) / np.sqrt(var + 1e-5) * p["layer.weight"] + p["layer.bias"]
        given = np.moveaxis(x, -1, 2) if axis == 0 else x
        got = model.predict(given, training=True)
        np.testing.assert_allclose(np.moveaxis(got, 2, -1) if axis == 0 else got, wanted, rtol=1e-9)


# -- gradients -----------------------------------------------------------------------------
CASES: list[tuple[str, dict[str, Any]]] = [
    ("d_rtrl", {}), ("d_rtrl", {"window": 0}), ("d_rtrl", {"window": 2}), ("pp_prop", {}),
    ("d_rtrl", {"scope": "coupled"}), ("d_rtrl", {"scope": "sparse_n(2)"}), ("rtrl", {}),
    ("d_rtrl", {"tail": "exact"}),
]  # fmt: skip


@pytest.mark.parametrize("recurrent", [False, True])
def test_back_propagation_is_the_derivative_of_the_batch_loss(recurrent: bool) -> None:
    for length in (1, T):
        found, _ = learner("bptt", recurrent=recurrent).grad(XS[:length], YS[:length])
        close(found, differences(recurrent, length), 2e-8)
    assert max(np.abs(g).max() for g in found.values()) > 0.1


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize(("rule", "options"), CASES)
def test_one_step_is_exact_and_claims_hold_in_time(
    rule: str, options: dict[str, Any], recurrent: bool
) -> None:
    model = learner(rule, recurrent=recurrent, **options)
    one, _ = model.grad(XS[:1], YS[:1])
    close(one, learner("bptt", recurrent=recurrent).grad(XS[:1], YS[:1])[0], 1e-12)
    found, _ = model.grad(XS, YS)
    wanted, _ = learner("bptt", recurrent=recurrent).grad(XS, YS)
    rows = model.report().parameters
    for name, row in rows.items():
        apart = np.abs(found[name] - wanted[name]).max()
        if row.status == "exact":
            assert apart < 1e-12, name
        elif not name.startswith("lin.") or options.get("window") != 2:
            assert apart > 1e-6, name
    assert rows["lin.weight"].status == "approximate"
    assert rows["readout.weight"].status == "exact"
    others = "`batch_mean` (test_batchnorm.py:"
    if rule != "pp_prop":
        assert others in rows["lin.weight"].reason
        assert "other examples of the batch" in rows["lin.weight"].reason
        exact = "approximate" if recurrent else "exact"
        assert rows["norm.weight"].status == rows["norm.bias"].status == exact


@pytest.mark.parametrize(("rule", "options"), CASES)
def test_schedules_agree(rule: str, options: dict[str, Any]) -> None:
    for recurrent in (False, True):
        found = []
        for schedule in ("step", "chunk", "chunk(2)"):
            model = learner(rule, recurrent=recurrent, schedule=schedule, **options)
            found.append((arrays(model.grad(XS, YS)[0]), arrays(model.buffers)))
        for grads, buffers in found[1:]:
            close(grads, found[0][0], 1e-12)
            close(buffers, found[0][1], 1e-12)


def test_no_trace_crosses_examples() -> None:
    """What an example meets in the past moves no trace of another, beyond shared statistics."""
    model = learner(scope="full")
    model.specialise(XS[0, 0], YS[0, 0], length=T)
    for program in (model.program.batched, model.program.compiled):
        for out in program.outputs_of("trace"):
            seen, stack = set(), [out.value]
            while stack:
                value = stack.pop()
                if value in program.producers and value not in seen:
                    seen.add(value)
                    node = program.producers[value]
                    traced = any(
                        p.value in node.inputs for p in program.inputs_of("trace")
                    )  # fmt: skip
                    assert not (traced and node.primitive.name in ("reduce_sum", "batch_mean"))
                    stack += [x for x in node.inputs if x in program.producers]


def test_masks_leave_losses_out_and_not_examples() -> None:
    mask = np.array([[1, 1, 0, 1, 0]] * T)
    found, _ = learner("bptt").grad(XS, YS, mask)
    close(found, differences(False, T, mask), 2e-8)
    one, two = learner(), learner()
    one.grad(XS, YS)
    two.grad(XS, YS, mask)
    close(arrays(one.buffers), arrays(two.buffers))


# -- buffers -------------------------------------------------------------------------------
def test_a_stream_and_training_move_the_statistics_on() -> None:
    whole, stream = learner(), learner()
    for _ in range(2):
        whole.grad(XS, YS)
        stream.reset()
        for x, y in zip(XS, YS, strict=True):
            stream.step(x, y)
    close(arrays(whole.buffers), arrays(stream.buffers), 1e-12)
    still = learner()
    for update in ("step", 3, "sequence"):
        model = learner()
        model.fit([(XS, YS)] * 2, etp.optim.sgd(0.0), update=update)
        close(arrays(model.buffers), arrays(whole.buffers), 1e-12)
        close(arrays(model.params), arrays(still.params), 0)


def test_pure_functions_carry_the_statistics() -> None:
    import jax

    model = learner(backend="jax")
    wanted = arrays(model.grad(XS, YS)[0])
    other = learner(backend="jax")
    other.specialise(XS[0, 0], YS[0, 0])
    pure = other.functional()

    def run(xs: Any, ys: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            carry, grads, _, _ = pure.step(pure.params, carry, *row)
            return carry, grads

        return jax.lax.scan(step, pure.init(B), (xs, ys))

    with jax.enable_x64(True):
        carry, stacked = jax.jit(run, compiler_options=pure.compiler_options)(XS, YS)
    close({n: np.asarray(g).mean(0) for n, g in stacked.items()}, wanted, 1e-10)
    close({n: np.asarray(carry[n]) for n in model.buffers}, arrays(model.buffers), 1e-12)


@pytest.mark.parametrize("backend", ["numpy", pytest.param("jax", marks=pytest.mark.slow)])
def test_a_resumed_run_continues_bit_for_bit(backend: str, tmp_path: Path) -> None:
    rate = etp.optim.adam(0.01)
    whole, half = learner(backend=backend), learner(backend=backend)
    whole.fit([(XS, YS)] * 4, rate)
    half.fit([(XS, YS)] * 2, rate)
    etp.checkpoint.save(tmp_path / "run.npz", half.state_dict())
    twin_ = learner(backend=backend)
    twin_.load_state_dict(etp.checkpoint.load(tmp_path / "run.npz")[0])
    for model in (twin_, pickle.loads(pickle.dumps(twin_))):
        model.fit([(XS, YS)] * 2, rate)
        close(arrays(model.params), arrays(whole.params), 0)
        close(arrays(model.buffers), arrays(whole.buffers), 0)


def test_state_dicts_hold_buffers_and_are_checked() -> None:
    model = learner()
    model.grad(XS, YS)
    state = model.state_dict()
    assert list(state["buffers"]) == ["norm.mean", "norm.variance", "last.mean", "last.variance"]
    other = learner()
    old = {k: v for k, v in state.items() if k != "buffers"}  # written before there were any
    other.load_state_dict(old)
    assert np.abs(other.buffers["norm.mean"]).max() == 0
    other.load_state_dict(state)
    close(arrays(other.buffers), arrays(model.buffers), 0)
    with pytest.raises(etp.ShapeError, match=r"buffer 'norm.mean' has shape \(4,\), got \(3,\)"):
        other.load_state_dict({**state, "buffers": {"norm.mean": np.zeros(3)}})
    with pytest.raises(etp.ModelError, match=r"no buffer 'norm\.means'; did you mean 'norm\.mean'"):
        other.load_state_dict({**state, "buffers": {"norm.means": np.zeros(4)}})


def test_buffers_of_modules_act_as_other_variables() -> None:
    net = Net()
    assert list(net.named_buffers()) == list(learner().buffers)
    assert not set(net.named_buffers()) & {*net.named_states(), *net.named_params()}
    saved = net.state_dict()
    saved["norm.mean"] = np.arange(4.0)
    net.load_state_dict(saved)
    np.testing.assert_array_equal(net.norm.mean.value, np.arange(4))
    model = compiled(net)
    np.testing.assert_array_equal(model.buffers["norm.mean"], np.arange(4))
    with etp.evaluation():
        net(XS[0, 0])
    np.testing.assert_array_equal(net.norm.mean.value, np.arange(4))
    net(XS[0, 0])
    assert np.abs(net.norm.mean.value - np.arange(4)).max() > 0
    net.reset_states()
    assert np.abs(net.norm.mean.value - np.arange(4)).max() > 0


def test_batch_normalisation_trains() -> None:
    rng = np.random.default_rng(0)
    raw = rng.normal(size=(3, 64, 3))
    xs, ys = raw * [0.5, 1, 2] + [3, 0, -3], np.tanh(np.cumsum(raw, axis=0))[..., :2]
    model = learner()
    model.fit([(xs, ys)] * 150, etp.optim.adam(0.03), update="sequence")
    assert np.mean((np.asarray(model.predict(xs)) - ys) ** 2) < 0.3 * np.mean(ys**2)


# -- mistakes ------------------------------------------------------------------------------
class Own(etp.Module):
    """A model with a buffer that a function of input and buffer gives."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.w = etp.Param(np.ones(3))
        self.h = etp.State((3,))
        self.b = etp.Buffer(np.zeros(3))

    def __call__(self, x: Any) -> Any:
        self.b.value = self.function(x, self.b.value)
        self.h.value = 0.5 * self.h.value + x * etp.element_wise(self.w)
        return self.h.value[:2]


def test_a_buffer_counts_and_is_a_constant() -> None:
    model = compiled(Own(lambda x, b: b + 1))
    model.grad(XS, YS)
    model.grad(XS, YS)
    np.testing.assert_array_equal(model.buffers["b"], [2 * T] * 3)


def test_a_buffer_cannot_differ_from_example_to_example() -> None:
    model = compiled(Own(lambda x, b: b + x))
    for run in (lambda: model.grad(XS, YS), lambda: model.predict(XS)):
        with pytest.raises(etp.ModelError, match=r"'b' is shared by all examples(.|\n)*batch_mean"):
            run()
    with pytest.raises(etp.ShapeError, match=r"buffer 'b' is f64\[3\] and was assigned"):
        compiled(Own(lambda x, b: b[:2])).grad(XS, YS)


def test_examples_do_not_meet_inside_of_a_choice() -> None:
    def choose(x: Any, b: Any) -> Any:
        return etp.cond(x[0] > 0, lambda: etp.batch_mean(x), lambda: b)

    with pytest.raises(etp.NotSupportedError, match="each example goes its own way") as caught:
        compiled(Own(choose)).predict(XS)
    assert "test_batchnorm.py" in str(caught.value)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: nn.BatchNorm1d(3, momentum=0), etp.ModelError, "momentum=0"),
        (lambda: nn.BatchNorm1d(3)(XS[0]), etp.ShapeError, None),
        (lambda: nn.BatchNorm2d(3)(XS[0]), etp.ShapeError, r"BatchNorm2d got an input of \(5, 3\)"),
        (lambda: nn.BatchNorm1d(4)(XS[0, 0]), etp.ShapeError, "BatchNorm1d of 4 channels"),
        (lambda: etp.Buffer("zero"), etp.ModelError, "a Buffer starts from numbers"),
    ],
)
def test_mistakes_are_named_with_the_line(make: Any, error: Any, text: str | None) -> None:
    if text is None:  # a sequence of places is fine
        assert make().shape == (B, 3)
        return
    with pytest.raises(error, match=text) as caught:
        make()
    assert "test_batchnorm.py" in str(caught.value)
