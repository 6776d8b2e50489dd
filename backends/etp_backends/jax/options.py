"""Options given to XLA with each program, instead of process-wide flags."""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib.metadata import version

import jax

# The fusion library that XLA's CPU compiler calls by default since jaxlib 0.10.2 gives wrong sums
# there (https://github.com/jax-ml/jax/issues/39103), and in later releases still runs a product
# that is summed over a leading axis 10 to 20 times slower than XLA's own loops. Empty is none.
LIBRARY_FUSION = "xla_cpu_experimental_ynn_fusion_type"
# Without it a loop that reads a trace and then replaces it copies the whole trace in each step,
# which makes the step 2 to 4 times slower.
COPY_ANALYSIS = "xla_cpu_copy_insertion_use_region_analysis"
CPU: dict[str, str | bool] = {LIBRARY_FUSION: "", COPY_ANALYSIS: True}


def compiler_options(platform: str | None = None) -> dict[str, str | bool]:
    """Return the options every program is compiled with on a platform.

    Give them to your own ``jax.jit(..., compiler_options=...)`` around
    `JaxExecutable.function`: XLA takes them from the outermost call only.

    Parameters
    ----------
    platform
        ``"cpu"``, ``"gpu"`` or ``"tpu"``; by default that of JAX's default device.
    """
    if (platform or jax.default_backend()) != "cpu":
        return {}
    # A choice in XLA_FLAGS is the user's, and it stands.
    chosen = os.environ.get("XLA_FLAGS", "")
    return {k: v for k, v in CPU.items() if k not in chosen and _accepted(k, v)}


@cache
def warn_about_foreign_jit(platform: str) -> None:
    """Warn, once, where a program traced into somebody else's jit may be compiled wrongly."""
    if version("jaxlib") == "0.10.2" and LIBRARY_FUSION in compiler_options(platform):
        warnings.warn(
            "jaxlib 0.10.2 compiles some sums of products wrongly on a CPU; give your jax.jit "
            "compiler_options=etp_backends.jax.compiler_options(), or set "
            f"XLA_FLAGS=--{LIBRARY_FUSION}= before JAX starts",
            RuntimeWarning,
            stacklevel=3,
        )


@cache
def _accepted(option: str, value: str | bool) -> bool:
    """Whether this release of XLA knows the option."""
    try:
        jax.jit(lambda: 0, compiler_options={option: value}).lower().compile()
    except Exception:
        return False
    return True
