"""Programs with a time axis that several tests share."""

from etp_ir import Builder, Program, Role, Tracer, ops
from etp_ir.primitive import get
from etp_ir.tracer import bind
from etp_ir.types import F32, DType, TensorType


def leaky_body(batch: int, inputs: int, units: int, dtype: DType = F32) -> Program:
    """One step of a leaky tanh network with the trace and the gradient of its input weights."""
    b = Builder("leaky", float_dtype=dtype)

    def port(name: str, shape: tuple[int, ...], role: str) -> Tracer:
        return Tracer(b, b.input(name, TensorType(dtype, shape), role))

    w = port("w", (inputs, units), "const")
    r = port("r", (units, units), "const")
    h = port("h", (batch, units), "carry")
    e = port("e", (batch, inputs, units), "carry")
    g = port("g", (inputs, units), "carry")
    x = port("x", (batch, inputs), "slot")
    target = port("target", (batch, units), "slot")
    z = ops.add(ops.contract(x, w, "bi,io->bo"), ops.contract(h, r, "bi,io->bo"))
    a = ops.tanh(z)
    new = ops.add(ops.mul(0.9, h), ops.mul(0.1, a))
    slope = ops.mul(0.1, ops.sub(1.0, ops.mul(a, a)))
    trace = ops.add(ops.mul(0.9, e), ops.contract(x, slope, "bi,bo->bio"))
    signal = ops.sub(new, target)
    grad = ops.add(g, ops.contract(signal, trace, "bo,bio->io"))
    loss = ops.reduce_sum(ops.mul(signal, signal), (0, 1))
    return b.finish([(new.value, "carry"), (trace.value, "carry"), (grad.value, "carry"),
                     (loss.value, "stack"), (new.value, "stack")])  # fmt: skip


def leaky_program(
    steps: int = 5, batch: int = 2, inputs: int = 3, units: int = 4, dtype: DType = F32
) -> Program:
    """A sequence of such steps; the state and the trace come in and go out."""
    b = Builder("sequence", float_dtype=dtype)

    def port(name: str, shape: tuple[int, ...], role: str) -> Tracer:
        return Tracer(b, b.input(name, TensorType(dtype, shape), role))

    w, r = port("cell.w", (inputs, units), "param"), port("cell.r", (units, units), "param")
    h, e = port("h", (batch, units), "state"), port("e", (batch, inputs, units), "trace")
    xs = port("xs", (steps, batch, inputs), "input")
    ys = port("ys", (steps, batch, units), "target")
    zero = ops.full(b, (inputs, units), 0.0, dtype)
    results = bind(
        get("scan"), w, r, h, e, zero, xs, ys, body=leaky_body(batch, inputs, units, dtype),
        length=steps, consts=2, carries=3, reverse=False,
    )  # fmt: skip
    h, e, g, losses, outputs = results
    loss = ops.mul(ops.reduce_sum(losses, (0,)), 0.5)
    return b.finish([
        (loss.value, "loss"), (g.value, Role("grad", ("cell.w",))),
        (outputs.value, Role("output", ("0",))), (h.value, Role("state", ("h",))),
        (e.value, Role("trace", ("e",))),
    ])  # fmt: skip
