"""The compile report: one table that is also data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve, frozen

from etp_ir.core import Program, Value

from .records import CompilationRecord, by_kind, subjects
from .status import Status
from .structure import Structure
from .uses import Use

if TYPE_CHECKING:
    from ..schedules.prices import ScopePrice
    from ..schedules.traces import TraceArray

LEVELS = {"info": "dim", "warning": "yellow", "error": "red"}
STYLES = {
    "exact": "green", "unbiased": "green", "approximate": "yellow", "direct-only": "red",
    "unreachable": "red",
}  # fmt: skip


@frozen
class ParameterReport:
    """What happens to one parameter.

    Attributes
    ----------
    status
        ``exact``, ``approximate``, ``direct-only`` or ``unreachable``.
    reason
        Why, in words.
    shape
        Shape of the parameter.
    states
        Hidden states that its traces belong to.
    trace_shape
        Shapes of its traces for one example.
    trace_bytes
        Bytes of its traces for the batch, were they all kept.
    """

    status: str
    reason: str
    shape: tuple[int, ...]
    states: tuple[str, ...]
    trace_shape: tuple[tuple[int, ...], ...]
    trace_bytes: int


@frozen
class Report:
    """What was compiled, and how.

    Attributes
    ----------
    rule, backend, window, schedule, why
        What runs, and why the schedule was chosen.
    groups
        States of each hidden group.
    parameters
        One entry per parameter, by dotted path.
    diagnostics
        Records of what the compiler found and left out, by code.
    flops_per_step, bytes_per_step
        Estimated arithmetic, and bytes read and written, of one step for the batch when traces
        are advanced step by step.
    scope, tail
        How much of the influence of weights on states is followed.
    scopes
        What each scope would give and take: status, trace bytes and flops of each parameter.
    """

    rule: str
    backend: str
    batch_size: int
    window: int
    schedule: str
    why: str
    groups: tuple[tuple[str, ...], ...]
    parameters: dict[str, ParameterReport]
    diagnostics: tuple[CompilationRecord, ...]
    flops_per_step: int
    bytes_per_step: int
    scope: str
    tail: str
    scopes: dict[str, ScopePrice]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        plain = asdict(evolve(self, diagnostics=()))
        return {**plain, "diagnostics": [r.to_dict() for r in self.diagnostics]}

    def __str__(self) -> str:
        from io import StringIO

        from rich.console import Console

        out = StringIO()
        self.print(Console(file=out, width=110, no_color=True))
        return out.getvalue().rstrip() + "\n"

    def print(self, console: Any = None) -> None:
        """Print the table (to the terminal, or to a ``rich`` console)."""
        from rich.console import Console
        from rich.markup import escape

        console = console or Console()

        def line(name: str, text: str) -> None:
            console.print(f"[dim]{name:<15}[/]{escape(text)}", highlight=False, soft_wrap=True)

        tail = "" if self.tail == "diagonal" else f", tail {self.tail}"
        line("rule", f"{self.rule}, window {self.window}, scope {self.scope}{tail}")
        line("runs on", f"{self.backend}, batch of {self.batch_size}")
        line("schedule", f"{self.schedule}: {self.why}")
        line("hidden groups", "; ".join(" ".join(g) for g in self.groups))
        line(
            "one step",
            f"{_count(self.flops_per_step)}flop, {_bytes(self.bytes_per_step)} moved, "
            f"{_bytes(sum(p.trace_bytes for p in self.parameters.values()))} of traces",
        )
        cells = {
            name: (name, _shape(p.shape), _bytes(p.trace_bytes) if p.trace_bytes else "no trace",
                   f"of {', '.join(p.states)}" if p.states else "")
            for name, p in self.parameters.items()
        }  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*cells.values(), strict=True)]
        kinds = dict.fromkeys((p.status, p.reason) for p in self.parameters.values())
        for status, reason in kinds:
            console.print(
                f"\n[bold {STYLES.get(status, 'none')}]{status}[/]: {escape(reason)}",
                highlight=False, soft_wrap=True,
            )  # fmt: skip
            for name, p in self.parameters.items():
                if (p.status, p.reason) == (status, reason):
                    pairs = zip(cells[name], widths, strict=True)
                    text = "  ".join(f"{cell:<{width}}" for cell, width in pairs)
                    console.print(
                        f"  {text.rstrip()}", highlight=False, soft_wrap=True, markup=False
                    )
        self._print_scopes(console)
        found = by_kind(self.diagnostics)
        if found:
            console.print()
        for kind, records in found.items():
            text = (f"{kind.code} {kind.level.value:<8}{len(records):>3} x {kind.slug:<22}"
                    f"{subjects(records, 2)}")  # fmt: skip
            console.print(
                text.rstrip(), highlight=False, soft_wrap=True, markup=False,
                style=LEVELS[kind.level.value],
            )  # fmt: skip

    def _print_scopes(self, console: Any) -> None:
        """Print what following more would cost, where something is not followed."""
        least = next(iter(self.scopes.values()), None)
        if least is None or least.exact == len(self.parameters):
            return
        console.print(f"\n[dim]{'scope':<15}exact     traces     flop for them[/]", highlight=False)
        for name, price in self.scopes.items():
            text = (f"{name:<15}{price.exact:>2} of {len(price.parameters):<4}"
                    f"{_bytes(price.trace_bytes):<11}{_count(price.flops)}"
                    f"{'  (in use)' if name == self.scope else ''}")  # fmt: skip
            console.print(text, highlight=False, soft_wrap=True, markup=False)


def parameter_reports(
    structure: Structure, found: dict[str, Status], traces: list[TraceArray], batch: int
) -> dict[str, ParameterReport]:
    """Return the report of each parameter."""
    out = {}
    portions = {n: shares(structure, n) for n in structure.weights}
    for port in structure.program.inputs_of("param"):
        mine = [
            a for a in traces
            if a.relation is not None and port.name in portions[a.relation.use]
        ]  # fmt: skip
        kept = sum(
            a.type.nbytes * portions[a.relation.use][port.name] for a in mine if a.relation
        )  # fmt: skip
        out[port.name] = ParameterReport(
            found[port.name].status, found[port.name].reason, port.type.shape,
            tuple(dict.fromkeys(a.state for a in mine if a.state)),
            tuple(a.type.shape for a in mine), round(batch * kept),
        )  # fmt: skip
    return out


def shares(structure: Structure, use: Use) -> dict[str, float]:
    """Return the parts that parameters have in the weight of a product, by their sizes."""
    types = {p.name: p.type for p in structure.program.inputs_of("param")}
    inside = structure.weights[use].params
    total = max(sum(types[n].size for n in inside), 1)
    return {n: types[n].size / total for n in inside}


def cost(program: Program) -> tuple[int, int]:
    """Return estimated flops, and bytes read and written, of one run of a program.

    A loop without a fixed length counts as one turn, and a choice as all its branches.
    """
    flops = moved = 0
    for node in program.nodes:
        for region in node.regions:
            turns = node.attrs.get("length", 1)
            inside = cost(region)
            flops, moved = flops + turns * inside[0], moved + turns * inside[1]
        out = sum(v.type.size for v in node.outputs)
        if node.primitive.name == "contract":
            spec = node.attrs["spec"]
            left = spec.split("->")[0]
            sizes: dict[str, int] = {}
            for term, x in zip(left.split(","), node.inputs, strict=True):
                sizes.update(zip(term, x.type.shape, strict=True))
            total = 1
            for n in sizes.values():
                total *= n
            flops += total if total == out else 2 * total
        else:
            flops += out
        moved += sum(x.type.nbytes for x in node.inputs if isinstance(x, Value))
        moved += sum(v.type.nbytes for v in node.outputs)
    return flops, moved


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _count(n: float) -> str:
    for unit in ("", "k", "M", "G"):
        if n < 1000:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} T"


def _bytes(n: float) -> str:
    return _count(n) + "B"
