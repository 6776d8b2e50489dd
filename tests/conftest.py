"""Settings of every test: one thread for matrix products, one profile for hypothesis."""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

from hypothesis import HealthCheck, settings  # noqa: E402  (NumPy reads the settings above)

settings.register_profile(
    "etp", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
# A run on a shared machine repeats the same examples; a run at a desk looks for new ones.
settings.register_profile("ci", settings.get_profile("etp"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "etp")
