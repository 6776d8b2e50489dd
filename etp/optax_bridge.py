"""Transformations of optax as optimisers that run inside the training loop, on JAX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from etp_ir.errors import NotSupportedError

if TYPE_CHECKING:
    from .learner import Learner

Arrays = Mapping[str, Any]


@frozen
class OptaxOptimizer:
    """An optax transformation with the two functions of an optimiser, see `etp.optim`.

    Its state is a flat dict: ``0.mu.cell.w`` is the array ``mu["cell.w"]`` of the first
    transformation of a chain. Two of them are equal if they compute the same, so that making the
    transformation anew compiles nothing.

    Attributes
    ----------
    transformation
        What optax made.
    start, advance
        Its functions, callable from programs.
    """

    transformation: Any = field(eq=False, repr=False)
    start: Any
    advance: Any

    @classmethod
    def of(cls, transformation: Any, learner: Learner) -> OptaxOptimizer:
        """Return the optimiser of a transformation for the parameters of a learner.

        Raises
        ------
        NotSupportedError
            If the transformation cannot run inside the loop, for example because its update
            needs more than gradients, state and parameters.
        """
        held = learner.optimizer
        if isinstance(held, cls) and held.transformation is transformation:
            return held
        params = learner.params
        make = learner.backend.tree_function  # type: ignore[attr-defined]
        try:
            start = make("optax.init", lambda p: (transformation.init(p),), params)
            (state,) = start.result
            advance = make("optax.update", _advance(transformation), params, state, params)
        except Exception as error:
            raise NotSupportedError(
                f"this optax transformation cannot run inside the training loop: {error}\n"
                "use one whose update takes gradients, state and parameters only"
            ) from error
        return cls(transformation, start, advance)

    def init(self, params: Arrays) -> dict[str, Any]:
        """Return the state before the first update."""
        (state,) = self.start(params)
        return state

    def update(
        self, grads: Arrays, state: Arrays, params: Arrays
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the parameters and the state after one update."""
        new_params, new_state = self.advance(grads, state, params)
        # Pytrees sort their keys; programs keep the order of the model.
        return {n: new_params[n] for n in params}, new_state

    def __reduce__(self) -> tuple[Any, ...]:
        # A transformation is made of closures, which do not pickle. A learner keeps the state,
        # and goes on where it was when it is given the transformation again.
        return type(None), ()


def _advance(transformation: Any) -> Any:
    def advance(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        changes, state = transformation.update(grads, state, params)
        new = {n: (p + changes[n]).astype(p.dtype) for n, p in params.items()}
        return new, state

    return advance
