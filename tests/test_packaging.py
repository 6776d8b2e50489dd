"""What a user gets from the built distribution."""

from __future__ import annotations

import email
import email.message
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="the wheel is built with hatchling, which is missing here")

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PACKAGES = {"etp": "etp", "etp_ir": "etp_ir", "etp_backends": "backends/etp_backends"}


def build(kind: str, source: Path, out: Path) -> Path:
    code = f"from hatchling.build import build_{kind}; build_{kind}({str(out)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=source, check=True, capture_output=True)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    return zipfile.ZipFile(build("wheel", ROOT, tmp_path_factory.mktemp("wheel")))


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    name = next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def contents(wheel: zipfile.ZipFile) -> set[str]:
    return {n for n in wheel.namelist() if ".dist-info/" not in n}


def test_the_wheel_holds_three_import_names(wheel: zipfile.ZipFile) -> None:
    assert {n.split("/")[0] for n in contents(wheel)} == set(PACKAGES)


def test_the_wheel_holds_every_module(wheel: zipfile.ZipFile) -> None:
    for name, folder in PACKAGES.items():
        base = ROOT / folder
        here = {f"{name}/{p.relative_to(base).as_posix()}" for p in base.rglob("*.py")}
        assert here
        assert here <= contents(wheel)
        assert f"{name}/py.typed" in contents(wheel)


def test_the_metadata_is_that_of_the_project(metadata: email.message.Message) -> None:
    assert metadata["Name"] == "etp-learn"
    assert metadata["Version"] == PROJECT["version"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == PROJECT["requires-python"]
    assert set(metadata.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    assert "numpy>=2.0" in metadata.get_all("Requires-Dist", [])


def test_the_change_log_has_an_entry_for_the_version() -> None:
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_unpacked_wheel_imports_and_has_its_command(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path)
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import etp, etp_backends, etp_ir
from importlib.metadata import distribution
for module in (etp, etp_backends, etp_ir):
    assert module.__file__.startswith({str(tmp_path)!r}), module.__file__
(script,) = distribution("etp-learn").entry_points.select(group="console_scripts")
assert script.name == "etp" and callable(script.load())
assert etp.__version__ == {PROJECT["version"]!r}
"""
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=clean, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_the_source_archive_builds_the_same_wheel(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    archive = build("sdist", ROOT, tmp_path)
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "source", filter="data")
    (folder,) = (tmp_path / "source").iterdir()
    (tmp_path / "again").mkdir()
    again = zipfile.ZipFile(build("wheel", folder, tmp_path / "again"))
    assert contents(again) == contents(wheel)
