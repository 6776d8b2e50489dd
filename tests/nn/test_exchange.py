"""Weights of PyTorch and Flax: what is imported computes the same, and what is exported returns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from etp import Param, nn
from etp_ir import ETPError, ModelError, NotSupportedError, ShapeError

N_IN, H, T = 3, 4, 7
GATES = {"GRU": "rzn", "LSTM": "ifgo"}
KINDS = pytest.mark.parametrize("kind", list(GATES))
Arrays = dict[str, np.ndarray[Any, Any]]


def cell_class(kind: str) -> Any:
    return getattr(nn, f"{kind}Cell")


def torch_state(kind: str, seed: int = 0, suffix: str = "_l0") -> Arrays:
    """Return weights in PyTorch's layout."""
    rng, rows = np.random.default_rng(seed), len(GATES[kind]) * H
    shapes = {"weight_ih": (rows, N_IN), "weight_hh": (rows, H), "bias_ih": (rows,)}
    shapes["bias_hh"] = (rows,)
    return {f"{k}{suffix}": rng.normal(size=s) for k, s in shapes.items()}


def flax_tree(kind: str, seed: int = 0) -> dict[str, Arrays]:
    """Return a parameter tree in the layout of ``flax.linen``."""
    rng = np.random.default_rng(seed)
    tree = {f"{side}{g}": {"kernel": rng.normal(size=(n, H))}
            for g in GATES[kind] for side, n in (("i", N_IN), ("h", H))}  # fmt: skip
    biased = ["ir", "iz", "in", "hn"] if kind == "GRU" else [f"h{g}" for g in "ifgo"]
    for dense in biased:
        tree[dense]["bias"] = rng.normal(size=H)
    return tree


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def run_gru(i: Any, h: Any, xs: Any) -> Any:
    """Return the states, given the affine maps of the input and of the state for each gate."""
    state, out = np.zeros(H), []
    for x in xs:
        r, z = (sigmoid(i(g, x) + h(g, state)) for g in "rz")
        n = np.tanh(i("n", x) + r * h("n", state))
        state = (1 - z) * n + z * state
        out.append(state)
    return np.array(out)


def run_lstm(i: Any, h: Any, xs: Any) -> Any:
    c, state, out = np.zeros(H), np.zeros(H), []
    for x in xs:
        pre = {g: i(g, x) + h(g, state) for g in "ifgo"}
        c = sigmoid(pre["f"]) * c + sigmoid(pre["i"]) * np.tanh(pre["g"])
        state = sigmoid(pre["o"]) * np.tanh(c)
        out.append(state)
    return np.array(out)


RUN = {"GRU": run_gru, "LSTM": run_lstm}


def of_torch(kind: str, state: Arrays) -> tuple[Any, Any]:
    """Return the affine maps that PyTorch's documentation writes down."""
    block = {g: slice(k * H, (k + 1) * H) for k, g in enumerate(GATES[kind])}
    w_ih, w_hh, b_ih, b_hh = state.values()
    return (lambda g, x: w_ih[block[g]] @ x + b_ih[block[g]],
            lambda g, h: w_hh[block[g]] @ h + b_hh[block[g]])  # fmt: skip


def of_flax(tree: dict[str, Arrays]) -> tuple[Any, Any]:
    def dense(name: str, x: Any) -> Any:
        return x @ tree[name]["kernel"] + tree[name].get("bias", 0.0)

    return lambda g, x: dense(f"i{g}", x), lambda g, h: dense(f"h{g}", h)


def outputs(cell: Any, xs: Any) -> Any:
    cell.reset_states()
    return np.array([cell(x) for x in xs])


XS = np.random.default_rng(9).normal(size=(T, N_IN))


@KINDS
def test_the_import_from_torch_computes_the_same(kind: str) -> None:
    state = torch_state(kind)
    cell = cell_class(kind).from_torch_state_dict(state)
    wanted = RUN[kind](*of_torch(kind, state), XS)
    assert wanted.std() > 0.1
    np.testing.assert_allclose(outputs(cell, XS), wanted, rtol=1e-12, atol=1e-14)


