"""Mistakes a beginner makes: each ends in one message, with the line of this file that made it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import etp
from etp import xp
from tests.learner.setups import BATCH, LENGTH, learner
from tests.models import N_IN, N_OUT, N_REC, data

X, Y = data(LENGTH, BATCH)
HERE = "tests/learner/test_mistakes.py"


def line_of(definition: Any, text: str) -> int:
    """Return the line of this file where a piece of a definition stands."""
    lines, first = inspect.getsourcelines(definition)
    (at,) = [i for i, line in enumerate(lines) if text in line]
    return first + at


def message(call: Callable[[], Any], kind: type[etp.ETPError] = etp.ETPError) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def check(call: Callable[[], Any], *parts: str, line: int, kind: Any = etp.ETPError) -> None:
    """The message has the parts, in that order, and names one line of this file: ``line``."""
    text = message(call, kind)
    pattern = "(.|\n)*".join(map(re.escape, parts))
    assert re.search(pattern, text), text
    assert set(re.findall(rf"{HERE}:(\d+)", text)) == {str(line)}, text
    assert "Traceback" not in text
    assert len(text.splitlines()) < 9, text


def grad(model: etp.Module, x: Any = X, y: Any = Y, loss: Any = "mse") -> Any:
    return etp.compile(model, loss=loss, backend="numpy").grad(x, y)


# -- models --------------------------------------------------------------------------------
class Net(etp.Module):
    """A plain recurrent network; the broken ones below differ from it in one line."""

    def __init__(self) -> None:
        self.w = etp.Param(np.ones((N_IN + N_REC, N_REC)) / 9)
        self.h = etp.State((N_REC,))

    def __call__(self, x: Any) -> Any:
        joined = xp.concat([x, self.h])
        self.h.value = xp.tanh(etp.matmul(joined, self.w))
        return self.h[:N_OUT]


class WrongWeight(Net):
    def __call__(self, x: Any) -> Any:
        self.h.value = xp.tanh(etp.matmul(x, self.w))
        return self.h[:N_OUT]


class WrongState(Net):
    def __call__(self, x: Any) -> Any:
        self.h.value = xp.concat([x, self.h])
        return self.h[:N_OUT]


class Branches(Net):
    def __call__(self, x: Any) -> Any:
        self.h.value = self.h + 1.0
        if x[0] > 0:
            return etp.matmul(xp.concat([x, self.h]), self.w)[:N_OUT]
        return self.h[:N_OUT]


class Concrete(Net):
    def __call__(self, x: Any) -> Any:
        self.h.value = etp.matmul(xp.concat([x, self.h]), self.w)
        return float(self.h[0])


class NoCall(etp.Module):
    def __init__(self) -> None:
        self.w = etp.Param(np.ones(3))
        self.h = etp.State((3,))


class ReturnsNothing(Net):
    def __call__(self, x: Any) -> Any:
        self.h.value = etp.matmul(xp.concat([x, self.h]), self.w)


class Remembers(Net):
    def __call__(self, x: Any) -> Any:
        self.last = x
        return self.h[:N_OUT]


MODELS: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "weight": (
        WrongWeight, "etp.matmul(x, self.w)",
        ("`etp.matmul` got an input of width 2 for a weight of 5 inputs",),
    ),
    "state": (
        WrongState, "self.h.value =",
        ("state 'h' is f32[3] and was assigned a value of type f32[5]",
         "assign an array of the shape that the State declares"),
    ),
    "branch": (
        Branches, "if x[0] > 0",
        ("a traced value has no truth value, so Python cannot branch on it", "use xp.where"),
    ),
    "float": (Concrete, "float(", ("a traced value is not a number yet", "functions of xp")),
    "no call": (NoCall, "class NoCall", ("NoCall has no __call__", "define __call__(self, x)")),
    "no output": (
        ReturnsNothing, "def __call__",
        ("ReturnsNothing.__call__ returned None", "end it with `return`"),
    ),
    "attribute": (
        Remembers, "self.last = x",
        ("self.last is assigned inside a step of Remembers", "keep what lasts", "etp.State"),
    ),
}  # fmt: skip


def test_the_model_without_a_mistake_works() -> None:
    grads, _ = grad(Net())
    assert np.abs(grads["w"]).max() > 1e-3


@pytest.mark.parametrize("case", MODELS)
def test_a_mistake_in_the_model(case: str) -> None:
    model, text, parts = MODELS[case]
    check(lambda: grad(model()), *parts, line=line_of(model, text))


def test_no_model_at_all() -> None:
    def compile(model: Any) -> Any:
        return etp.compile(model, backend="numpy")

    line = line_of(compile, "etp.compile")
    how = "write `class Net(etp.Module)`"
    check(lambda: compile(None), "must be an etp.Module, got NoneType", how, line=line)
    check(lambda: compile(Net), "must be an etp.Module, got the class Net", how, line=line)
    check(lambda: compile(len), "must be an etp.Module, got builtin", how, line=line)


# -- data ----------------------------------------------------------------------------------
def test_inputs_of_the_wrong_width() -> None:
    wide = np.ones((LENGTH, BATCH, N_IN + 1))
    line = line_of(Net, "etp.matmul")
    check(
        lambda: grad(Net(), wide),
        "`etp.matmul` got an input of width 6 for a weight of 5 inputs",
        "expected as (T, B, ...), were read as 7 steps of 3 examples, each x f32[3]", line=line,
    )  # fmt: skip
    lr = etp.compile(Net(), loss="mse", backend="numpy")
    lr.grad(X, Y)
    check(lambda: lr.predict(wide), "width 6 for a weight of 5 inputs", line=line)


def test_a_missing_batch_axis() -> None:
    """One sequence without a batch axis: its features are taken for examples."""
    check(
        lambda: grad(Net(), X[:, 0], Y[:, 0]),
        "`concat`",
        "were read as 7 steps of 2 examples, each x f32[]", line=line_of(Net, "xp.concat"),
    )  # fmt: skip
    lr = learner()

    def flat() -> Any:
        return lr.grad(X[:, 0, 0], Y)

    check(
        flat, "xs has shape (7,): expected (T, B, ...), time first, then batch",
        "add the missing axis, for example xs[:, None] for a single example",
        line=line_of(flat, "lr.grad"),
    )  # fmt: skip

    def single() -> Any:
        return lr.step(0.5, Y[0])

    check(single, "x has shape (): expected (B, ...)", "x[None]", line=line_of(single, "lr.step"))


def mistakes_in_data() -> dict[str, tuple[Callable[[Any], Any], tuple[str, ...]]]:
    nan = X.copy()
    nan[4, 2, 1] = np.nan
    ragged = [[[0.0] * N_IN] * BATCH] * 3 + [[[0.0] * N_IN] * 2]
    return {
        "length": (
            lambda lr: lr.grad(X, Y[:5]),
            ("ys has shape (5, 3, 2), but xs has 7 steps of 3 examples", "the shape (7, 3, ...)"),
        ),
        "batch": (lambda lr: lr.grad(X, Y[:, :2]), ("ys has shape (7, 2, 2)", "7 steps of 3")),
        "step": (lambda lr: lr.step(X[0], Y[0, :2]), ("y has shape (2, 2), but x has 3 examples",)),
        "mask": (lambda lr: lr.grad(X, Y, np.ones(3)), ("mask has shape (3,)", "(7,) or (7, 3)")),
        "mask of a step": (
            lambda lr: lr.step(X[0], Y[0], mask=np.ones(7)), ("mask has shape (7,); expected (3,)",)
        ),
        "mask of signs": (lambda lr: lr.grad(X, Y, -np.ones(7)), ("mask must hold finite",)),
        "target width": (lambda lr: lr.grad(X, Y[..., :1]), ("f64[2]", "f64[1]")),
        "ragged": (lambda lr: lr.predict(ragged), ("xs is ragged", "pad them to one length")),
        "ragged targets": (lambda lr: lr.grad(X, [[0.0]] * 6 + [[0.0, 1.0]]), ("ys is ragged",)),
        "strings": (lambda lr: lr.predict([["a", "b"]]), ("xs holds <U1 elements", "real numbers")),
        "nothing": (lambda lr: lr.grad(X, None), ("ys is None",)),
        "no steps": (lambda lr: lr.predict(X[:0]), ("xs has shape (0, 3, 2): no steps",)),
        "no examples": (lambda lr: lr.predict(X[:, :0]), ("(7, 0, 2): no examples",)),
        "no input": (lambda lr: lr.predict({}), ("xs is empty",)),
        "complex": (lambda lr: lr.predict(X + 1j), ("xs holds complex128 elements",)),
        "masked array": (
            lambda lr: lr.grad(np.ma.masked_greater(X, 1), Y),
            ("xs is a masked array", "pass mask= for the steps"),
        ),
        "nan": (
            lambda lr: lr.grad(nan, Y),
            ("xs holds nan at step 4, example 2, index 1 (1 such numbers in all)", "clean"),
        ),
        "infinite target": (
            lambda lr: lr.grad(X, Y + np.inf), ("ys holds inf at step 0, example 0, index 0",)
        ),
        "nan in the stream": (
            lambda lr: lr.step(nan[4], Y[0]), ("x holds nan at example 2, index 1",)
        ),
        "nan in training": (lambda lr: lr.fit([(nan, Y)]), ("xs holds nan at step 4, example 2",)),
        "reduction": (
            lambda lr: lr.grad(X, Y, reduction="avg"), ("'avg' is neither 'mean' nor 'sum'",)
        ),
        "no pairs": (
            lambda lr: lr.fit([X]),
            ("each batch must be (xs, ys), (xs, ys, mask) or (xs, ys, mask, modulator)",),
        ),
        "no batches": (lambda lr: lr.fit(None), ("batches must be an iterable", "got NoneType")),
        "one batch": (lambda lr: lr.fit((X, Y)), ("each batch must be (xs, ys)",)),
        "targets apart": (lambda lr: lr.fit([X], [Y]), ("an optimizer is a name or an object",)),
        "epochs": (lambda lr: lr.fit([(X, Y)], epochs=0), ("epochs 0 is not a whole number",)),
        "other batch size": (
            lambda lr: (lr.step(X[0], Y[0]), lr.step(X[0, :2], Y[0, :2])),
            ("the stream runs with 3 examples, got 2", "call reset()"),
        ),
        "parameter": (
            lambda lr: setattr(lr, "params", {"readout.weigth": 0}),
            ("no parameter 'readout.weigth'; did you mean 'readout.weight'?",),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("case", list(mistakes_in_data()))
def test_a_mistake_in_the_data(case: str) -> None:
    call, parts = mistakes_in_data()[case]
    lr = learner(check=True)
    text = message(lambda: call(lr))
    assert re.search("(.|\n)*".join(map(re.escape, parts)), text), text
    (line,) = set(re.findall(rf"{HERE}:(\d+)", text))
    first = call.__code__.co_firstlineno
    assert first <= int(line) <= first + 1, text


def test_data_are_not_searched_for_nan_unasked() -> None:
    assert np.isnan(learner().predict(X * np.nan)).all()


# -- names ---------------------------------------------------------------------------------
NAMES: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "rule": (
        lambda: etp.compile(Net(), "d_rtlr", backend="numpy"), ("'d_rtlr'; did you mean 'd_rtrl'?",)
    ),
    "unlike any rule": (
        lambda: etp.compile(Net(), "xyz", backend="numpy"), ("'xyz'; known are", "'bptt'")
    ),
    "loss": (
        lambda: etp.compile(Net(), loss="softmax_crossentropy", backend="numpy"),
        ("no loss 'softmax_crossentropy'; did you mean 'softmax_cross_entropy'?",),
    ),
    "backend": (
        lambda: etp.compile(Net(), backend="nunpy"), ("no backend 'nunpy'; did you mean 'numpy'?",)
    ),
    "no backend": (lambda: etp.compile(Net(), backend=3), ("a Backend object, got int", "numpy")),
    "optimizer": (
        lambda: learner().fit([(X, Y)], "adm"), ("no optimizer 'adm'; did you mean 'adam'?",)
    ),
    "optimizer not called": (
        lambda: learner().fit([(X, Y)], etp.optim.adam), ("got function", "etp.optim.adam(1e-3)")
    ),
    "optimizer of a step": (
        lambda: learner().step(X[0], Y[0], optimizer="adm"), ("did you mean 'adam'?",)
    ),
    "schedule": (
        lambda: etp.compile(Net(), schedule="chunks", backend="numpy"),
        ("schedule 'chunks' is none of", "did you mean 'chunk'?"),
    ),
    "update": (
        lambda: learner().fit([(X, Y)], update="sequences"),
        ("update 'sequences' is neither", "did you mean 'sequence'?"),
    ),
    "window": (lambda: etp.compile(Net(), window=-1, backend="numpy"), ("window -1 is not",)),
    "batch size": (lambda: etp.compile(Net(), batch_size=0, backend="numpy"), ("batch_size 0",)),
    "dtype": (lambda: etp.compile(Net(), dtype="float33", backend="numpy"), ("'float33' is not",)),
    "integer dtype": (
        lambda: etp.compile(Net(), dtype="int32", backend="numpy"), ("'int32' is no floating",)
    ),
    "trace_dtype": (
        lambda: etp.compile(Net(), trace_dtype="f9", backend="numpy"), ("'f9' is not one of",)
    ),
    "example": (
        lambda: etp.compile(Net(), example=X, backend="numpy"), ("example must be (x, y)",)
    ),
    "scope": (
        lambda: etp.compile(Net(), scope="layred", backend="numpy"),
        ("scope 'layred' is none of", "did you mean 'layered'?"),
    ),
    "hops of a scope": (
        lambda: etp.compile(Net(), scope="sparse_n", backend="numpy"), ("'sparse_n(2)'",)
    ),
    "tail": (
        lambda: etp.compile(Net(), tail="exakt", backend="numpy"),
        ("tail 'exakt' is neither 'diagonal' nor 'exact'",),
    ),
    "before data": (lambda: learner().report(), ("nothing is compiled yet", "example=(x, y)")),
    "parameter of the graph": (
        lambda: learner(example=(X[0, 0], Y[0, 0])).graph.explain("readout.wieght"),
        ("did you mean 'readout.weight'?",),
    ),
    "functional": (lambda: learner().functional(), ("functional() needs backend 'jax'",)),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_a_wrong_name_or_option(case: str) -> None:
    call, parts = NAMES[case]
    text = message(call)
    assert re.search("(.|\n)*".join(map(re.escape, parts)), text), text
    (line,) = set(re.findall(rf"{HERE}:(\d+)", text))
    first = call.__code__.co_firstlineno
    assert first <= int(line) <= first + 1, text


def test_cupy_without_a_device_or_the_package() -> None:
    reason = etp.backends.available()["cupy"]
    if reason is None:
        pytest.skip("there is a device")

    def compile() -> Any:
        return etp.compile(Net(), backend="cupy")

    check(compile, "backend 'cupy'", "choose another backend", line=line_of(compile, "etp.compile"))


# -- losses --------------------------------------------------------------------------------
def vector_loss(output: Any, target: Any) -> Any:
    return (output - target) ** 2


def counting_loss(output: Any, target: Any) -> Any:
    return 3.0


def narrow_loss(output: Any, target: Any) -> Any:
    return xp.sum(output - target[:1])


def python_loss(output: Any, target: Any) -> Any:
    return xp.sum(output) if target[0] > 0 else xp.sum(target)


LOSSES = {
    vector_loss: ("def vector", ("the loss must be a traced scalar, got f32[2]", "xp.sum")),
    counting_loss: ("def counting", ("the loss must be a traced scalar, got float",)),
    python_loss: ("target[0] > 0", ("cannot branch on it", "xp.where")),
}  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_a_mistake_in_the_loss(loss: Any) -> None:
    text, parts = LOSSES[loss]
    check(lambda: grad(Net(), loss=loss), *parts, line=line_of(loss, text))


def test_targets_that_do_not_fit_the_loss() -> None:
    def call() -> Any:
        return grad(Net(), y=np.ones((LENGTH, BATCH)), loss="softmax_cross_entropy")

    where = line_of(grad, ".grad(x, y)")
    check(call, "got a label of type f32[]", "give integer labels", line=where)
    narrow = np.ones((LENGTH, BATCH, 5))
    text = message(lambda: grad(Net(), y=narrow))
    assert "f32[2]" in text
    assert "f32[5]" in text
    text = message(lambda: grad(Net(), y=narrow[..., :3], loss=lambda o, t: xp.sum(o * t)))
    assert re.search(r"cannot broadcast|equal shapes|do(es)? not (fit|broadcast)", text), text


# -- Python's own ---------------------------------------------------------------------------
def test_a_wrong_call_is_a_type_error_of_python() -> None:
    lr = learner()
    for call in (lambda: lr.predict(), lambda: lr.grad(X), lambda: lr.fit(batches=[], epoch=2)):
        with pytest.raises(TypeError, match=r"missing|unexpected keyword"):
            call()
