"""Back-propagation in space through running means of what spikes are sensitive to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from etp_ir import ops
from etp_ir.core import Node, Value
from etp_ir.tracer import Tracer
from etp_ir.transforms.vjp import pullback

from ..checks import decay, text
from .base import Arriving, Signal

if TYPE_CHECKING:
    from ..compiler.boundary import Boundary
    from ..compiler.structure import Structure


@frozen
class MeanSlopes(Signal):
    r"""Back-propagation in space, with mean slopes of spikes in place of those of this step.

    .. math::
        \bar g^t = w^t\,\bar g^{t-1} + (1 - w^t)\,\psi^t, \qquad
        w^t = \lambda\,r^{t-1}/r^t, \qquad r^t = \lambda\,r^{t-1} + 1

    the mean of the slopes :math:`\psi` weighed by how much of a spike is left after a leak.

    Parameters
    ----------
    leak
        The leak :math:`\lambda`.
    why
        What is approximate about it, in words.

    References
    ----------
    Summe, Schaefer and Joshi, 2023 (OTPE).
    """

    leak: float = field(validator=decay)
    why: str = field(
        default="credit passes later layers by running means of their slopes", repr=False, eq=False,
        kw_only=True, validator=text,
    )  # fmt: skip

    def kept(self, structure: Structure) -> Mapping[str, tuple[int, ...]]:
        found = {n: node.output.type.shape for n, node in _spikes(structure).items()}
        return {**found, "r": ()} if found else {}

    def arriving(self, at: Boundary) -> Arriving:
        nodes = _spikes(at.pieces.structure)
        new = self._means(at)
        return at.pull(slopes={node: new[n] for n, node in nodes.items()})

    def advance(self, at: Boundary) -> Mapping[str, Tracer]:
        return self._means(at)

    def _means(self, at: Boundary) -> dict[str, Tracer]:
        if not at.kept:
            return {}
        old = ops.mul(self.leak, at.kept["r"])
        found: dict[str, Any] = {"r": ops.add(old, 1.0)}
        w = ops.div(old, found["r"])
        for name, node in _spikes(at.pieces.structure).items():
            x, shape = node.inputs[0], node.output.type.shape
            assert isinstance(x, Value)
            b = at.pieces.builder
            one = ops.full(b, shape, 1.0, x.type.dtype)
            psi = pullback(b, [node], [x], {node.output: one})[x]
            mean, part = at.kept[name], ops.broadcast(w, shape, ())
            found[name] = ops.add(psi, ops.mul(part, ops.sub(mean, psi)))
        return found


def _spikes(s: Structure) -> dict[str, Node]:
    """Return the spikes that new states emit on the way to the loss, by name."""
    loss, nodes = s.program.output("loss").value, s.program.nodes
    new = [v for _, v in s.states.values() if isinstance(v, Value) and v in s.program.producers]
    met = [
        n for n in nodes if n.primitive.name == "spike" and s.dependence.leads(n.output, loss)
        and any(v is not n.output and s.dependence.leads(v, n.output) for v in new)
    ]  # fmt: skip
    return {f"slope.{k}": node for k, node in enumerate(met)}
