"""The functions' zip: what is in it, for which machine, and when its hash changes."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from infra import bundling
from infra.refusal import SynthRefused
from infra.settings import Settings, read

PRODUCT = Settings()


@pytest.fixture(scope="session")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product's zip, unpacked."""
    target = tmp_path_factory.mktemp("product")
    bundling.bundle(PRODUCT, target)
    return target


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of its own, whose files may be changed."""
    for name in ("durex_core", "functions"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"# {name}")
    (tmp_path / "requirements-functions.txt").write_text("jmespath==1.1.0\n")
    monkeypatch.setattr(bundling, "ROOT", tmp_path)
    monkeypatch.setattr(bundling, "durex_core", lambda: tmp_path / "durex_core")
    return tmp_path


class TestContents:
    """What the functions find."""

    def test_it_holds_durex_the_functions_and_their_dependencies(self, zipped: Path):
        for name in ("durex_core", "functions", "psycopg", "psycopg_binary", "pydantic", "aws_lambda_powertools"):
            assert (zipped / name / "__init__.py").is_file()
        for part in ("enqueue", "api", "worker", "tick", "drain", "migrate"):
            assert (zipped / "functions" / part / "handler.py").is_file()

    def test_it_holds_what_is_not_python(self, zipped: Path):
        assert list((zipped / "durex_core" / "sql" / "postgres").rglob("*.sql"))
        assert list((zipped / "durex_core" / "migrations" / "postgres").glob("*.sql"))
        assert (zipped / "durex_core" / "aws" / "rds-ca.pem").is_file()

    @pytest.mark.parametrize("name", ["boto3", "botocore", "s3transfer", "aws_cdk", "infra", "tests", "bin", ".lock"])
    def test_it_leaves_out(self, zipped: Path, name: str):
        assert not (zipped / name).exists()

    def test_it_holds_no_byte_code_and_no_tests_of_ours(self, zipped: Path):
        names = {path.name for path in zipped.rglob("*")}

        assert "__pycache__" not in names
        assert not any(name.endswith(".pyc") for name in names)
        assert not list((zipped / "durex_core").rglob("tests"))

    def test_byte_code_stays_out_whatever_uv_is_told(self, tree: Path, tmp_path: Path, monkeypatch):
        monkeypatch.setenv("UV_COMPILE_BYTECODE", "1")
        (tree / "functions" / "__pycache__").mkdir()
        bundling.bundle(PRODUCT, tmp_path / "out")

        assert not list((tmp_path / "out").rglob("__pycache__"))

    def test_lambda_may_read_what_only_its_builder_could(self, tree: Path, tmp_path: Path):
        (tree / "functions" / "__init__.py").chmod(0o600)
        bundling.bundle(PRODUCT, tmp_path / "out")

        for path in (tmp_path / "out").rglob("*"):
            assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644)

    def test_it_is_far_below_lambdas_limit(self, zipped: Path):
        assert sum(path.stat().st_size for path in zipped.rglob("*") if path.is_file()) < 60_000_000

    def test_the_same_inputs_make_the_same_files(self, zipped: Path, tmp_path: Path):
        bundling.bundle(PRODUCT, tmp_path)

        assert bundling.tree_hash(tmp_path) == bundling.tree_hash(zipped)


class TestMachine:
    """The product is for arm64 and the newest Python, whatever machine builds it."""

    @pytest.mark.parametrize("package", ["psycopg_binary", "pydantic_core"])
    def test_the_wheels_are_for_linux_on_arm64(self, zipped: Path, package: str):
        (wheel,) = zipped.glob(f"{package}-*.dist-info/WHEEL")
        tags = re.findall(r"^Tag: (.+)$", wheel.read_text(), re.MULTILINE)

        assert tags
        assert all(re.fullmatch(r"cp314-cp314-manylinux\w+_aarch64", tag) for tag in tags)

    def test_psycopg_is_the_new_one(self, zipped: Path):
        (found,) = zipped.glob("psycopg_binary-*.dist-info")

        assert found.name >= "psycopg_binary-3.3"  # an old tag, such as manylinux2014, silently gives 3.2

    def test_every_library_is_for_arm64(self, zipped: Path):
        libraries = [path for path in zipped.rglob("*.so*") if path.is_file()]

        assert len(libraries) > 3
        assert not [path for path in libraries if "x86_64" in path.name]
        for library in libraries:
            header = library.read_bytes()[:20]
            assert header[:4] == b"\x7fELF"
            assert int.from_bytes(header[18:20], "little") == 183  # EM_AARCH64

    def test_a_build_for_this_machine_runs_by_itself(self, tmp_path: Path):
        settings = read({"stage": "local", "python": f"{sys.version_info.major}.{sys.version_info.minor}"})
        bundling.bundle(settings, tmp_path)
        code = (
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
            "import durex_core, functions.commands, psycopg, pydantic\n"
            "print(*(module.__file__ for module in (durex_core, functions.commands, psycopg, pydantic)))"
        )

        # Without site-packages nothing can be borrowed from this environment.
        done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)

        assert all(path.startswith(str(tmp_path)) for path in done.stdout.split())


class TestHash:
    """A changed input is deployed, an unchanged one is not."""

    def test_the_same_inputs_have_the_same_hash(self, tree: Path):
        first = bundling.asset_hash(PRODUCT)
        shutil.copytree(tree / "functions", tree / "copy")
        (tree / "functions" / "__pycache__").mkdir()
        (tree / "functions" / "__pycache__" / "x.pyc").write_bytes(b"x")
        os.utime(tree / "functions" / "__init__.py", (0, 0))

        assert bundling.asset_hash(PRODUCT) == first

    def test_a_changed_lock_has_another(self, tree: Path):
        first = bundling.asset_hash(PRODUCT)
        (tree / "requirements-functions.txt").write_text("jmespath==1.0.1\n")

        assert bundling.asset_hash(PRODUCT) != first

    @pytest.mark.parametrize("name", ["durex_core", "functions"])
    def test_a_changed_file_has_another(self, tree: Path, name: str):
        first = bundling.asset_hash(PRODUCT)
        (tree / name / "__init__.py").write_text("# changed")

        assert bundling.asset_hash(PRODUCT) != first

    def test_a_file_of_another_name_has_another(self, tree: Path):
        first = bundling.asset_hash(PRODUCT)
        (tree / "functions" / "__init__.py").rename(tree / "functions" / "moved.py")

        assert bundling.asset_hash(PRODUCT) != first

    @pytest.mark.parametrize("change", [{"python": "3.13"}, {"architecture": "x86_64"}, {"architecture": "host"}])
    @pytest.mark.usefixtures("tree")
    def test_another_machine_has_another(self, change: dict[str, str]):
        assert bundling.asset_hash(replace(PRODUCT, **change)) != bundling.asset_hash(PRODUCT)

    def test_new_sql_changes_the_migrations_hash(self, tree: Path):
        folder = tree / "durex_core" / "migrations" / "postgres"
        folder.mkdir(parents=True)
        (folder / "0001_initial.sql").write_text("CREATE TABLE a ();")
        first = bundling.migrations_hash()
        (folder / "0002_more.sql").write_text("CREATE TABLE b ();")

        assert bundling.migrations_hash() != first


class TestRefusals:
    """What cannot be built is said in words."""

    def test_a_dependency_without_a_wheel(self, tree: Path, tmp_path: Path):
        (tree / "requirements-functions.txt").write_text("psycopg2==2.9.9\n")

        with pytest.raises(SynthRefused, match=r"(?s)dependencies could not be installed: .*psycopg2==2\.9\.9"):
            bundling.bundle(PRODUCT, tmp_path / "out")

    def test_a_lock_that_brings_boto3(self, tree: Path, tmp_path: Path):
        (tree / "requirements-functions.txt").write_text("boto3==1.43.0\n")

        with pytest.raises(SynthRefused, match="boto3, botocore, s3transfer would be in the zip twice"):
            bundling.bundle(PRODUCT, tmp_path / "out")

    def test_a_lock_that_is_not_there(self, tree: Path):
        (tree / "requirements-functions.txt").unlink()

        with pytest.raises(SynthRefused, match=r"there is no file .*requirements-functions\.txt; make it with"):
            bundling.asset_hash(PRODUCT)

    def test_a_package_that_is_not_there(self, tree: Path):
        with pytest.raises(SynthRefused, match=f"there is no folder {tree}/shop"):
            bundling.asset_hash(replace(PRODUCT, source=("functions", "shop")))

    @pytest.mark.usefixtures("tree")
    def test_a_machine_without_uv(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(shutil, "which", lambda _: None)
        monkeypatch.setattr(bundling.importlib.util, "find_spec", lambda _: None)

        with pytest.raises(SynthRefused, match="uv, which puts the functions' zip together, is not installed"):
            bundling.bundle(PRODUCT, tmp_path / "out")
