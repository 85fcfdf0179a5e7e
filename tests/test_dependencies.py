"""What is imported is declared in pyproject.toml, and the files made from it agree with it."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

pytestmark = pytest.mark.quick

PROJECT = Path(__file__).resolve().parent.parent
DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OWN = {"demo", "pages", "streamlit_app", "tests", "train", "unet", "views"}
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "nrrd": "pynrrd",
    "pi_heif": "pi-heif",
}  # where the import has another name
# groups that code may import from; within `unet` an import of an optional group is inside a function or a module
# that only training loads
GROUPS = {
    "unet": ("train", "gpu", "benchmark", "ray"),
    "train.py": ("train",),
    "streamlit_app.py": ("app",),
    "pages": ("app",),
    "views": ("app", "benchmark"),
    "demo": ("phantoms",),
    "tests": ("dev",),
}


def distribution(requirement: str) -> str:
    """Return the name in a requirement.

    >>> distribution("ray[default]>=2.54,<3")
    'ray'
    """
    found = re.match(r"[\w.-]+", requirement)
    assert found, requirement
    return found[0].lower()


def group(name: str) -> list[str]:
    """Return the requirements of an optional group, with those of the groups that it includes."""
    found = []
    for requirement in DECLARED["optional-dependencies"][name]:
        if distribution(requirement) == DECLARED["name"]:
            extras = re.search(r"\[(.+)\]", requirement)
            assert extras, requirement
            for included in extras[1].split(","):
                found += group(included)
        else:
            found.append(requirement)
    return found


def foreign_imports(source: str) -> set[str]:
    """Return the top-level names of a source's imports that are neither Python's nor the project's."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").split(".")[0])
    return names - set(sys.stdlib_module_names) - OWN


def test_groups_include_each_other():
    assert {"tensorflow>=2.21,<3", "streamlit>=1.67,<1.68", "ruff>=0.15,<1"} <= set(group("dev"))
    assert not any(requirement.startswith(DECLARED["name"]) for requirement in group("dev"))


def test_the_walk_sees_every_kind_of_import():
    source = "import os, a.b as c\nfrom e.f import g\ndef h():\n    import i\nfrom . import j\nfrom unet import k\n"
    assert foreign_imports(source) == {"a", "e", "i"}


@pytest.mark.parametrize("place", GROUPS)
def test_every_import_is_declared(place):
    allowed = {distribution(requirement) for requirement in DECLARED["dependencies"]}
    for name in GROUPS[place]:
        allowed |= {distribution(requirement) for requirement in group(name)}
    path = PROJECT / place
    sources = [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert sources
    undeclared = {
        f"{source.relative_to(PROJECT)}: {name}"
        for source in sources
        for name in foreign_imports(source.read_text(encoding="utf-8"))
        if DISTRIBUTIONS.get(name, name) not in allowed
    }
    assert not undeclared


def test_requirements_txt_lists_what_the_app_needs():
    """Streamlit hosts read requirements.txt; they get the same versions as `pip install .[app]`."""
    lines = (PROJECT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    listed = [line for line in lines if line and not line.startswith("#")]
    assert listed == sorted({*DECLARED["dependencies"], *group("app")})


@pytest.mark.parametrize(("lock", "extra"), [("requirements.lock", "app"), ("requirements-dev.lock", "dev")])
def test_the_lock_has_a_version_with_hashes_of_every_requirement(lock, extra):
    text = (PROJECT / lock).read_text(encoding="utf-8")
    pins = {name: Version(version) for name, version in re.findall(r"^([\w.-]+)==(\S+)", text, re.MULTILINE)}
    for line in (*DECLARED["dependencies"], *group(extra)):
        requirement = Requirement(line)
        assert pins[requirement.name.lower()] in requirement.specifier, f"{lock} does not fit {line}: run make lock"
    assert len(re.findall(r"==\S+ (?:;.* )?\\\n    --hash=sha256:", text)) == len(pins)


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_names_no_server_and_no_folder(lock):
    assert not re.search(r"://|^-|\s/", (PROJECT / lock).read_text(encoding="utf-8"), re.MULTILINE)


def test_streamlit_stays_at_one_minor_version():
    """views/ uses private parts of Streamlit, which change without notice."""
    assert "streamlit>=1.67,<1.68" in group("app")
