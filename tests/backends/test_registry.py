"""Backends by name: what is loaded when, and what is said when one cannot run."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path

import pytest

import etp_backends
from etp_backends import registry
from etp_backends.registry import BackendError
from etp_ir.errors import ETPError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(registry, "_loaded", {})


def without(monkeypatch, *packages):
    monkeypatch.setattr(registry, "find_spec", lambda n: None if n in packages else find_spec(n))


def test_numpy_is_always_there():
    backend = etp_backends.get("numpy")
    assert backend.name == "numpy"
    assert etp_backends.get("NumPy") is backend
    assert etp_backends.get(backend) is backend


def test_auto_prefers_jax(monkeypatch):
    if find_spec("jax"):
        assert etp_backends.get("auto").name == "jax"
    without(monkeypatch, "jax")
    assert etp_backends.get().name == "numpy"


def test_names():
    assert etp_backends.names()[:3] == ["numpy", "jax", "cupy"]


@pytest.mark.parametrize(("given", "meant"), [("nupmy", "numpy"), ("Jaxx", "jax"), ("xla", None)])
def test_an_unknown_name_suggests_the_nearest(given, meant):
    text = rf"no backend '{given}'; " + (rf"did you mean '{meant}'\?" if meant else ".*'numpy'")
    with pytest.raises(BackendError, match=text):
        etp_backends.get(given)


def test_what_is_no_backend_is_refused():
    with pytest.raises(BackendError, match=r"a name or a Backend object, got int.*numpy, jax"):
        etp_backends.get(3)


def test_a_missing_package_is_named(monkeypatch):
    without(monkeypatch, "jax")
    with pytest.raises(
        BackendError, match=r"(?s)'jax' needs the package 'jax'.*pip install 'etp-learn\[jax\]'"
    ):
        etp_backends.get("jax")
    assert issubclass(BackendError, ETPError)


def test_available_gives_a_reason_for_each(monkeypatch):
    without(monkeypatch, "jax", "cupy")
    reasons = etp_backends.available()
    assert reasons["numpy"] is None
    assert "not installed" in reasons["jax"]
    assert "not installed" in reasons["cupy"]


def declared(monkeypatch, **targets):
    points = [EntryPoint(name, target, registry.GROUP) for name, target in targets.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


def test_another_package_can_declare_a_backend(monkeypatch):
    declared(monkeypatch, mine="etp_backends.numpy.backend:NumpyBackend", numpy="nowhere:Nothing")
    assert etp_backends.get("mine").name == "numpy"
    assert etp_backends.get("numpy") is not etp_backends.get("mine")
    assert "mine" in etp_backends.names()


@pytest.mark.parametrize("target", ["nowhere:Backend", "etp_backends.registry:Missing"])
def test_a_backend_that_does_not_start_is_one_error(monkeypatch, target):
    declared(monkeypatch, broken=target)
    with pytest.raises(BackendError, match=r"(?s)backend 'broken' cannot start: .*choose another"):
        etp_backends.get("broken")
    assert "cannot start" in etp_backends.available()["broken"]


def test_importing_loads_no_array_library():
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'backends')!r}]\n"
        "import etp_backends; etp_backends.get('numpy')\n"
        "print([m for m in ('jax', 'cupy', 'array_api_compat') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
