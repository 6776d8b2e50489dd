"""Eligibility traces as a user meets them: by weight, with the meaning of their axes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from etp_ir.errors import ModelError, nearest

from .compiled import Compiled
from .compiler.axes import Axes
from .rules.algebra import POSITION, TIED

if TYPE_CHECKING:
    from .learner import Learner
    from .schedules.traces import TraceArray


class UnknownTrace(ModelError, KeyError):
    """No trace has the name."""

    def __str__(self) -> str:
        return str(self.args[0])


@frozen
class Part:
    """One array of a weight's traces.

    Attributes
    ----------
    name
        Its key in ``learner.traces``.
    slot
        The rule's name for it.
    state
        The state whose derivative it speaks of; None of traces of the input.
    letters
        Letters of its axes, after those of steps and examples.
    axes
        What each axis runs over, those of steps and examples included.
    """

    name: str
    slot: str
    state: str | None
    letters: str
    axes: tuple[str, ...]


@frozen(eq=False)
class EligibilityTrace:
    """What is kept of a weight's influence, for each example.

    ``trace["h"]`` is the array of a state (its last name, or its whole path) and
    ``trace["eps", "h"]`` that of one of several kinds of traces; ``trace.array`` is the only one
    there is, and the trace itself acts as that array where NumPy asks for one.

    Attributes
    ----------
    weight
        Dotted path of the parameter.
    arrays
        All arrays by name, those of ``learner.traces``.
    parts
        What each of them is, in the same order.
    """

    weight: str
    arrays: Mapping[str, Any]
    parts: tuple[Part, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """The rule's names of the kinds of traces."""
        return tuple(dict.fromkeys(p.slot for p in self.parts))

    @property
    def states(self) -> tuple[str, ...]:
        """The states whose derivatives are kept."""
        return tuple(dict.fromkeys(p.state for p in self.parts if p.state is not None))

    @property
    def array(self) -> Any:
        """The array, where there is only one.

        Raises
        ------
        etp.ModelError
            If there are several, with their names.
        """
        return self.arrays[self._only().name]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array, where there is only one."""
        return tuple(self.array.shape)

    @property
    def axes(self) -> tuple[str, ...]:
        """What the axes of the array run over, where there is only one."""
        return self._only().axes

    @property
    def letters(self) -> str:
        """Letters of the axes of the array after those of steps and examples."""
        return self._only().letters

    def __getitem__(self, key: str | tuple[str, str]) -> Any:
        words = (key,) if isinstance(key, str) else key
        found = [p for p in self.parts if all(_meets(p, word) for word in words)]
        if len(found) == 1:
            return self.arrays[found[0].name]
        what = "several arrays are" if found else "nothing is"
        raise UnknownTrace(
            f"{what} kept for {self.weight!r} under {key!r}; there are {self._named()}\n"
            "give the state, the rule's name of the trace, or both"
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.asarray(self.array, dtype)

    def __repr__(self) -> str:
        shown = "; ".join(
            f"{p.slot}{'' if p.state is None else ' of ' + p.state}: {tuple(a.shape)} over "
            f"{', '.join(p.axes)}" for p, a in zip(self.parts, self.arrays.values(), strict=True)
        )  # fmt: skip
        return f"<EligibilityTrace of {self.weight}: {shown}>"

    def _only(self) -> Part:
        if len(self.parts) == 1:
            return self.parts[0]
        raise ModelError(
            f"{len(self.parts)} arrays are kept for {self.weight!r}: {self._named()}\n"
            "choose one, as in trace['STATE'] or trace['KIND', 'STATE']"
        )

    def _named(self) -> str:
        return ", ".join(repr(p.slot if p.state is None else (p.slot, p.state)) for p in self.parts)


def _meets(part: Part, word: str) -> bool:
    state = part.state or ""
    return word in (part.slot, part.state, state.rpartition(".")[2])


@frozen(eq=False)
class TraceBook(Mapping[str, Any]):
    """Traces by their own names, and by the weights they belong to.

    It iterates over the names of arrays; ``book["cell.w"]`` is the `EligibilityTrace` of a weight.
    """

    arrays: Mapping[str, Any]
    compiled: Compiled | None
    lead: tuple[str, ...] = ("example",)

    def __getitem__(self, name: str) -> Any:
        if name in self.arrays:
            return self.arrays[name]
        mine = [] if self.compiled is None else traces_of(self.compiled, name)
        mine = [a for a in mine if a.name in self.arrays]
        if mine:
            return EligibilityTrace(
                name, {a.name: self.arrays[a.name] for a in mine},
                tuple(_part(a, self.lead) for a in mine),
            )  # fmt: skip
        raise UnknownTrace(_missing(name, self))

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)

    def __repr__(self) -> str:
        return f"<traces {', '.join(self.arrays) or 'none yet'}>"


def book(learner: Learner, arrays: Mapping[str, Any]) -> TraceBook:
    """Return the traces of a learner's stream."""
    seen = learner.engine.seen
    if seen is None:
        return TraceBook(arrays, None)
    # What units emit is in the stream as well, and is a state.
    own = {a.name for a in seen[0].steps.traces}
    return TraceBook({n: x for n, x in arrays.items() if n in own}, seen[0])


def traces_of(compiled: Compiled, weight: str) -> list[TraceArray]:
    """Return the arrays that a rule keeps for a parameter."""
    weights = compiled.structure.weights
    return [
        a for a in compiled.steps.memory.arrays
        if (a.state == weight if a.relation is None
            else any(weight in weights[use].params for use in a.relation.uses))
    ]  # fmt: skip


def _missing(name: str, held: TraceBook) -> str:
    if not held.arrays:
        return f"there are no traces yet, of {name!r} or any other weight\ncall step first"
    params = () if held.compiled is None else held.compiled.program.inputs_of("param")
    known = [p.name for p in params]
    if name in known:
        return (f"no trace is kept for {name!r}: it reaches no state that carries it on\n"
                f"learner.graph.explain({name!r}) tells why")  # fmt: skip
    kept = [n for n in known if held.compiled is not None and traces_of(held.compiled, n)]
    guess = nearest(name, [*kept, *held.arrays])
    return (f"no trace {name!r}{guess if 'did you' in guess else ''}\n"
            f"there are those of {', '.join(kept) or ', '.join(held.arrays)}")  # fmt: skip


def _part(a: TraceArray, lead: tuple[str, ...]) -> Part:
    if a.relation is None:
        count = len(a.type.shape)
        return Part(a.name, a.slot, None, "", (*lead, *(f"axis {k}" for k in range(count))))
    axes = a.relation.axes
    named = (f"position of {a.state}" if c == POSITION else _word(c, axes) for c in a.axes)
    return Part(a.name, a.slot, a.state, a.axes, (*lead, *named))


def _word(letter: str, axes: Axes) -> str:
    """Return what an axis runs over."""
    if letter == TIED:
        return "product"
    kinds = {"input": axes.x, "weight": axes.w, "result": axes.y}
    if letter in axes.y and letter in axes.w:
        return "result"
    return next((word for word, found in kinds.items() if letter in found), "table")
