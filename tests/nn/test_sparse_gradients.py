"""Compiled models with sparse weights and embeddings: against BPTT, and against dense twins."""

from functools import cache
from itertools import product

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import etp
from etp import xp
from etp.oracle import unrolled_gradient
from etp.sparsity import sparse_pattern

N_IN, N, N_OUT, ROWS = 3, 5, 2, 6
LENGTH, BATCH = 7, 3
RULES = ["d_rtrl", "pp_prop"]


class Product:
    """The affine map of a sparse matrix, or of its dense twin with a mask."""

    def __init__(self, m, rng, dense):
        pattern = sparse_pattern(m)
        rows, cols = m.tocoo().row, m.tocoo().col
        self.dense = dense
        if dense:
            w = np.zeros(m.shape)
            w[rows, cols] = m.tocoo().data
            self.mask = np.zeros(m.shape)
            self.mask[rows, cols] = 1
            self.weight = etp.Param(w)
        else:
            self.places = pattern
            self.weight = etp.Param(m.tocoo().data)
        self.bias = etp.Param(rng.normal(size=m.shape[1]))

    def __call__(self, x, fn=lambda w: w):
        if self.dense:
            return etp.matmul(x, fn(self.mask * self.weight.value), self.bias)
        return etp.sparse_matmul(x, fn(self.weight.value), sparse_mat=self.places, bias=self.bias)


