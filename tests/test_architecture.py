"""Imports run one way, and what the app imports at its start is light."""

import ast
import dataclasses
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from unet.jobs.limits import Limits

pytestmark = pytest.mark.quick

PROJECT = Path(__file__).resolve().parent.parent
SOURCES = [*sorted((PROJECT / "unet").rglob("*.py")), PROJECT / "train.py"]
LIGHT = (
    "unet.data.patients",
    "unet.data.clinical",
    "unet.preprocessing",
    "unet.metrics",
    "unet.overlay",
    "unet.weights.network",
)


def imported_packages(source: str) -> set[str]:
    """Return the top-level packages that a source imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def test_the_walk_sees_every_kind_of_import():
    source = "import a.b as c, d\nfrom e.f import g\ndef h():\n    import streamlit\nfrom . import i\n"
    assert imported_packages(source) == {"a", "d", "e", "streamlit"}


def test_sources_are_found():
    assert {"patients.py", "model.py", "loop.py", "train.py"} <= {path.name for path in SOURCES}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_nothing_below_the_pages_imports_streamlit_or_the_pages(path):
    assert not imported_packages(path.read_text(encoding="utf-8")) & {"streamlit", "views", "pages"}


@pytest.mark.parametrize("module", LIGHT)
def test_module_imports_nothing_heavy(module):
    program = (
        f"import sys, {module}\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & "
        "{'tensorflow', 'keras', 'streamlit', 'openvino', 'matplotlib', 'numpy'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    found = ast.literal_eval(done.stdout)
    assert set(found) <= {"numpy"}
    assert module == "unet.data.clinical" or found == ["numpy"]  # so an empty answer cannot pass for a light one


def test_dataclasses_with_arrays_compare_by_identity():
    """`==` and `hash` of the generated kind raise on arrays."""
    wrong = []
    for path in [*sorted((PROJECT / "unet").rglob("*.py")), *sorted((PROJECT / "views").rglob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(d) for d in node.decorator_list):
                fields = [ast.unparse(field.annotation) for field in node.body if isinstance(field, ast.AnnAssign)]
                holds_arrays = any("ndarray" in field and "Callable" not in field for field in fields)
                if holds_arrays and "eq=False" not in ast.unparse(node.decorator_list[0]):
                    wrong.append(f"{path.name}: {node.name}")
    assert wrong == []


def test_nothing_is_set_when_a_module_is_imported():
    """Whoever imports it for one function would get settings of the whole process with it."""
    setting = re.compile(r"environ(\[.*\] =|\.(setdefault|update|pop)\()|putenv\(|matplotlib\.use\(|MAX_IMAGE_PIXELS =")
    assert setting.search("os.environ['A'] = 'b'")
    assert setting.search("os.environ.setdefault('A', 'b')")
    assert not setting.search("FOLDER = os.environ.get('A') or os.environ['B']")
    wrong = []
    for path in [*SOURCES, *(PROJECT / "views").rglob("*.py"), *(PROJECT / "pages").glob("*.py")]:
        for statement in ast.parse(path.read_text()).body:
            inside = isinstance(statement, (ast.FunctionDef, ast.ClassDef))
            if not inside and setting.search(ast.unparse(statement)):
                wrong.append(f"{path.relative_to(PROJECT)}:{statement.lineno}")
    assert wrong == []


def room_of(module: str) -> str:
    """Return a module's package or file below `unet` or `views`."""
    return ".".join(module.split(".")[:2])


def test_table_of_packages_is_that_of_the_code():
    """docs/architecture.md lists every package with the packages that it imports, and its level."""
    import grimp

    graph = grimp.build_graph("unet", "views", cache_dir=None)
    imports: dict[str, set[str]] = {}
    for module in graph.modules - {"unet", "views", "unet.language"}:
        others = {room_of(name) for name in graph.find_modules_directly_imported_by(module)}
        # whoever has a text for the user imports `unet.language`, which imports nothing
        imports.setdefault(room_of(module), set()).update(others - {room_of(module), "unet.language"})
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| `([\w.]+)` \| [^|]+ \| ([^|]+) \|$", text, re.MULTILINE)
    told = {package: set(re.findall(r"`([\w.]+)`", names)) for _, package, names in rows}
    assert told == imports

    def level(package: str) -> int:
        return 1 + max((level(other) for other in imports[package]), default=0)

    assert {package: int(number) for number, package, _ in rows} == {package: level(package) for package in imports}
    assert max(level(package) for package in imports if package.startswith("unet.")) <= 9
    assert len({package for package in imports if package.startswith("unet.")}) <= 26


def test_every_setting_of_a_host_is_documented():
    sources = [*(PROJECT / "unet").rglob("*.py"), *(PROJECT / "views").rglob("*.py"), *PROJECT.glob("*.py")]
    used = {name for path in sources for name in re.findall(r"UNET_[A-Z_]*[A-Z]\b", path.read_text(encoding="utf-8"))}
    limits = re.findall(r"^\s+\w+: `(UNET_TRAINING_\w+)`", inspect.getdoc(Limits) or "", re.MULTILINE)
    assert len(limits) == len(dataclasses.fields(Limits))  # they are read by the names of the fields
    page = (PROJECT / "docs" / "hosting.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(UNET_\w+)` \|", page, re.MULTILINE)
    assert set(rows) == used | set(limits)
    assert len(rows) == len(set(rows))
