"""The codes of diagnostics: what each means, how grave it is, and how to mend it.

Codes are stable. They are grouped by hundreds: 1xx weights and their expressions, 2xx paths inside
a step, 3xx states and groups, 4xx credit through time, 5xx control flow, 6xx rule and schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from etp_ir.errors import ETPError, nearest

T = TypeVar("T", bound=Enum)

GROUPS = {
    "1": "Weights and their expressions",
    "2": "Paths inside a step",
    "3": "States and groups",
    "4": "Credit through time",
    "5": "Control flow",
    "6": "Rule, window and schedule",
}


class DiagnosticLevel(Enum):
    """How grave a record is.

    ``INFO`` says what was found, or what the chosen rule leaves out by design. ``WARNING`` says
    that the model, as it is written, loses more than the rule would. ``ERROR`` comes with an
    exception.
    """

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class DiagnosticKind(Enum):
    """What a record is about: a stable code with its level, meaning and mend.

    Attributes
    ----------
    code
        ``ETP`` and three digits.
    level
        Level of all records of this kind.
    meaning
        What it means, in one line.
    mend
        What to do about it, in one imperative sentence.
    """

    # -- 1xx: weights and their expressions ---------------------------------------------------
    TRACED = (
        "ETP100", "info",
        "a weight product reaches a hidden state position by position, so it has a trace",
        "use `x @ w` where the gradient of each step is enough and no trace is wanted",
    )  # fmt: skip
    VARYING_WEIGHT = (
        "ETP101", "warning",
        "the weight of a product depends on a state or an input, so it has no trace and gets the "
        "gradient of each step only",
        "let the weight depend on parameters alone, and put what varies into the input of the "
        "product or behind it",
    )  # fmt: skip
    PLAIN_USE = (
        "ETP102", "warning",
        "a parameter acts on a state through plain operations only, so it has no trace and gets "
        "the gradient of each step only",
        "use it through etp.matmul or etp.element_wise",
    )  # fmt: skip
    MIXED_USE = (
        "ETP103", "warning",
        "a parameter acts on a state through a weight product and through plain operations too; "
        "the plain use gets the gradient of each step only",
        "use it through etp.matmul or etp.element_wise everywhere",
    )  # fmt: skip
    THROUGH_WEIGHT = (
        "ETP104", "warning",
        "a weight reaches the states only through another weight product, so it has no trace and "
        "gets the gradient of each step only",
        "make one product of the two, etp.matmul(x, w @ u), where nothing lies between them, or "
        'compile with tail="exact"',
    )  # fmt: skip
    PARTLY_THROUGH_WEIGHT = (
        "ETP105", "info",
        "a weight reaches a state directly and through another weight product; the second path has "
        "no trace",
        'compile with tail="exact"',
    )  # fmt: skip
    UNTRAINED_WEIGHT = (
        "ETP106", "info",
        "the weight of a product depends on no parameter, so there is nothing to trace",
        "make the weight an etp.Param, or use `x @ w`",
    )  # fmt: skip
    TIED_WEIGHT = (
        "ETP107", "info",
        "one weight is used by several products: each has a trace, and their gradients are added",
        "give each product a parameter of its own if they should differ",
    )  # fmt: skip
    WEIGHT_EXPRESSION = (
        "ETP108", "info",
        "the weight of a product is an expression of parameters: the trace is that of the "
        "expression, and its gradient is pulled back to the parameters",
        "make the expression's value the parameter where the expression is not needed",
    )  # fmt: skip
    UNREACHABLE = (
        "ETP109", "warning",
        "no path leads from a parameter to the loss, so its gradient is zero",
        "use the parameter in a step, or declare it with trainable=False",
    )  # fmt: skip
    NO_PARAMETER = (
        "ETP110", "error", "a model has nothing to train", "keep an etp.Param in an attribute"
    )  # fmt: skip

    # -- 2xx: paths inside a step -------------------------------------------------------------
    MIXING_TAIL = (
        "ETP201", "warning",
        "the result of a weight product reaches a state only through an operation that mixes "
        "positions, so it has no trace and gets the gradient of each step only",
        'move the mixing operation before the product, or compile with tail="exact"',
    )  # fmt: skip
    PARTLY_MIXING_TAIL = (
        "ETP202", "warning",
        "part of what a weight product does to a state goes through an operation that mixes "
        "positions, and that part has no trace",
        'move the mixing operation before the product, or compile with tail="exact"',
    )  # fmt: skip
    STOPPED_GRADIENT = (
        "ETP203", "info",
        "a stop_gradient lies on a path to a state or to the loss, and nothing is learned "
        "through it",
        "remove the stop_gradient if the path should be learned through",
    )  # fmt: skip
    ZERO_DERIVATIVE = (
        "ETP204", "warning",
        "every path from a parameter to the loss goes through an operation whose derivative is "
        "zero everywhere, so its gradient is zero",
        "use etp.spike for a threshold, or a differentiable function",
    )  # fmt: skip

    # -- 3xx: states and groups ---------------------------------------------------------------
    STATE_NOT_ASSIGNED = (
        "ETP301", "warning",
        "a state is never assigned in a step, so it keeps its initial value",
        "assign its next value, or keep what is constant in an array",
    )  # fmt: skip
    NOT_DIFFERENTIATED = (
        "ETP302", "info",
        "a state of integers or truth values is carried from step to step and not differentiated",
        "declare a floating-point dtype if something should be learned through it",
    )  # fmt: skip
    COUPLED_IN_STEP = (
        "ETP303", "info",
        "a new state feeds another new state of its group within the step; the traces count it",
        "read the state before it is assigned if the old value is meant",
    )  # fmt: skip
    JOINED_GROUP = (
        "ETP304", "info",
        "states that act on one another position by position form one hidden group: each weight "
        "has a trace for each of them",
        "separate the states if they are meant to be independent",
    )  # fmt: skip
    IDLE_STATE = (
        "ETP305", "info",
        "nothing that leads to the loss of a later step reads a state",
        "read the state in a later step, or remove it",
    )  # fmt: skip
    UNTRAINED_STATE = (
        "ETP306", "info",
        "no weight product reaches a state that later steps read, so nothing is traced there",
        "let a weight act on it through etp.matmul or etp.element_wise if it should be learned",
    )  # fmt: skip
    NO_STATE = (
        "ETP307", "error",
        "a model carries nothing from one step to the next", "keep an etp.State in an attribute",
    )  # fmt: skip

    # -- 4xx: credit through time -------------------------------------------------------------
    RECURRENT_PRODUCT = (
        "ETP401", "info",
        "states act on later states through a weight product, which mixes positions; traces do "
        "not follow it",
        'compile with scope="full", at the price that the report gives',
    )  # fmt: skip
    MIXING_TRANSITION = (
        "ETP402", "info",
        "states act on later states through a plain operation that mixes positions; traces do "
        "not follow it",
        'compile with scope="full", at the price that the report gives',
    )  # fmt: skip
    MOVED_POSITIONS = (
        "ETP403", "info",
        "positions of a state act on other positions of a later state; traces do not follow them",
        'compile with scope="full", at the price that the report gives',
    )  # fmt: skip
    CROSS_GROUP = (
        "ETP404", "info",
        "one hidden group acts on later states of another; traces do not follow it",
        'compile with scope="layered", at the price that the report gives',
    )  # fmt: skip
    NO_TRANSITION = (
        "ETP405", "warning",
        "nothing of a state's transition is position-wise, so traces hold the present step only: "
        "the rule looks no further back than its window",
        'give the state a leak, or compile with scope="coupled" or scope="full"',
    )  # fmt: skip
    BEYOND_SCOPE = (
        "ETP406", "info",
        "the influence of a weight goes on beyond what the scope keeps; there it is dropped",
        'raise N in scope="sparse_n(N)", or compile with scope="full"',
    )  # fmt: skip

    # -- 5xx: control flow --------------------------------------------------------------------
    OPAQUE_REGION = (
        "ETP501", "warning",
        "a path to a state goes through control flow that is not looked into, so it counts as "
        "mixing positions and has no trace",
        'write it without control flow, or compile with scope="full" and tail="exact"',
    )  # fmt: skip
    PRODUCT_IN_REGION = (
        "ETP502", "error",
        "a weight product lies inside a loop whose number of turns is not known or too large to "
        "write out, so no trace can follow it",
        "take the product out of the loop and pass its result in, or use etp.fori_loop or etp.scan",
    )  # fmt: skip
    FORWARD_LOOP = (
        "ETP503", "info",
        "a loop whose number of turns is not known is differentiated forwards: exactly, at the "
        "cost of its whole Jacobian",
        "use etp.fori_loop or etp.scan if the number of turns is known",
    )  # fmt: skip

    # -- 6xx: rule, window and schedule -------------------------------------------------------
    APPROXIMATE_RULE = (
        "ETP601", "info",
        "the rule approximates traces by design",
        'choose rule="d_rtrl" for traces without that approximation',
    )  # fmt: skip
    ALTERED_RULE = (
        "ETP602", "info",
        "the rule replaces the transition or the source of its traces by something else",
        'choose rule="d_rtrl" for the traces of the influence itself',
    )  # fmt: skip
    WINDOW_ZERO = (
        "ETP603", "info",
        "with window 0, a path from a state to the loss of the next step that the transition "
        "leaves out is not followed",
        "compile with window=1, which follows it at the same cost",
    )  # fmt: skip
    TRUNCATED = (
        "ETP604", "warning",
        "weights change before the sequence ends, so back-propagation forgets what lies before "
        "the last update",
        'train with update="sequence", or choose an online rule',
    )  # fmt: skip
    ROUNDED_TRACES = (
        "ETP605", "info",
        "traces are kept in a narrower element type than the model's",
        "compile without trace_dtype",
    )  # fmt: skip
    CANNOT_STREAM = (
        "ETP606", "error",
        "a rule that keeps nothing between steps cannot stream",
        "call grad or fit on whole sequences, or choose an online rule",
    )  # fmt: skip
    STREAMED_WINDOW = (
        "ETP607", "warning",
        "a window of several steps needs those steps at once: streamed steps read traces at every "
        "step, as window 1 does",
        "compile with window=1, or call grad or fit on whole sequences",
    )  # fmt: skip
    SINGLE_EXAMPLE = (
        "ETP608", "warning",
        "a mean over a batch of one example is that example itself: statistics of it say nothing, "
        "and batch normalisation takes away what differs from example to example",
        "train on larger batches, or normalise each example with etp.nn.GroupNorm or LayerNorm",
    )  # fmt: skip

    OTHER_SIGNAL = (
        "ETP609", "info",
        "the learning signal of the rule is no derivative of the loss",
        "give the rule the signal etp.signals.Symmetric(), or choose a rule that has it",
    )  # fmt: skip
    UNUSED_SIGNAL = (
        "ETP610", "warning",
        "a window of one step or more differentiates the loss exactly, so the learning signal of "
        "the rule is not used",
        "compile with window=0, which reads traces by the rule's own signal",
    )  # fmt: skip

    def __init__(self, code: str, level: str, meaning: str, mend: str) -> None:
        self.code = code
        self.level = DiagnosticLevel(level)
        self.meaning = meaning
        self.mend = mend

    @property
    def slug(self) -> str:
        """The name in lower case, with hyphens."""
        return self.name.lower().replace("_", "-")

    def __repr__(self) -> str:
        return f"<DiagnosticKind {self}>"

    def __str__(self) -> str:
        return f"{self.code} {self.slug}"


def kind_of(given: DiagnosticKind | str) -> DiagnosticKind:
    """Return a kind by its code, its slug, or itself.

    Raises
    ------
    etp.ETPError
        If there is none.
    """
    known = {name: k for k in DiagnosticKind for name in (k.code, k.slug)}
    return _named(given, known, "diagnostic")


def level_of(given: DiagnosticLevel | str) -> DiagnosticLevel:
    """Return a level by its name, or itself.

    Raises
    ------
    etp.ETPError
        If there is none.
    """
    return _named(given, {level.value: level for level in DiagnosticLevel}, "level")


def _named(given: T | str, known: Mapping[str, T], what: str) -> T:
    """Return one of a few by its name, in any case, or itself."""
    if isinstance(given, type(next(iter(known.values())))):
        return given
    wanted = str(given).lower().replace("_", "-")
    for name, found in known.items():
        if name.lower() == wanted:
            return found
    raise ETPError(f"no {what} {given!r}{nearest(str(given), list(known))}")