def matrix(rows, cols, rng, kind="csr", density=0.5):
    flat = rng.choice(rows * cols, max(1, round(density * rows * cols)), replace=False)
    data = rng.normal(size=flat.size) + 0.5
    return sp.coo_array((data, (flat // cols, flat % cols)), shape=(rows, cols)).asformat(kind)


class Model(etp.Module):
    def __init__(self, rng, dense=False, m=None):
        self.make(rng, dense, m)
        self.readout = etp.nn.Linear(N, N_OUT, rng=rng)

    def hold(self, product):
        """Keep the variables of a product as attributes, so that they are found."""
        self.weight, self.bias = product.weight, product.bias
        self.product = product


class Recurrent(Model):
    """Sparse recurrent weights: the transition is not position-wise."""

    def make(self, rng, dense, m):
        self.w_in = etp.nn.Linear(N_IN, N, rng=rng)
        self.hold(Product(matrix(N, N, rng) if m is None else m, rng, dense))
        self.h = etp.State((N,))

    def __call__(self, x):
        self.h.value = 0.7 * self.h.value + 0.5 * xp.tanh(self.w_in(x) + self.product(self.h.value))
        return self.readout(self.h.value)


class Leaky(Model):
    """A sparse projection of the input into states with a trained decay: position-wise."""

    def make(self, rng, dense, m):
        self.a = etp.Param(rng.normal(size=N))
        self.hold(Product(matrix(N_IN, N, rng, "csc") if m is None else m, rng, dense))
        self.h = etp.State((N,))

    def __call__(self, x):
        decay = xp.sigmoid(etp.element_wise(self.a))
        self.h.value = decay * self.h.value + xp.tanh(self.product(x))
        return self.readout(self.h.value)


class BeforeGRU(Model):
    """A sparse layer before a stateful one: its result meets dense products only."""

    def make(self, rng, dense, m):
        self.hold(Product(matrix(N_IN, N, rng, "coo") if m is None else m, rng, dense))
        self.cell = etp.nn.GRUCell(N, N, rng=rng)

    def __call__(self, x):
        return self.readout(self.cell(self.product(x)))


class Shared(Model):
    """One sparse weight, as an expression, in two products of which one is recurrent."""

    def make(self, rng, dense, m):
        self.w_in = etp.nn.Linear(N_IN, N, rng=rng)
        self.hold(Product(matrix(N, N, rng, density=0.4) if m is None else m, rng, dense))
        self.h = etp.State((N,))

    def __call__(self, x):
        z = xp.tanh(self.w_in(x))
        drive = self.product(z, xp.abs) + 0.3 * self.product(self.h.value, xp.abs)
        self.h.value = 0.6 * self.h.value + 0.4 * xp.tanh(drive)
        return self.readout(self.h.value)


class Rows(Model):
    """A sparse product of several rows at once, joined by later arithmetic."""

    def make(self, rng, dense, m):
        self.hold(Product(matrix(N_IN, N, rng) if m is None else m, rng, dense))
        self.h = etp.State((2, N))

    def __call__(self, x):
        pair = xp.stack([x, xp.sin(x)])
        self.h.value = 0.8 * self.h.value + xp.tanh(self.product(pair))
        return self.readout(self.h.value[0] * self.h.value[1])


class Looked(etp.Module):
    """An embedding, or its twin: the product of one-hot vectors with the table."""

    cell: etp.Module | None = None

    def __init__(self, rng, dense=False):
        self.dense = dense
        self.table = etp.Param(rng.normal(size=(ROWS, N)))
        self.make(rng)
        self.readout = etp.nn.Linear(N, N_OUT, rng=rng)

    def vectors(self, i):
        if self.dense:
            counter = xp.arange(ROWS, dtype="int32")
            hot = xp.astype(xp.expand_dims(i, axis=-1) == counter, "float64")
            return etp.matmul(hot, self.table)
        return etp.embedding(i, self.table)


class Decaying(Looked):
    """Position-wise: what a row adds fades at a trained rate."""

    shape = ()

    def make(self, rng):
        self.a = etp.Param(rng.normal(size=N))
        self.h = etp.State((N,))

    def __call__(self, i):
        decay = xp.sigmoid(etp.element_wise(self.a))
        self.h.value = decay * self.h.value + xp.tanh(self.vectors(i))
        return self.readout(self.h.value)


class Words(Looked):
    """An embedding before a GRU."""

    shape = ()

    def make(self, rng):
        self.cell = etp.nn.GRUCell(N, N, rng=rng)

    def __call__(self, i):
        return self.readout(self.cell(self.vectors(i)))


class Bag(Looked):
    """Several rows at once, summed into the states."""

    shape = (2,)

    def make(self, rng):
        self.h = etp.State((N,))

    def __call__(self, i):
        self.h.value = 0.7 * self.h.value + xp.tanh(xp.sum(self.vectors(i), axis=0))
        return self.readout(self.h.value)


SPARSE = {c.__name__: c for c in (Recurrent, Leaky, BeforeGRU, Shared, Rows)}
LOOKED = {c.__name__: c for c in (Decaying, Words, Bag)}
MODELS = {**SPARSE, **LOOKED}
DIAGONAL = ["Leaky", "Rows", "Decaying", "Bag"]


def data(name, length, batch=BATCH, seed=1):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(length, batch, N_OUT))
    if name in LOOKED:
        i = rng.integers(0, ROWS - 1, (length, batch, *MODELS[name].shape), dtype=np.int32)
        return i, y
    return rng.normal(size=(length, batch, N_IN)), y


def square(output, target):
    d = output - target
    return xp.sum(d * d * d * 0.2 + d * d)


def learner(name, rule, *, backend="numpy", dtype="float64", seed=0, **options):
    build = {k: options.pop(k) for k in ("dense", "m") if k in options}
    x, y = data(name, 1, 1)
    return etp.compile(
        MODELS[name](np.random.default_rng(seed), **build), rule, square, backend=backend,
        dtype=dtype, example=(x[0, 0], y[0, 0]), length=LENGTH, **options,
    )  # fmt: skip


def gradient(name, rule, length=LENGTH, **options):
    lr = learner(name, rule, **options)
    found = lr.grad(*data(name, length), reduction="sum")[0]
    return {k: np.asarray(g) for k, g in found.items()}


@cache
def oracle(name, length):
    lr = learner(name, "bptt")
    x, y = data(name, length)
    lr.grad(x, y)
    compiled = lr.engine.last()[0]
    arrays = {**compiled.step.params, **compiled.step.states, **compiled.loss.constants}
    sequences = {"x": x, "target": y}
    return unrolled_gradient(compiled.loss.program, arrays, sequences, np.ones((length, BATCH)))


def close(got, want, tolerance=1e-8):
    assert set(got) == set(want)
    scale = max(np.abs(g).max() for g in want.values())
    assert scale > 1e-2, "the model is dead: nothing is compared"
    worst = {k: float(np.abs(got[k] - want[k]).max() / scale) for k in want}
    assert max(worst.values()) < tolerance, worst


@pytest.mark.parametrize("name", MODELS)
def test_every_weight_is_alive(name):
    for k, g in oracle(name, LENGTH).items():
        assert np.abs(g).max() > 1e-3, k
        if k == "table":
            assert not g[ROWS - 1].any()


@pytest.mark.parametrize("window", [0, 1])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", MODELS)
def test_one_step_equals_bptt(name, rule, window):
    close(gradient(name, rule, 1, window=window), oracle(name, 1))


@pytest.mark.parametrize("schedule", ["step", "auto", 3])
@pytest.mark.parametrize("name", DIAGONAL)
def test_d_rtrl_is_exact_on_position_wise_transitions(name, schedule):
    close(gradient(name, "d_rtrl", schedule=schedule), oracle(name, LENGTH))
    status = learner(name, "d_rtrl").report().parameters
    assert {k: s.status for k, s in status.items()} == dict.fromkeys(status, "exact")


@pytest.mark.parametrize("rule", ["bptt", "rtrl"])
@pytest.mark.parametrize("name", MODELS)
def test_exact_rules_equal_bptt(name, rule):
    close(gradient(name, rule), oracle(name, LENGTH))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", [n for n in MODELS if n not in DIAGONAL])
def test_exact_is_said_only_where_it_is_so(name, rule):
    got, want = gradient(name, rule), oracle(name, LENGTH)
    statuses = learner(name, rule).report().parameters
    assert statuses["weight" if name in SPARSE else "table"].status != "exact"
    for k, s in statuses.items():
        off = np.abs(got[k] - want[k]).max()
        assert bool(off < 1e-9) is (s.status == "exact"), (k, s.status, off)


def like(name, dense, sparse_mat):
    """Return the gradients of a dense twin at the nonzeros."""
    if name in LOOKED:
        return dense
    found = sparse_mat.tocoo()
    return {**dense, "weight": dense["weight"][found.row, found.col]}


SCHEDULES = ["step", "auto", 2]
CASES = st.tuples(
    st.sampled_from(sorted(SPARSE)),
    st.sampled_from(RULES),
    st.sampled_from(SCHEDULES),
    st.integers(0, 2),
    st.sampled_from(["csr", "csc", "coo"]),
    st.floats(0.05, 1.0),
    st.integers(0, 2**16),
)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(CASES)
def test_a_sparse_weight_has_the_gradient_of_its_dense_twin(case):
    check_twin(*case)


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(CASES)
def test_sparse_weights_have_the_gradients_of_their_dense_twins(case):
    check_twin(*case)


SCOPES = ["coupled", "sparse_n(2)", "layered", "full"]


def check_twin(name, rule, schedule, window, kind, density, seed):
    rows = N if name in ("Recurrent", "Shared") else N_IN
    m = matrix(rows, N, np.random.default_rng(seed), kind, density)
    options = {"rule": rule, "schedule": schedule, "window": window, "m": m, "length": 5}
    if rule == "d_rtrl" and seed % 2:
        options["scope"] = SCOPES[seed // 2 % len(SCOPES)]
    dense = like(name, gradient(name, dense=True, **options), m)
    close(gradient(name, **options), dense, 1e-10)


@pytest.mark.parametrize("window", [0, 1, 2])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", LOOKED)
def test_an_embedding_has_the_gradient_of_one_hot_vectors(name, rule, schedule, window):
    options = {"rule": rule, "schedule": schedule, "window": window}
    close(gradient(name, **options), gradient(name, dense=True, **options), 1e-10)


QUICK = [("Recurrent", "pp_prop", "step"), ("Words", "d_rtrl", "auto")]


@pytest.mark.parametrize(
    ("name", "rule", "schedule"),
    [
        pytest.param(*row, marks=() if row in QUICK else pytest.mark.slow)
        for row in product(MODELS, RULES, ["step", "auto"])
    ],
)
def test_jax_agrees(name, rule, schedule):
    pytest.importorskip("jax")
    options = {"rule": rule, "schedule": schedule, "dtype": "float32"}
    close(gradient(name, backend="jax", **options), gradient(name, **options), 1e-4)


@pytest.mark.parametrize("rule", RULES)
def test_a_matrix_without_nonzeros(rule):
    m = sp.csr_array((N, N))
    found = gradient("Recurrent", rule, m=m)
    assert found["weight"].shape == (0,)
    close(found | {"weight": np.zeros((N, N))}, gradient("Recurrent", rule, m=m, dense=True), 1e-10)


def test_a_layer_learns():
    """The nonzeros of a sparse recurrent layer are trained; where none is, none grows."""
    rng = np.random.default_rng(0)
    model = Recurrent(rng)
    x, y = data("Recurrent", 20, 8)
    lr = etp.compile(model, "pp_prop", "mse", backend="numpy")
    start = np.asarray(lr.params["weight"]).copy()
    history = lr.fit([(x, y)] * 20, optimizer=etp.optim.adam(1e-2), update="step", epochs=2)
    assert history.loss[-1] < 0.9 * history.loss[0]
    assert np.abs(np.asarray(lr.params["weight"]) - start).min() > 1e-4