@KINDS
def test_the_import_from_flax_computes_the_same(kind: str) -> None:
    tree = flax_tree(kind)
    wanted = RUN[kind](*of_flax(tree), XS)
    for given in (tree, {"params": tree}):
        cell = cell_class(kind).from_flax_params(given)
        np.testing.assert_allclose(outputs(cell, XS), wanted, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layout", ["torch_state_dict", "flax_params"])
@KINDS
def test_the_round_trip_is_exact(kind: str, layout: str) -> None:
    cell = cell_class(kind)(N_IN, H, rng=3)
    rng = np.random.default_rng(0)
    for param in cell.named_params().values():
        param.value = rng.normal(size=param.shape).astype(np.float32)
    exported = getattr(cell, f"to_{layout}")()
    again = getattr(type(cell), f"from_{layout}")(exported)
    before, after = cell.named_params(), again.named_params()
    assert list(before) == list(after)
    for path, param in before.items():
        assert after[path].value.dtype == np.float32
        np.testing.assert_array_equal(after[path].value, param.value)
    # What is exported is a copy.
    leaf = (
        exported["weight_ih_l0"] if "torch" in layout else next(iter(exported.values()))["kernel"]
    )
    leaf[...] = 0
    for path, param in before.items():
        assert np.abs(param.value).max() > 0, path


@KINDS
def test_a_tree_of_flax_returns_as_it_was(kind: str) -> None:
    tree = flax_tree(kind)
    again = cell_class(kind).from_flax_params(tree).to_flax_params()
    assert set(again) == set(tree)
    for dense, leaf in tree.items():
        assert set(again[dense]) == set(leaf)
        for name, array in leaf.items():
            np.testing.assert_array_equal(again[dense][name], array)


@KINDS
def test_a_state_dict_returns_with_its_biases_added_up(kind: str) -> None:
    state = torch_state(kind)
    again = cell_class(kind).from_torch_state_dict(state).to_torch_state_dict()
    assert list(again) == list(state)
    for name in ("weight_ih_l0", "weight_hh_l0"):
        np.testing.assert_array_equal(again[name], state[name])
    total = state["bias_ih_l0"] + state["bias_hh_l0"]
    np.testing.assert_array_equal((again["bias_ih_l0"] + again["bias_hh_l0"]), total)
    apart = np.zeros(len(total), bool)
    if kind == "GRU":
        apart[2 * H :] = True
    np.testing.assert_array_equal(again["bias_hh_l0"], np.where(apart, state["bias_hh_l0"], 0))


@KINDS
def test_layers_prefixes_cells_and_missing_biases(kind: str) -> None:
    make = cell_class(kind).from_torch_state_dict
    first, second = torch_state(kind, 1), torch_state(kind, 2, "_l1")
    plain = make(torch_state(kind, 2)).to_torch_state_dict()
    both = {f"net.rnn.{k}": a for k, a in {**first, **second}.items()} | {"net.out.weight": XS}
    found = make(both, layer=1, prefix="net.rnn.").to_torch_state_dict(layer=1, prefix="a.")
    assert list(found) == [f"a.{k}" for k in second]
    of_cell = make(torch_state(kind, 2, "")).to_torch_state_dict(layer=None)
    assert list(of_cell) == ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    for other in (found, of_cell):
        for a, b in zip(other.values(), plain.values(), strict=True):
            np.testing.assert_array_equal(a, b)
    bare = {k: a for k, a in first.items() if k.startswith("weight")}
    assert not make(bare).to_torch_state_dict()["bias_ih_l0"].any()


@pytest.mark.parametrize("layers", [1, 2])
@KINDS
def test_it_is_what_torch_computes(kind: str, layers: int) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = getattr(torch.nn, kind)(N_IN, H, layers).double()
    with torch.no_grad():
        for p in theirs.parameters():
            p.mul_(2.0)
        wanted = theirs(torch.tensor(XS)[:, None])[0][:, 0].numpy()
    make = cell_class(kind).from_torch_state_dict
    net = nn.Sequential(*(make(theirs.state_dict(), layer=k) for k in range(layers)))
    assert wanted.std() > 0.05
    np.testing.assert_allclose(outputs(net, XS), wanted, rtol=0, atol=1e-12)

    back = getattr(torch.nn, kind)(N_IN, H)
    ours = cell_class(kind)(N_IN, H, rng=5)
    back.load_state_dict({k: torch.tensor(a) for k, a in ours.to_torch_state_dict().items()})
    with torch.no_grad():
        got = back(torch.tensor(XS, dtype=torch.float32)[:, None])[0][:, 0].numpy()
    np.testing.assert_allclose(outputs(ours, XS), got, atol=1e-6)

    single = getattr(torch.nn, f"{kind}Cell")(N_IN, H)
    same = make(single.state_dict())
    single.load_state_dict(
        {k: torch.tensor(a) for k, a in same.to_torch_state_dict(layer=None).items()}
    )


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_simple_cell_is_that_of_torch(activation: str) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = torch.nn.RNN(N_IN, H, nonlinearity=activation).double()
    w_ih, w_hh, b_ih, b_hh = (p.detach().numpy() for p in theirs.parameters())
    ours = nn.VanillaRNNCell(N_IN, H, activation=activation, rng=0)
    gate = ours.gate
    gate.w_in, gate.w_rec, gate.b = Param(w_ih.T), Param(w_hh.T), Param(b_ih + b_hh)
    with torch.no_grad():
        wanted = theirs(torch.tensor(XS)[:, None])[0][:, 0].numpy()
    assert wanted.std() > 0.05
    np.testing.assert_allclose(outputs(ours, XS), wanted, atol=1e-12)


@KINDS
def test_it_is_what_flax_computes(kind: str) -> None:
    linen = pytest.importorskip("flax.linen")
    import jax
    import jax.numpy as jnp

    names = ["GRUCell"] if kind == "GRU" else ["LSTMCell", "OptimizedLSTMCell"]
    for name in names:
        theirs = getattr(linen, name)(H)
        carry = theirs.initialize_carry(jax.random.key(0), (N_IN,))
        tree = theirs.init(jax.random.key(1), carry, jnp.zeros(N_IN))
        cell = cell_class(kind).from_flax_params(tree["params"])
        wanted = []
        for x in XS:
            carry, y = theirs.apply(tree, carry, jnp.asarray(x, jnp.float32))
            wanted.append(np.asarray(y))
        np.testing.assert_allclose(outputs(cell, XS), np.array(wanted), atol=1e-6)
        again = cell.to_flax_params()
        assert jax.tree.structure(again) == jax.tree.structure(tree["params"])


# -- mistakes ------------------------------------------------------------------------------
def changed(kind: str, **arrays: Any) -> Arrays:
    state: dict[str, Any] = {**torch_state(kind), **arrays}
    return {k: a for k, a in state.items() if a is not None}


class OnDevice:
    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("can't convert device tensor")


GRU, LSTM = nn.GRUCell, nn.LSTMCell
MISTAKES: dict[str, tuple[Any, type[ETPError], str]] = {
    "a missing key": (
        lambda: GRU.from_torch_state_dict(changed("GRU", weight_hh_l0=None)),
        ModelError, r"missing weight_hh_l0\n.*\ngive weight_ih_l0, weight_hh_l0, bias_ih_l0",
    ),
    "one bias of two": (
        lambda: GRU.from_torch_state_dict(changed("GRU", bias_hh_l0=None)),
        ModelError, "missing bias_hh_l0",
    ),
    "a projection": (
        lambda: LSTM.from_torch_state_dict(changed("LSTM", weight_hr_l0=XS)),
        ModelError, "unknown weight_hr_l0",
    ),
    "two directions": (
        lambda: LSTM.from_torch_state_dict(changed("LSTM", weight_ih_l0_reverse=XS)),
        ModelError, "unknown weight_ih_l0_reverse",
    ),
    "nothing": (lambda: LSTM.from_torch_state_dict({}), ModelError, "got nothing"),
    "a layer that is not there": (
        lambda: GRU.from_torch_state_dict(torch_state("GRU"), layer=1),
        ModelError, "there is no layer=1",
    ),
    "weights of the other cell": (
        lambda: GRU.from_torch_state_dict(torch_state("LSTM")),
        ShapeError, r"weight_ih_l0 has the shape \(16, 3\), expected \(12, 3\)\n.*\n.*3 gates",
    ),
    "a short bias": (
        lambda: GRU.from_torch_state_dict(changed("GRU", bias_hh_l0=np.zeros(4))),
        ShapeError, r"bias_hh_l0 has the shape \(4,\), expected \(12,\)",
    ),
    "a number": (
        lambda: GRU.from_torch_state_dict(changed("GRU", weight_hh_l0=np.float64(1.0))),
        ShapeError, r"has the shape",
    ),
    "whole numbers": (
        lambda: GRU.from_torch_state_dict(changed("GRU", bias_hh_l0=np.zeros(12, int))),
        ModelError, "bias_hh_l0 has elements of type int64",
    ),
    "an array elsewhere": (
        lambda: GRU.from_torch_state_dict(changed("GRU", bias_hh_l0=OnDevice())),
        ModelError, "bias_hh_l0 cannot be read as an array: can't convert device tensor",
    ),
    "a tree without a gate": (
        lambda: GRU.from_flax_params({k: v for k, v in flax_tree("GRU").items() if k != "hz"}),
        ModelError, "missing hz.kernel",
    ),
    "a bias that Flax does not have": (
        lambda: GRU.from_flax_params(
            flax_tree("GRU") | {"hr": {"kernel": np.ones((H, H)), "bias": np.ones(H)}}
        ),
        ModelError, "unknown hr.bias",
    ),
    "a tree of the other cell": (
        lambda: LSTM.from_flax_params(flax_tree("GRU")), ModelError, "missing ii.kernel",
    ),
    "a transposed kernel": (
        lambda: LSTM.from_flax_params(flax_tree("LSTM") | {"ig": {"kernel": np.ones((H, N_IN))}}),
        ShapeError, r"ig.kernel has the shape \(4, 3\), expected \(3, 4\)",
    ),
    "an array for a dense layer": (
        lambda: LSTM.from_flax_params(flax_tree("LSTM") | {"ig": np.ones((H, N_IN))}),
        ModelError, "missing ig.kernel",
    ),
    "no counterpart": (
        lambda: GRU(N_IN, H, reset="before", rng=0).to_torch_state_dict(),
        NotSupportedError, "reset='before' has no counterpart",
    ),
    "no counterpart in Flax": (
        lambda: GRU(N_IN, H, reset="before", rng=0).to_flax_params(),
        NotSupportedError, "make the cell with reset='after'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MISTAKES))
def test_mistakes_are_told_with_what_was_expected(name: str) -> None:
    call, error, text = MISTAKES[name]
    with pytest.raises(error, match=text) as raised:
        call()
    assert "test_exchange.py" in str(raised.value)
