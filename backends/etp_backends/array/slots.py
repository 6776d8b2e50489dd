"""Working memory: buffers that are allocated once and reused as values die."""

from __future__ import annotations

from attrs import define

ALIGNMENT = 64


@define(eq=False)
class Slot:
    """One piece of working memory; it grows while source is being generated."""

    index: int
    nbytes: int

    @property
    def name(self) -> str:
        """Identifier in the source."""
        return f"slot{self.index}"


class Slots:
    """Hands out working memory, best fit first."""

    def __init__(self) -> None:
        self.all: list[Slot] = []
        self._free: list[Slot] = []

    def take(self, nbytes: int) -> Slot:
        """Return a slot of at least the size that nobody holds."""
        need = -(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT
        fitting = [s for s in self._free if s.nbytes >= need]
        if fitting:
            slot = min(fitting, key=lambda s: (s.nbytes, s.index))
        elif self._free:
            slot = max(self._free, key=lambda s: (s.nbytes, -s.index))
            slot.nbytes = need
        else:
            return self._made(need)
        self._free.remove(slot)
        return slot

    def fresh(self, nbytes: int) -> Slot:
        """Return a slot that nothing has been written to before."""
        return self._made(-(-max(nbytes, 1) // ALIGNMENT) * ALIGNMENT)

    def _made(self, nbytes: int) -> Slot:
        slot = Slot(len(self.all), nbytes)
        self.all.append(slot)
        return slot

    def give(self, slot: Slot) -> None:
        """Return a slot for reuse."""
        self._free.append(slot)

    @property
    def nbytes(self) -> int:
        """Bytes of all slots together."""
        return sum(s.nbytes for s in self.all)
