"""Weights of gated cells in the layouts of PyTorch and Flax, as plain dicts of arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
from attrs import frozen

from etp_ir.errors import ModelError, NotSupportedError, ShapeError

from ..given import mistake
from ..model import Module, Param
from .linear import Gate

Array = np.ndarray[Any, Any]


@frozen
class Weights:
    """One gate: weights as inputs by outputs, and the biases of its two products."""

    w_in: Array
    w_rec: Array
    b_in: Array
    b_rec: Array


class GatedCell(Module):
    """A cell of gates whose weights are exchanged with other libraries.

    Attributes
    ----------
    GATES
        Its gates, in PyTorch's order.
    APART
        Gates whose recurrent bias is a parameter of its own, ``b_rec``, since the reset gate
        scales it. Of the others only the sum of the two biases counts.
    FLAX_BIAS
        Gates that have a bias in Flax, with the product of the input and with that of the state.
    """

    GATES: ClassVar[tuple[str, ...]] = ()
    APART: ClassVar[tuple[str, ...]] = ()
    FLAX_BIAS: ClassVar[tuple[tuple[str, ...], tuple[str, ...]]] = ((), ())

    @classmethod
    def from_torch_state_dict(
        cls, state: Mapping[str, Any], *, layer: int | None = None, prefix: str = ""
    ) -> Self:
        """Return a cell with the weights of a layer of PyTorch.

        Parameters
        ----------
        state
            What ``state_dict()`` of ``torch.nn.GRU``, ``LSTM``, ``GRUCell`` or ``LSTMCell``
            returned; arrays of any library will do. Without biases they are zero.
        layer
            Which layer, counted from 0, where there are several.
        prefix
            What the keys begin with, such as ``"rnn."``, if the layer is part of a module.

        Raises
        ------
        ModelError
            If it is no dict, or one of several layers without ``layer``; if keys are missing, or
            there are some that this cell has no place for.
        ShapeError
            If the shapes do not fit together.
        """
        return cls._made_of(_read_torch(state, cls.GATES, layer, prefix))

    def to_torch_state_dict(self, *, layer: int | None = 0, prefix: str = "") -> dict[str, Array]:
        """Return the weights as PyTorch names and lays them out; see `from_torch_state_dict`.

        Of the two biases that PyTorch adds up, the first is the sum and the second zero. To load
        them there, make them tensors:
        ``module.load_state_dict({k: torch.as_tensor(v) for k, v in arrays.items()})``.

        Parameters
        ----------
        layer
            The layer's number in the keys; None for the names of ``GRUCell`` and ``LSTMCell``.

        Raises
        ------
        NotSupportedError
            If PyTorch has no such cell.
        """
        gates = list(self._weights().values())
        suffix = "" if layer is None else f"_l{layer}"
        return {
            f"{prefix}weight_ih{suffix}": np.concatenate([g.w_in.T for g in gates]),
            f"{prefix}weight_hh{suffix}": np.concatenate([g.w_rec.T for g in gates]),
            f"{prefix}bias_ih{suffix}": np.concatenate([g.b_in for g in gates]),
            f"{prefix}bias_hh{suffix}": np.concatenate([g.b_rec for g in gates]),
        }

    @classmethod
    def from_flax_params(cls, params: Mapping[str, Any]) -> Self:
        """Return a cell with the parameters of the cell of the same name in ``flax.linen``.

        Parameters
        ----------
        params
            The parameter tree: for each gate, here ``r``, the dicts ``ir`` and ``hr`` with a
            ``kernel`` and, where Flax has one, a ``bias``. It may be under the key ``params``.

        Raises
        ------
        ModelError
            If keys are missing or unknown.
        ShapeError
            If the shapes do not fit together.
        """
        return cls._made_of(_read_flax(params, cls.GATES, cls.FLAX_BIAS))

    def to_flax_params(self) -> dict[str, dict[str, Array]]:
        """Return the weights as a parameter tree of ``flax.linen``; see `from_flax_params`.

        Raises
        ------
        NotSupportedError
            If Flax has no such cell.
        """
        of_x, of_h = self.FLAX_BIAS
        tree: dict[str, dict[str, Array]] = {}
        for name, g in self._weights().items():
            tree[f"i{name}"], tree[f"h{name}"] = {"kernel": g.w_in}, {"kernel": g.w_rec}
            if name in of_x:
                tree[f"i{name}"]["bias"] = g.b_in
            if name in of_h:
                tree[f"h{name}"]["bias"] = g.b_rec if name in of_x else g.b_in + g.b_rec
        return tree

    @classmethod
    def _made_of(cls, gates: Mapping[str, Weights]) -> Self:
        first = gates[cls.GATES[0]]
        make: Any = cls
        cell = make(*first.w_in.shape, rng=0)
        for name, g in gates.items():
            gate: Gate = getattr(cell, name)
            gate.w_in, gate.w_rec = Param(g.w_in), Param(g.w_rec)
            gate.b = Param(g.b_in if name in cls.APART else g.b_in + g.b_rec)
            if name in cls.APART:
                cell.b_rec = Param(g.b_rec)
        return cell

    def _weights(self) -> dict[str, Weights]:
        found = {}
        for name in self.GATES:
            gate: Gate = getattr(self, name)
            w_in, w_rec = np.array(gate.w_in.value), np.array(gate.w_rec.value)
            b = np.zeros(w_rec.shape[1], w_in.dtype) if gate.b is None else np.array(gate.b.value)
            b_rec = getattr(self, "b_rec", None) if name in self.APART else None
            if name in self.APART and b_rec is None:
                raise mistake(
                    NotSupportedError, f"{type(self).__name__} with reset='before' has no "
                    "counterpart: there the reset gate acts after the product",
                    "make the cell with reset='after'",
                )  # fmt: skip
            found[name] = Weights(
                w_in, w_rec, b, np.zeros_like(b) if b_rec is None else np.array(b_rec.value)
            )
        return found


# -- reading -------------------------------------------------------------------------------
def _read_torch(
    state: Mapping[str, Any], gates: Sequence[str], layer: int | None, prefix: str
) -> dict[str, Weights]:
    suffix = _suffix(state, layer, prefix)
    names = [f"{prefix}{kind}{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    biased = any(name in state for name in names[2:])
    wanted = names if biased else names[:2]
    other = re.compile(re.escape(prefix) + r"(weight|bias)_(ih|hh)_l\d+")
    unknown = [
        k for k in state if k.startswith(prefix) and k not in wanted and not other.fullmatch(k)
    ]
    _check_keys(wanted, [k for k in wanted if k not in state], unknown, state)

    arrays = [_array(state[name], name) for name in wanted]
    w_ih, w_hh = arrays[:2]
    count = len(gates)
    n_in, n_rec = (*w_ih.shape, 1)[1], w_hh.shape[-1] if w_hh.ndim else 0
    rows = count * n_rec
    shapes = [(rows, n_in), (rows, n_rec), (rows,), (rows,)]
    why = f"{count} gates of {n_rec} units"
    for name, array, shape in zip(wanted, arrays, shapes, strict=False):
        _check_shape(name, array, shape, why)
    b_ih, b_hh = arrays[2:] if biased else [np.zeros(rows, w_ih.dtype)] * 2
    parts = zip(*(np.split(a, count) for a in (w_ih, w_hh, b_ih, b_hh)), strict=True)
    return {
        gate: Weights(np.ascontiguousarray(a.T), np.ascontiguousarray(b.T), c, d)
        for gate, (a, b, c, d) in zip(gates, parts, strict=True)
    }


def _suffix(state: Mapping[str, Any], layer: int | None, prefix: str) -> str:
    """Return what the keys of a layer end with.

    Raises
    ------
    ModelError
        If there is no such layer, or several without being told which.
    """
    if not isinstance(state, Mapping):
        raise mistake(
            ModelError, f"weights are read from a dict of arrays, got {type(state).__name__}",
            "give module.state_dict()" if hasattr(state, "state_dict") else
            "give what state_dict() of the module returns",
        )  # fmt: skip
    keys = [re.fullmatch(r"(.*?)weight_ih(?:_l(\d+))?", str(key)) for key in state]
    found = [(key[1], key[2]) for key in keys if key]
    layers = sorted({int(n) for start, n in found if start == prefix and n is not None})
    if found and prefix not in {start for start, _ in found}:
        others = " or ".join(sorted({f"prefix={start!r}" for start, _ in found}))
        raise mistake(
            ModelError, f"no weights begin with prefix={prefix!r}; there are {', '.join(state)}",
            f"give {others}",
        )  # fmt: skip
    if layer is None and len(layers) > 1:
        raise mistake(
            ModelError, f"there are {len(layers)} layers, and a cell is one of them",
            f"make one cell of each: layer={layers[0]} up to layer={layers[-1]}",
        )  # fmt: skip
    if layer is not None and layers and layer not in layers:
        raise mistake(
            ModelError, f"there is no layer={layer}",
            f"give layer={layers[0]}" + (f" up to layer={layers[-1]}" if layers[1:] else ""),
        )  # fmt: skip
    if (prefix, None) in found:
        return ""
    return f"_l{layers[0] if layer is None and layers else layer or 0}"


def _read_flax(
    params: Mapping[str, Any], gates: Sequence[str], bias: tuple[Sequence[str], Sequence[str]]
) -> dict[str, Weights]:
    params = params["params"] if set(params) == {"params"} else params
    flat = {
        f"{dense}.{name}": array
        for dense, leaf in params.items()
        for name, array in (leaf.items() if isinstance(leaf, Mapping) else [("", leaf)])
    }
    wanted = [f"{side}{gate}.kernel" for side in "ih" for gate in gates]
    wanted += [f"{side}{g}.bias" for side, own in zip("ih", bias, strict=True) for g in own]
    missing = [k for k in wanted if k not in flat]
    _check_keys(wanted, missing, [k for k in flat if k not in wanted], flat)

    arrays = {name: _array(flat[name], name) for name in wanted}
    first = arrays[f"i{gates[0]}.kernel"]
    n_in, n_rec = (*first.shape, 0, 0)[:2]
    for name, array in arrays.items():
        shape = (n_rec,) if name.endswith("bias") else (n_in if name[0] == "i" else n_rec, n_rec)
        _check_shape(name, array, shape, f"{n_in} inputs and {n_rec} units")
    zero = np.zeros(n_rec, first.dtype)
    return {
        g: Weights(
            arrays[f"i{g}.kernel"], arrays[f"h{g}.kernel"],
            arrays.get(f"i{g}.bias", zero), arrays.get(f"h{g}.bias", zero),
        )
        for g in gates
    }  # fmt: skip


def _array(value: Any, name: str) -> Array:
    try:
        array = np.asarray(value).copy()
    except (TypeError, ValueError, RuntimeError) as error:
        raise mistake(
            ModelError, f"{name} cannot be read as an array: {error}",
            "bring it to the CPU and detach it first",
        ) from None  # fmt: skip
    if array.dtype.kind != "f":
        raise mistake(
            ModelError, f"{name} has elements of type {array.dtype}", "give floating-point numbers"
        )
    return array


def _check_keys(
    wanted: Sequence[str], missing: Sequence[str], unknown: Sequence[str], given: Mapping[str, Any]
) -> None:
    if missing or unknown:
        what = "; ".join(
            f"{word} {', '.join(keys)}"
            for word, keys in (("missing", missing), ("unknown", unknown)) if keys
        )  # fmt: skip
        raise mistake(
            ModelError, f"the keys are not those of this cell: {what}",
            f"give {', '.join(wanted)}; got {', '.join(given) or 'nothing'}",
        )  # fmt: skip


def _check_shape(name: str, array: Array, shape: tuple[int, ...], why: str) -> None:
    if array.shape != shape:
        raise mistake(
            ShapeError, f"{name} has the shape {array.shape}, expected {shape}",
            f"give arrays of one cell; {why} follow from the others",
        )  # fmt: skip
