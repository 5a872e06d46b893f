"""The arrows of the design, read from the imports: who may know whom, who owns which heavy library."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from sweepkit.paths import CODE_DIR

PACKAGE = CODE_DIR / "sweepkit"
MODULES = {
    ".".join(path.relative_to(CODE_DIR).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}
ANYONE = {"spec", "environ", "errors", "paths", "files", "sweepkit"}
# room → the rooms it may import, besides its own and ANYONE
ARROWS = {
    "environ": set(),
    "errors": set(),
    "paths": set(),
    "files": set(),
    "spec": set(),
    "search": {"stats"},
    "stopping": set(),
    "scheduling": set(),
    "stats": set(),
    "analysis": {"search", "stats"},
    "store": set(),
    "tracking": set(),
    "metrics": set(),
    "agents": {"scheduling", "store", "tracking"},
    "training": {"tracking", "metrics"},
    "reports": {"analysis", "stats"},
    "app": {
        "agents",
        "analysis",
        "metrics",
        "reports",
        "scheduling",
        "search",
        "stats",
        "stopping",
        "store",
        "tracking",
        "training",
    },
}
# An agent is handed an engine and a rule: it knows their contracts and none of them.
CONTRACTS = {"sweepkit.search.base", "sweepkit.stopping.base"}
PURE = {"search", "stopping", "scheduling", "analysis", "stats"}
IMPURE_MODULES = {"time", "os", "pathlib", "logging", "subprocess", "socket", "shutil", "tempfile", "datetime", "io"}
OWNERS = {
    "optuna": {"sweepkit.search", "sweepkit.store.mirror"},
    "wandb": {"sweepkit.tracking"},
    "torch": {"sweepkit.training"},
    "transformers": {"sweepkit.training"},
    "sqlalchemy": {"sweepkit.store"},
    "ruamel": {"sweepkit.spec", "sweepkit.reports"},
    "rich": {"sweepkit.reports", "sweepkit.app"},
    "kiwipiepy": {"sweepkit.metrics"},
    "mecab": {"sweepkit.metrics"},
    "sklearn": {"sweepkit.analysis.forest", "sweepkit.analysis.estimators", "sweepkit.training.images.arrays"},
    "plotly": {"sweepkit.reports.figures"},
    "matplotlib": {"sweepkit.reports.figures"},
    "pynvml": {"sweepkit.agents.gpu_memory"},
}
HEAVY = {
    "optuna",
    "wandb",
    "torch",
    "transformers",
    "sqlalchemy",
    "pandas",
    "sklearn",
    "plotly",
    "matplotlib",
    "scipy",
    "numpy",
    "kiwipiepy",
    "mecab",
}
SCRIPTS = sorted(path.name for path in CODE_DIR.glob("*.py"))


@functools.cache
def imports(path, *, top_level=False):
    """Return the names of all imported modules, `from a import b` as `a` and `a.b`."""
    tree = ast.parse(path.read_bytes())
    names = []
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            of_module = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [node.module, *(name for name in of_module if name in MODULES)]
    return tuple(names)


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_import_follows_an_arrow(module):
    own = room(module)
    allowed = ANYONE | ARROWS.get(own, set()) | {own}
    wrong = {name for name in imports(MODULES[module]) if name.startswith("sweepkit") and room(name) not in allowed}
    if own == "agents":
        wrong -= CONTRACTS
    assert not wrong


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_opens_with_a_docstring(module):
    assert ast.get_docstring(ast.parse(MODULES[module].read_bytes()))


@pytest.mark.parametrize("module", [name for name in sorted(MODULES) if room(name) in PURE])
def test_pure_rooms_touch_no_world(module):
    heads = {name.split(".")[0] for name in imports(MODULES[module])}
    assert not heads & IMPURE_MODULES


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_each_heavy_library_has_one_owner(library):
    users = {name for name, path in MODULES.items() if any(i.split(".")[0] == library for i in imports(path))}
    strangers = {name for name in users if not name.startswith(tuple(OWNERS[library]))}
    assert not strangers


def test_there_is_no_import_cycle():
    graph = {
        name: {i for i in imports(path, top_level=True) if i in MODULES} - {name} for name, path in MODULES.items()
    }
    done, path = set(), []

    def visit(name):
        if name in path:
            raise AssertionError(" → ".join([*path[path.index(name) :], name]))
        if name in done:
            return
        path.append(name)
        for other in graph[name]:
            visit(other)
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)


def test_code_holds_only_entry_scripts_beside_the_package():
    entries = {path.name for path in CODE_DIR.iterdir() if not path.name.startswith((".", "__pycache__"))}
    others = {name for name in entries if not name.endswith((".py", ".egg-info"))}
    assert others == {"sweepkit"}
    assert "__init__.py" not in entries
    assert not {name.removesuffix(".py") for name in entries} & set(sys.stdlib_module_names)


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_entry_script_is_a_docstring_an_import_and_an_exit(script):
    tree = ast.parse((CODE_DIR / script).read_bytes())
    assert [type(node).__name__ for node in tree.body] == ["Expr", "ImportFrom", "If"]
    assert len((CODE_DIR / script).read_text().splitlines()) < 30


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_answers_without_heavy_imports(script):
    probe = (
        "import runpy, sys\n"
        f"sys.argv = [{script!r}, '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as stop: code = stop.code\n"
        f"print(code, sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=CODE_DIR, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "0 []"
    assert "usage:" in done.stdout


def test_documents_name_only_files_that_exist():
    readme = (Path(CODE_DIR).parent / "README.md").read_text(encoding="utf-8")
    words = {word.strip("`.,:;()") for word in readme.split() if "/" in word and "<" not in word}
    named = {word for word in words if word.startswith(("code/", "config/", "data/", "docs/", "benchmarks/", "tests/"))}
    missing = {word for word in named if not (Path(CODE_DIR).parent / word).exists()}
    assert named and not missing
