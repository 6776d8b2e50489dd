"""What is made for a large sparse layer is as large as its nonzeros, never as its matrix."""

import tracemalloc

import numpy as np
import pytest

import etp
from etp import xp

N, FAN_IN, BATCH, STEPS = 8000, 10, 2, 3
NONZEROS = N * FAN_IN


class Net(etp.Module):
    def __init__(self):
        self.w_in = etp.nn.Linear(5, N, rng=0)
        self.rec = etp.nn.SparseLinear((N, N, FAN_IN / N), rng=1)
        self.i, self.v = etp.State((N,)), etp.State((N,), init=0.4)
        self.readout = etp.nn.Linear(N, 2, rng=2)

    def __call__(self, x):
        s = etp.spike(self.v.value - 0.3, surrogate="arctan")
        self.i.value = 0.9 * self.i.value + self.w_in(x) + self.rec(s)
        self.v.value = 0.9 * self.v.value + 0.1 * self.i.value - 0.3 * s
        return self.readout(xp.tanh(self.v.value))


@pytest.fixture(scope="module")
def model():
    return Net()


def data(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((STEPS, BATCH, 5)).astype(np.float32)
    return x, rng.standard_normal((STEPS, BATCH, 2)).astype(np.float32)


@pytest.mark.parametrize("schedule", ["auto", "step", 2])
@pytest.mark.parametrize("rule", ["pp_prop", "d_rtrl"])
def test_compiling_and_training_need_memory_for_the_nonzeros(model, rule, schedule):
    # A matrix of single bytes would exceed the limit.
    limit = N * N * 3 // 4
    assert limit < 160 * NONZEROS * 4
    tracemalloc.start()
    try:
        lr = etp.compile(model, rule, "mse", backend="numpy", batch_size=BATCH, schedule=schedule)
        grads = lr.grad(*data())[0]
        lr.fit([data()], optimizer=etp.optim.sgd(0.1), update="step")
        lr.report(), lr.graph.explain("rec.weight")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert grads["rec.weight"].shape == (NONZEROS,)
    assert (np.asarray(grads["rec.weight"]) != 0).mean() > 0.5
    assert peak < limit, f"{peak / 2**20:.0f} MiB"


@pytest.mark.parametrize("rule", ["pp_prop", "d_rtrl"])
def test_programs_show_no_places(model, rule):
    lr = etp.compile(model, rule, "mse", backend="numpy", batch_size=BATCH)
    lr.grad(*data())
    for stage in ("traced", "compiled", "batched", "scheduled"):
        program = getattr(lr.program, stage)
        assert len(str(program)) < 30_000
        assert sum(p.name in ("rec.rows", "rec.cols") for p in program.inputs) == 2


def test_a_batch_of_embeddings_needs_one_table():
    """The gradient of one table, not of a table for each example and step."""

    class Words(etp.Module):
        def __init__(self):
            self.table = etp.nn.Embedding(5000, 16, rng=0)
            self.h = etp.State((16,))

        def __call__(self, i):
            self.h.value = 0.9 * self.h.value + xp.tanh(self.table(i))
            return self.h.value

    size = 5000 * 16 * 4
    i = np.random.default_rng(0).integers(0, 5000, (20, 8), dtype=np.int32)
    tracemalloc.start()
    try:
        lr = etp.compile(Words(), "d_rtrl", "mse", backend="numpy", batch_size=8)
        found = lr.grad(i, np.ones((20, 8, 16), np.float32))[0]["table.weight"]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    visited = np.unique(i)
    assert (np.abs(found).sum(axis=1) > 0).nonzero()[0].tolist() == visited.tolist()
    assert peak < 12 * size, f"{peak / size:.1f} tables"
