import ast
from pathlib import Path

import pytest

import sweepkit.sweep_config

FILES = sorted(Path(sweepkit.sweep_config.__file__).parent.glob("*.py"))
# sys is allowed: sys.float_info is a constant.
IMPURE = {"os", "time", "datetime", "random", "logging", "subprocess", "socket", "secrets", "uuid"}


def _imports(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_file_of_the_room_reads_yaml_1_1_or_touches_the_outside(file):
    names = list(_imports(file))
    assert "yaml" not in names and not any(name.startswith("yaml.") for name in names)
    assert not IMPURE & {name.split(".")[0] for name in names}
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    assert not [
        call for call in calls if isinstance(call.func, ast.Name) and call.func.id in ("print", "open", "input")
    ]
