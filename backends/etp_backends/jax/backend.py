"""The JAX backend."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

import jax
import numpy as np
from attrs import field, frozen

from etp_ir.backend import Backend
from etp_ir.core import Node, Program
from etp_ir.errors import compose
from etp_ir.passes import dce, lower

from ..registry import BackendError
from .executable import JaxExecutable
from .foreign import TreeFunction, tree_function
from .hoist import hoist
from .options import compiler_options


def _device_name(device: Any) -> str | None:
    """Return ``"cpu:0"`` for a device object: a name survives pickling."""
    if device is None or isinstance(device, str):
        return device
    return f"{device.platform}:{device.id}"


@frozen
class JaxBackend(Backend):
    """Programs traced into XLA.

    Parameters
    ----------
    device
        A device of JAX, or ``"cpu"``, ``"gpu:1"``; by default JAX's own choice.
    options
        Compiler options beside those of `etp_backends.jax.compiler_options`.
    """

    name: str = field(default="jax", init=False)
    device: str | None = field(default=None, converter=_device_name)
    options: Mapping[str, Any] = field(factory=dict, kw_only=True)

    def compile(self, program: Program, *, donate: Collection[str] = ()) -> JaxExecutable:
        """Return an executable; XLA compiles it on its first call."""
        device = self._device()
        platform = jax.default_backend() if device is None else device.platform
        lowered = hoist(dce(lower(program, keep=partial(_native, platform))))
        return JaxExecutable(
            program,
            lowered,
            donate=donate,
            device=device,
            platform=platform,
            compiler_options={**compiler_options(platform), **self.options},
        )

    def tree_function(self, label: str, function: Callable[..., Any], *trees: Any) -> TreeFunction:
        """Return a function of pytrees as one that programs can call."""
        return tree_function(label, function, *trees)

    def asarray(self, array: Any) -> jax.Array:
        """Return a JAX array with the element type of the given one."""
        if not isinstance(array, jax.Array):
            array = np.asarray(array)
        wide = array.dtype.itemsize == 8
        with jax.enable_x64(True) if wide else nullcontext():
            made = array if isinstance(array, jax.Array) else jax.numpy.array(array, copy=True)
            device = self._device()
            return made if device is None else jax.device_put(made, device)

    def to_numpy(self, array: Any) -> np.ndarray[Any, Any]:
        """Return the array as a NumPy array."""
        return np.asarray(array)

    def _device(self) -> Any:
        """Return the device object, or None for JAX's own choice.

        Raises
        ------
        BackendError
            If JAX has no such device.
        """
        if self.device is None:
            return None
        platform, _, index = self.device.partition(":")
        try:
            return jax.devices(platform)[int(index or 0)]
        except (RuntimeError, IndexError, ValueError) as error:
            found = ", ".join(f"{d.platform}:{d.id}" for d in jax.devices())
            raise BackendError(
                compose(f"JAX has no device {self.device!r}: {error}", how=f"choose one of {found}")
            ) from error


def _native(platform: str, node: Node) -> bool:
    """Whether XLA has an operation, and is good at it."""
    if node.primitive.name == "conv":
        # Its convolution in groups takes many times as long on a CPU as slices and products do.
        return platform != "cpu" or node.attrs["groups"] == 1
    # `jax.grad` of the executable's function must stop where the program says so.
    return node.primitive.name == "stop_gradient"
