"""The house of docs/architecture.md, read from the imports: who may know whom, who owns which heavy library.

Every import counts: at the top of a module, in a function, under TYPE_CHECKING.
"""

import ast
import functools
import gc
import re
import subprocess
import sys
from pathlib import Path

import house
import pytest

from sweepkit.paths import CODE_DIR

MODULES = house.modules()
# From the top; an arrow goes down, never up and never to a room of the same floor.
FLOORS = (
    {"sweepkit", "__main__", "wandb_compat"},  # the package's own face
    {"cli", "api"},
    {"ui"},
    {"sources", "monitor", "housekeeping"},
    {"compare", "studies", "confirm", "wandb", "upkeep", "cluster"},
    {"runner"},
    {"reports"},
    {"analysis", "agents"},
    {"training", "functions"},
    {"store", "stopping", "search", "scheduling"},
    {"sweep_config"},
    {"stats", "metrics", "tracking"},
    {"text"},
    {"model"},
    {"files", "called"},
    {"paths", "extras"},
    {"project"},
    {"errors", "environ", "syntax", "version"},
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# An agent is handed an engine and a rule: of these rooms it knows the contracts and nothing else.
CONTRACTS_ONLY = {"agents": {"search": {"sweepkit.search.base"}, "stopping": {"sweepkit.stopping.base"}}}
# Who asks or watches from a terminal loads no library that takes its time.
LIGHT = {"cli"}
HEAVY_ROOMS = {"training", "analysis", "metrics", "stats", "search", "store", "agents"}
PURE = {"model", "sweep_config", "search", "stopping", "scheduling", "analysis", "stats"}
IMPURE_MODULES = {"time", "os", "pathlib", "logging", "subprocess", "socket", "shutil", "tempfile", "datetime", "io"}
# What reads a file that the user names: the YAML and what stands beside it.
READS_FILES = {"sweepkit.sweep_config.read"}
OWNERS = {
    "optuna": {"sweepkit.search", "sweepkit.store.mirror"},
    "wandb": {"sweepkit.tracking", "sweepkit.wandb"},
    "torch": {"sweepkit.training"},
    "transformers": {"sweepkit.training"},
    "peft": {"sweepkit.training"},
    "sqlalchemy": {"sweepkit.store"},
    "pandas": {
        "sweepkit.text.csv_text",
        "sweepkit.text.nested_tables",
        "sweepkit.text.table_files",
        "sweepkit.analysis.table",
        "sweepkit.analysis.foreign",
        "sweepkit.reports",
        "sweepkit.studies",
        "sweepkit.api",
    },
    "cloudpickle": {"sweepkit.functions"},
    "ruamel": {"sweepkit.text", "sweepkit.reports"},
    "rich": {"sweepkit.reports", "sweepkit.monitor", "sweepkit.compare", "sweepkit.runner", "sweepkit.cli"},
    "kiwipiepy": {"sweepkit.metrics"},
    "mecab": {"sweepkit.metrics"},
    "rouge_score": {"sweepkit.metrics"},
    "sklearn": {"sweepkit.analysis.forest", "sweepkit.analysis.estimators", "sweepkit.training.images.arrays"},
    "plotly": {"sweepkit.reports.figures"},
    "matplotlib": {"sweepkit.reports.figures"},
    "seaborn": {"sweepkit.reports.figures"},
    "starlette": {"sweepkit.ui"},
    "uvicorn": {"sweepkit.ui"},
    "pynvml": {"sweepkit.agents.gpu_memory"},
}
HEAVY = {
    "starlette",
    "uvicorn",
    "optuna",
    "wandb",
    "torch",
    "transformers",
    "sqlalchemy",
    "pandas",
    "seaborn",
    "sklearn",
    "plotly",
    "matplotlib",
    "scipy",
    "numpy",
    "rouge_score",
    "kiwipiepy",
    "mecab",
}
SCRIPTS = sorted(path.name for path in CODE_DIR.glob("*.py"))
# Read by nobody's import: entry points of processes, tasks found by their module's name.
PUBLIC_API = {
    "sweepkit.agents.forkserver.serve",
    "sweepkit.functions.calling.call",  # by the script of a packed function
    "sweepkit.functions.objective.call_objective",  # by its name, so that Optuna is imported for objectives alone
    "sweepkit.training.tasks.image_classification.train",
    "sweepkit.training.tasks.perceiver.train",
    "sweepkit.cluster.keeper.main",  # started on a node, by name
    "sweepkit.cluster.run_folders.main",
}


@pytest.fixture(scope="module", autouse=True)
def _trees_are_kept_for_this_module_alone():
    """They are a million objects that each collection would walk through: here, and in all tests that come after."""
    gc.disable()
    yield
    house.tree_of.cache_clear()
    gc.enable()


@functools.cache
def heads(path, *, top_level=False):
    """Return the first parts of all imported names."""
    tree = house.tree_of(path)
    found = set()
    for node in tree.body if top_level else house.statements(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return frozenset(found)


def test_every_room_stands_on_a_floor():
    assert {house.room(module) for module in MODULES} <= set(FLOOR)


def test_every_import_goes_down():
    up = {
        (module, name)
        for module, path in MODULES.items()
        for name in house.imports_of(path)
        if house.room(name) != house.room(module) and FLOOR[house.room(name)] <= FLOOR[house.room(module)]
    }
    assert not up


@pytest.mark.parametrize("reader", sorted(CONTRACTS_ONLY))
def test_a_contract_is_all_that_is_known(reader):
    for room, contracts in CONTRACTS_ONLY[reader].items():
        known = {
            name
            for module, path in MODULES.items()
            if house.room(module) == reader
            for name in house.imports_of(path)
            if house.room(name) == room
        }
        assert known <= contracts


def test_there_is_no_import_circle():
    assert house.circles(house.module_graph()) == []


def test_no_two_folders_import_each_other():
    assert house.circles(house.folder_graph()) == []


def test_groups_of_states_have_names():
    """`state in (RunState.FINISHED, RunState.STOPPED)` is `state.ended_well`: a group is said once, with the states."""
    found = []
    naming = {name: path for name, path in MODULES.items() if b"State." in path.read_bytes()}
    for name, path in naming.items():
        for node in ast.walk(house.tree_of(path)):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
                group = node.comparators[0]
                states = [ast.unparse(item) for item in getattr(group, "elts", ())]
                if sum(state.startswith(("RunState.", "SweepState.")) for state in states) > 1:
                    found.append((name, node.lineno))
    assert [place for place in found if not place[0].startswith("sweepkit.model.")] == []


def test_no_class_name_means_two_things():
    assert {name: places for name, places in house.class_places().items() if len(places) > 1} == {}


@pytest.mark.slow
def test_every_public_name_has_a_reader():
    assert set(house.unread_names()) == PUBLIC_API  # and no name stands there that has a reader by now


def test_the_command_lines_load_no_heavy_room():
    loaded = {
        (module, name)
        for module, path in MODULES.items()
        if house.room(module) in LIGHT
        for name in house.imports_of(path, top_level=True)
        if house.room(name) in HEAVY_ROOMS
    }
    assert loaded == set()


def test_every_module_opens_with_a_docstring():
    assert not [module for module, path in MODULES.items() if not ast.get_docstring(house.tree_of(path))]


def test_pure_rooms_touch_no_world():
    pure = {name: heads(path) for name, path in MODULES.items() if house.room(name) in PURE}
    touched = {
        (name, head)
        for name, found in pure.items()
        for head in found & IMPURE_MODULES - ({"pathlib", "os"} if name in READS_FILES else set())
    }
    assert pure and not touched


@pytest.mark.parametrize("library", sorted(OWNERS))
def test_each_heavy_library_has_one_owner(library):
    users = {name for name, path in MODULES.items() if library in heads(path)}
    assert not {name for name in users if not name.startswith(tuple(OWNERS[library]))}


def test_nothing_below_the_command_lines_knows_argparse():
    assert {house.room(name) for name, path in MODULES.items() if "argparse" in heads(path)} <= {"cli"}


def test_code_holds_only_entry_scripts_beside_the_package():
    entries = {path.name for path in CODE_DIR.iterdir() if not path.name.startswith((".", "__pycache__"))}
    others = {name for name in entries if not name.endswith((".py", ".egg-info"))}
    assert others == {"sweepkit", "outputs"}  # a link to the project's: the guides' snippets look for it from here
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


ROOT = Path(CODE_DIR).parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
OURS = ("code/", "config/", "data/", "docs/", "benchmarks/", "tests/", "tools/", "examples/", "analysis/")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_only_files_that_exist(document):
    words = {word.strip("`.,:;()[]{}*|") for word in document.read_text(encoding="utf-8").split() if "<" not in word}
    named = {word.split("::")[0].split("#")[0] for word in words if word.startswith(OURS)}
    assert not {word for word in named if not any(mark in word for mark in "*{$…](") and not (ROOT / word).exists()}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_file_of_the_package_that_a_document_names_is_there_and_holds_what_it_names(document):
    text = document.read_text(encoding="utf-8")
    for file, name in re.findall(r"`([a-z_]+/[a-z_/]+\.py)` `(\w+)`", text):
        path = house.PACKAGE / file
        assert path.exists(), file
        assert name in {node.name for node in ast.walk(house.tree_of(path)) if hasattr(node, "name")}, (file, name)


def test_the_ways_of_a_run_are_short():
    files = {way: {file for file, _ in steps} for way, steps in house.ways().items()}
    assert all(len(found) > 5 for found in files.values())
    assert len(files["YAML → child process"]) <= 15
