"""Data of one step and of many, given together."""

import pickle

import numpy as np
import pytest

import etp
from etp import MultiStepData, SingleStepData, xp
from etp.sequences import opened
from etp_backends.numpy.backend import NumpyBackend

T, B, N, C = 6, 3, 2, 4
rng = np.random.default_rng(0)
XS, CONTEXT = rng.standard_normal((T, B, N)), rng.standard_normal((B, C))
YS = rng.standard_normal((T, B, 5))
SPREAD = np.repeat(CONTEXT[None], T, axis=0)


class Told(etp.Module):
    """A cell that is told a context at each step."""

    def __init__(self):
        self.cell = etp.nn.GRUCell(N + C, 5, rng=0)

    def __call__(self, given):
        x, context = given if isinstance(given, tuple) else (given["x"], given["context"])
        return self.cell(xp.concat([x, xp.tanh(context)]))


def learner(**options):
    given = {"loss": "mse", "backend": "numpy", "dtype": "float64"}
    return etp.compile(Told(), "d_rtrl", **{**given, **options})


WAYS = {
    "tuple": lambda x, c: (x, c),
    "dict": lambda x, c: {"x": x, "context": c},
    "turned": lambda x, c: {"context": c, "x": x},
}


@pytest.mark.parametrize("backend", ["numpy", "jax"])
@pytest.mark.parametrize("way", WAYS)
def test_what_stays_the_same_is_what_is_repeated(way, backend):
    dtype, close = ("float64", 1e-12) if backend == "numpy" else ("float32", 1e-5)
    make = WAYS[way]
    a = learner(backend=backend, dtype=dtype)
    plain = make(XS, SPREAD)
    for mixed in (make(XS, SingleStepData(CONTEXT)),
                  make(MultiStepData(XS), SingleStepData(CONTEXT)),
                  make(MultiStepData(XS), MultiStepData(SPREAD))):  # fmt: skip
        np.testing.assert_allclose(a.predict(mixed), a.predict(plain), rtol=close, atol=close)
        found, metrics = a.grad(mixed, YS)
        expected, wanted = a.grad(plain, YS)
        np.testing.assert_allclose(metrics["loss"], wanted["loss"], rtol=close)
        for n, g in expected.items():
            assert np.abs(g).max() > 1e-4
            np.testing.assert_allclose(found[n], g, rtol=close, atol=close)


@pytest.mark.parametrize("update", ["step", 4, "sequence"])
def test_training_is_the_same(update):
    found = []
    for context in (SPREAD, SingleStepData(CONTEXT)):
        a = learner()
        a.fit([((XS, context), YS)] * 3, etp.optim.sgd(0.1), update=update)
        found.append(a.params)
    for n, w in found[0].items():
        np.testing.assert_allclose(found[1][n], w, rtol=1e-11, atol=1e-12)
    assert np.abs(found[0]["cell.n.w_in"] - learner().params["cell.n.w_in"]).max() > 1e-3


def test_a_step_takes_the_data_of_one_step():
    a, b = learner(), learner()
    for t in range(T):
        first = a.step((XS[t], SingleStepData(CONTEXT)), SingleStepData(YS[t]))
        assert first == b.step((XS[t], CONTEXT), YS[t])


def test_a_target_may_stay_the_same():
    a, y = learner(), YS[0]
    found, _ = a.grad((XS, SPREAD), SingleStepData(y))
    expected, _ = a.grad((XS, SPREAD), np.repeat(y[None], T, axis=0))
    np.testing.assert_allclose(found["cell.n.w_in"], expected["cell.n.w_in"], rtol=1e-12)


def test_the_target_may_be_all_that_has_steps():
    class Alone(etp.Module):
        def __init__(self):
            self.cell = etp.nn.GRUCell(C, 5, rng=0)

        def __call__(self, x):
            return self.cell(x)

    a = etp.compile(Alone(), "d_rtrl", "mse", backend="numpy", dtype="float64")
    found, _ = a.grad(SingleStepData(CONTEXT), YS)
    expected, _ = a.grad(SPREAD, YS)
    np.testing.assert_allclose(found["cell.n.w_in"], expected["cell.n.w_in"], rtol=1e-12)
    with pytest.raises(etp.DataError, match=r"how many steps(.|\n)*\(T, B, \.\.\.\)"):
        a.predict(SingleStepData(CONTEXT))


def test_an_example_and_a_checked_batch():
    example = ((XS[0, 0], SingleStepData(CONTEXT[0])), YS[0, 0])
    assert learner(example=example).report().parameters
    bad = CONTEXT.copy()
    bad[1, 2] = np.nan
    with pytest.raises(etp.DataError, match="nan at step 0, example 1"):
        learner(check=True).predict((XS, SingleStepData(bad)))


def test_no_copies_for_the_steps_are_made():
    """The programs take the context as it is, and what depends on it alone they compute once."""

    class Counting(NumpyBackend):
        programs = []

        def compile(self, program, **options):
            self.programs.append(program)
            return super().compile(program, **options)

    backend = Counting()
    a = learner(backend=backend)
    xs = (XS, SingleStepData(CONTEXT))
    a.predict(xs)
    a.grad(xs, YS)
    a.fit([(xs, YS)], etp.optim.sgd(0.1), update=4)
    count = len(backend.programs)
    assert count == 3
    for program in backend.programs:
        assert program.input("x.1").type.shape == (B, C)
        assert program.input("x.0").type.shape == (T, B, N)
        outside = [n.primitive.name for n in program.nodes]
        assert "tanh" in outside  # of the context: before the loop
        made = [v.type.shape for n in program.nodes for v in n.outputs
                if n.primitive.name != "broadcast"]  # fmt: skip
        assert (T, B, C) not in made
    a.grad(xs, YS)
    a.grad((XS + 1, SingleStepData(CONTEXT + 1)), YS)
    assert len(backend.programs) == count
    a.grad((XS, SPREAD), YS)
    assert len(backend.programs) == count + 1


def test_whole_numbers_stay_one_view():
    xs, _, still = opened({"x": XS, "c": SingleStepData(np.arange(B))}, None, False)
    assert still == ("c",)
    assert xs["c"].shape == (T, B)
    assert xs["c"].strides[0] == 0
    assert xs["c"].dtype == np.int32


def test_they_are_plain_data():
    single = pickle.loads(pickle.dumps(SingleStepData([1, 2])))
    assert single == SingleStepData([1, 2])


MISTAKES = {
    "step": (lambda a: a.step((MultiStepData(XS), CONTEXT), YS[0]),
             r"x\.0 is MultiStepData(.|\n)*call predict, grad or fit"),
    "target": (lambda a: a.step((XS[0], CONTEXT), MultiStepData(YS)), "y is MultiStepData"),
    "examples": (lambda a: a.predict((XS, SingleStepData(CONTEXT[:2]))),
                 r"shape \(2, 4\): expected \(3, \.\.\.\)(.|\n)*axis of steps"),
    "axis": (lambda a: a.predict((XS, SingleStepData(SPREAD))), r"expected \(3, \.\.\.\)"),
    "steps": (lambda a: a.predict((XS, MultiStepData(SPREAD[:4]))), "6 of|6 steps"),
    "twice": (lambda a: SingleStepData(MultiStepData(XS)), "give the array itself"),
    "words": (lambda a: a.predict((XS, SingleStepData("context"))), "real numbers"),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(case):
    do, text = MISTAKES[case]
    with pytest.raises(etp.ETPError, match=text):
        do(learner())
