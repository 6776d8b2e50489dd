"""Training: against loops written by hand, on every kind of batches, and when it is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import etp
from tests.learner.setups import BATCH, LENGTH, Counting, arrays, learner, same
from tests.models import N_IN, N_REC, build, data

Arrays = dict[str, np.ndarray]


def batches(count: int = 2, length: int = LENGTH) -> list[tuple[np.ndarray, np.ndarray]]:
    return [data(length, BATCH, seed) for seed in range(count)]


# -- by hand -------------------------------------------------------------------------------
class ByHand:
    """SGD with momentum and Adam, written out in NumPy."""

    def __init__(self, kind: str, rate: float, clip: float | None = None) -> None:
        self.kind, self.rate, self.clip = kind, rate, clip
        self.count = 0
        self.m: Arrays = {}
        self.v: Arrays = {}

    def update(self, params: Arrays, grads: Arrays) -> Arrays:
        self.count += 1
        if self.clip is not None:
            norm = np.sqrt(sum(np.sum(g**2) for g in grads.values()))
            grads = {n: g * min(1.0, self.clip / norm) for n, g in grads.items()}
        new = {}
        for n, g in grads.items():
            m, v = self.m.get(n, np.zeros_like(g)), self.v.get(n, np.zeros_like(g))
            if self.kind == "adam":
                self.m[n], self.v[n] = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
                mean, square = (
                    self.m[n] / (1 - 0.9**self.count),
                    self.v[n] / (1 - 0.999**self.count),
                )
                new[n] = params[n] - self.rate * mean / (np.sqrt(square) + 1e-8)
            else:
                self.m[n] = 0.9 * m + g
                new[n] = params[n] - self.rate * self.m[n]
        return new


OPTIMIZERS = {
    "momentum": (lambda: etp.optim.sgd(0.05, momentum=0.9), lambda: ByHand("momentum", 0.05)),
    "adam": (lambda: etp.optim.adam(0.02), lambda: ByHand("adam", 0.02)),
    "clipped": (
        lambda: etp.optim.sgd(0.05, momentum=0.9, clip_norm=0.3),
        lambda: ByHand("momentum", 0.05, clip=0.3),
    ),
}


def stretches(lr: etp.Learner, sequence: Any, every: int | None) -> Iterator[Arrays]:
    """Yield the mean gradient between two updates; the caller changes parameters in between."""
    x, y, mask = sequence
    if every is None:
        yield lr.grad(x, y, mask)[0]
        return
    lr.reset()
    for start in range(0, LENGTH, every):
        stop = min(start + every, LENGTH)
        total: Arrays = {}
        for t in range(start, stop):
            lr.step(x[t], y[t], np.full(BATCH, mask[t]))
            total = {n: total.get(n, 0) + g for n, g in lr.gradients.items()}
        yield {n: g / max(mask[start:stop].sum(), 1) for n, g in total.items()}


def check_by_hand(
    lr: etp.Learner, other: etp.Learner, update: Any, optimizer: str, mask: Any
) -> None:
    given, by_hand = (make() for make in OPTIMIZERS[optimizer])
    start = arrays(lr.params)
    history = lr.fit([(x, y, mask) for x, y in batches()], given, update=update, epochs=2)
    every = {"step": 1, "sequence": None}.get(update, update)
    for _ in range(2):
        for x, y in batches():
            for grads in stretches(other, (x, y, mask), every):
                other.params = by_hand.update(arrays(other.params), grads)
    assert len(history.batches) == 4
    for name, p in other.params.items():
        assert np.abs(p - start[name]).max() > 1e-3, name
        np.testing.assert_allclose(lr.params[name], p, rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
@pytest.mark.parametrize("update", ["step", 1, 3, 20, "sequence"])
def test_fit_is_the_loop_written_by_hand(update: Any, optimizer: str) -> None:
    check_by_hand(learner(), learner(), update, optimizer, np.ones(LENGTH))


@pytest.mark.parametrize("update", ["step", 2, "sequence"])
@pytest.mark.parametrize(
    ("model", "rule", "window"),
    [("gru", "pp_prop", 1), ("coupled", "d_rtrl", 0), ("lif", "pp_prop", 0), ("plain", "rtrl", 1)],
)
def test_fit_is_the_loop_for_every_kind_of_rule(
    model: str, rule: str, window: int, update: Any
) -> None:
    made = [learner(model, rule, window=window) for _ in range(2)]
    check_by_hand(*made, update, "adam", np.array([1, 1, 0, 1, 1, 0, 0]))


def test_fit_with_bptt() -> None:
    check_by_hand(learner(rule="bptt"), learner(rule="bptt"), "sequence", "adam", np.ones(LENGTH))


def test_bptt_cannot_stream_and_says_when_it_is_truncated() -> None:
    lr = learner(rule="bptt")
    ((x, y),) = batches(1)
    with pytest.raises(etp.NotSupportedError, match="keeps nothing between steps"):
        lr.step(x[0], y[0])
    lr.fit([(x, y)], update=2)
    recurrent = next(n for n in lr.params if n.endswith("w_rec"))
    found = lr.report().parameters[recurrent]
    assert (found.status, "truncated" in found.reason) == ("approximate", True)
    lr.fit([(x, y)], update="sequence")
    assert lr.report().parameters[recurrent].status == "exact"


def test_a_parameter_that_is_not_finite_never_gets_in() -> None:
    """The loss is finite, its derivative at 0 is not."""

    class Root(etp.Module):
        def __init__(self) -> None:
            self.w = etp.Param(np.zeros((2, 2)))
            self.h = etp.State((2,))

        def __call__(self, x: Any) -> Any:
            self.h.value = 0.5 * self.h.value + etp.xp.sqrt(etp.xp.abs(etp.matmul(x, self.w)))
            return self.h.value

    # Step by step, later losses feel it within the same batch.
    for update, what in (("step", "the loss"), ("sequence", "a parameter")):
        lr = etp.compile(Root(), "d_rtrl", "mse", backend="numpy")
        with pytest.raises(etp.DataError, match=f"{what} became nan or infinite"):
            lr.fit([(np.ones((3, 2, 2)), np.zeros((3, 2, 2)))], etp.optim.sgd(0.1), update=update)
        np.testing.assert_array_equal(lr.params["w"], 0)


def test_fractions_in_a_mask_weigh_steps() -> None:
    lr = learner()
    ((x, y),) = batches(1)
    full = lr.grad(x, y)[0]
    half = lr.grad(x, y, np.full(LENGTH, 0.5))[0]
    for name, g in full.items():
        np.testing.assert_allclose(half[name], g / 2, rtol=1e-12)


def test_a_label_that_is_no_class_is_refused() -> None:
    net = etp.nn.Sequential(etp.nn.GRUCell(3, 4, rng=0), etp.nn.Linear(4, 2, rng=0))
    lr = etp.compile(net, "d_rtrl", backend="numpy")
    x, y = np.ones((3, 2, 3)), np.array([[1, 2], [0, 1], [-1, 1]])
    with pytest.raises(etp.DataError, match="label 2 is no class: the model has 2 outputs"):
        lr.grad(x, y)
    mask = np.ones((3, 2))
    mask[0, 1] = 0
    assert np.isfinite(lr.grad(x, y, mask)[1]["loss"])


@pytest.mark.parametrize("schedule", ["step", 2, "chunk"])
def test_the_schedule_between_updates_does_not_matter(schedule: Any) -> None:
    check_by_hand(learner(schedule=schedule), learner(), 5, "adam", np.ones(LENGTH))


def test_streaming_with_an_optimizer_is_fitting_step_by_step() -> None:
    lr, other = learner("gru"), learner("gru")
    ((x, y),) = batches(1)
    history = lr.fit([(x, y)], etp.optim.adam(0.02), update="step")
    losses = [other.step(x[t], y[t], optimizer=etp.optim.adam(0.02)) for t in range(LENGTH)]
    assert history.loss == [pytest.approx(np.mean(losses), rel=1e-12)]
    for name, p in other.params.items():
        np.testing.assert_allclose(lr.params[name], p, rtol=0, atol=1e-12)
    assert int(other.optimizer_state["step"]) == LENGTH


def test_the_loss_that_is_reported_is_the_mean_over_unmasked_steps() -> None:
    lr = learner()
    ((x, y),) = batches(1)
    mask = np.array([0, 1, 1, 0, 0, 0, 1])
    error = np.square(lr.predict(x) - y).mean(axis=(1, 2))[mask == 1].mean()
    for update in ("step", 2, "sequence"):
        loss = learner().fit([(x, y, mask)], etp.optim.sgd(0.0), update=update).loss
        assert loss == [pytest.approx(error, rel=1e-12)], update


# -- learning ------------------------------------------------------------------------------
def echo(count: int, length: int = 12) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return batches whose target is the input of two steps before."""
    rng = np.random.default_rng(3)
    made = []
    for _ in range(count):
        x = rng.choice([-1.0, 1.0], size=(length, 8, N_IN))
        made.append((x, np.roll(x, 2, axis=0) * (np.arange(length) >= 2)[:, None, None]))
    return made


@pytest.mark.parametrize("rule", ["d_rtrl", "pp_prop"])
def test_online_learning_solves_a_task_that_needs_memory(rule: str) -> None:
    rng = np.random.default_rng(0)
    model = etp.nn.Sequential(etp.nn.GRUCell(N_IN, 12, rng=rng), etp.nn.Linear(12, N_IN, rng=rng))
    lr = etp.compile(model, rule, "mse", backend="numpy")
    before = arrays(lr.params)
    history = lr.fit(echo(60), etp.optim.adam(0.01), update="step", epochs=2)
    assert np.mean(history.loss[:3]) > 0.7
    assert np.mean(history.loss[-5:]) < 0.35
    for name, p in lr.params.items():
        assert np.abs(p - before[name]).max() > 0.01, f"{name} was not trained"


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> tuple[Any, Arrays]:
        lr = etp.compile(build("lif", seed), "pp_prop", "mse", backend="numpy")
        return lr.fit(batches(), etp.optim.adam(0.02), epochs=2).batches, arrays(lr.params)

    (first, p), (second, q), (_, r) = run(0), run(0), run(1)
    assert first == second
    assert same(p, q)
    assert not same(p, r)


# -- batches -------------------------------------------------------------------------------
class Loader:
    """What a data loader is: a length, and an iterator that starts over."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[Any]:
        return ([x, y] for x, y in batches())


def test_every_iterable_of_batches_will_do() -> None:
    want = learner().fit(batches(), etp.optim.adam(0.01)).loss
    assert len(want) == 2
    for given in (tuple(batches()), (b for b in batches()), iter(batches()), Loader()):
        assert learner().fit(given, etp.optim.adam(0.01)).loss == want
    twice = learner().fit(Loader(), etp.optim.adam(0.01), epochs=2)
    assert twice.loss[:2] == want
    assert [(r["epoch"], r["batch"]) for r in twice.batches] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [r["loss"] for r in twice.epochs] == [
        pytest.approx(np.mean(twice.loss[:2])), pytest.approx(np.mean(twice.loss[2:]))
    ]  # fmt: skip


def test_batches_of_other_sizes() -> None:
    lr = learner()
    mixed = [data(4, 2), data(7, 3), data(4, 5)]
    losses = lr.fit(mixed, etp.optim.sgd(0.0)).loss
    want = [np.square(lr.predict(x) - y).mean() for x, y in mixed]
    np.testing.assert_allclose(losses, want, rtol=1e-12)


def test_what_cannot_be_read_again_is_refused() -> None:
    lr = learner()
    before = arrays(lr.params)
    with pytest.raises(etp.DataError, match="an iterator and can be read once, but epochs=2"):
        lr.fit(iter(batches()), epochs=2)
    for nothing in ([], iter(()), (b for b in ())):
        with pytest.raises(etp.DataError, match="batches is empty"):
            lr.fit(nothing)
    assert same(before, arrays(lr.params))

    class Once:
        """Iterable, but exhausted after one reading."""

        def __init__(self) -> None:
            self.rest = iter(batches())

        def __iter__(self) -> Iterator[Any]:
            return self.rest

    with pytest.raises(etp.DataError, match="batches is empty in epoch 1"):
        lr.fit(Once(), epochs=2)


def test_a_diverging_run_stops_before_it_spoils_the_parameters() -> None:
    lr = learner(dtype="float32")
    (x, y), (far, _) = batches()
    lr.fit([(x, y)], etp.optim.sgd(0.01))
    before = lr.state_dict()
    with pytest.raises(etp.DataError, match=r"the loss became (nan|inf).*\n.*\nlower the learning"):
        lr.fit([(far, y * 1e30)], etp.optim.sgd(0.01))
    assert same(before, lr.state_dict())


# -- the optimiser of the next call --------------------------------------------------------
def test_the_optimizer_of_the_last_call_goes_on() -> None:
    one, two = learner(), learner()
    one.fit(batches(), etp.optim.adam(0.02), epochs=2)
    two.fit(batches(), etp.optim.adam(0.02))
    two.fit(batches())
    assert same(arrays(one.params), arrays(two.params))
    assert int(two.optimizer_state["step"]) == 4 * LENGTH
    two.fit(batches(), etp.optim.sgd(0.02))
    assert set(two.optimizer_state) == {"step"}
    assert int(two.optimizer_state["step"]) == 2 * LENGTH


def test_optimizers_by_name() -> None:
    one, two, three = learner(), learner(), learner()
    one.fit(batches(), etp.optim.adam(1e-3))
    two.fit(batches(), "Adam")
    three.fit(batches())
    assert same(arrays(one.params), arrays(two.params))
    assert same(arrays(one.params), arrays(three.params))


# -- stopping ------------------------------------------------------------------------------
def test_a_callback_sees_every_batch_and_may_stop() -> None:
    seen: list[Any] = []

    def callback(row: Any) -> bool:
        seen.append(row)
        return len(seen) == 3

    lr = learner(loss="softmax_cross_entropy")
    history = lr.fit(batches(), etp.optim.adam(0.01), epochs=4, callback=callback)
    assert history.interrupted
    assert history.batches == seen
    assert [set(r) for r in seen] == [{"epoch", "batch", "loss", "accuracy"}] * 3
    assert [r["epoch"] for r in history.epochs] == [0, 1]
    assert history.epochs[1]["loss"] == seen[2]["loss"]
    assert int(lr.optimizer_state["step"]) == 3 * LENGTH


def interrupted_by(where: str) -> tuple[etp.Learner, etp.History]:
    """Return a learner whose training was interrupted in its third batch."""
    backend = Counting(etp.backends.get("numpy"))
    lr = learner("gru", backend=backend)

    def interrupt(row: Any) -> None:
        if where == "callback" and row["batch"] == 1:
            raise KeyboardInterrupt

    def source() -> Iterator[Any]:
        for i, batch in enumerate(batches(4)):
            if where == "data" and i == 2:
                raise KeyboardInterrupt
            yield batch

    backend.interrupt_at = 3 if where == "run" else None
    return lr, lr.fit(source(), etp.optim.adam(0.02), callback=interrupt)


@pytest.mark.parametrize("where", ["callback", "data", "run"])
def test_an_interrupt_leaves_a_whole_learner(where: str) -> None:
    lr, history = interrupted_by(where)
    assert history.interrupted
    assert len(history.batches) == 2
    assert history.epochs[0]["loss"] == pytest.approx(np.mean(history.loss))
    want = learner("gru")
    want.fit(batches(2), etp.optim.adam(0.02))
    assert same(lr.state_dict(), want.state_dict())
    fresh = learner("gru")
    fresh.load_state_dict(lr.state_dict())
    for other in (lr, want, fresh):
        other.fit(batches(4)[2:], etp.optim.adam(0.02))
    assert same(lr.state_dict(), want.state_dict())
    assert same(fresh.state_dict(), want.state_dict())


def test_an_interrupt_before_the_first_batch() -> None:
    def source() -> Iterator[Any]:
        raise KeyboardInterrupt
        yield

    history = learner().fit(source())
    assert history.interrupted
    assert history.batches == history.epochs == []


def test_an_interrupted_step_leaves_the_stream_of_the_step_before() -> None:
    backend = Counting(etp.backends.get("numpy"))
    lr, (x, y) = learner("gru", backend=backend), data(LENGTH, BATCH)
    lr.step(x[0], y[0], optimizer=etp.optim.adam(0.02))
    before = lr.state_dict()
    backend.interrupt_at = 2
    with pytest.raises(KeyboardInterrupt):
        lr.step(x[1], y[1], optimizer=etp.optim.adam(0.02))
    assert same(lr.state_dict(), before)
    assert lr.states["cell.h"].shape == (BATCH, N_REC)


def test_the_progress_bar(capfd: pytest.CaptureFixture[str]) -> None:
    learner().fit(batches(), progress=False)
    assert capfd.readouterr() == ("", "")
    learner().fit(batches(), progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "loss" in err
    assert "2/2" in err
