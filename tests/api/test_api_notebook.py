"""examples/python_api.ipynb, executed by a kernel of its own; progress is one output that changes in place."""

import json
import os
import sys

import nbclient
import nbformat
import pytest

from sweepkit.paths import CODE_DIR, ROOT_DIR


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs_and_shows_its_progress_in_place(tmp_path, monkeypatch):
    kernels = tmp_path / "share" / "jupyter" / "kernels" / "python3"
    kernels.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python"}
    (kernels / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("SWEEPKIT_OUTPUT_DIR", str(tmp_path / "out"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(CODE_DIR), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(ROOT_DIR / "examples" / "python_api.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    run = next(cell for cell in cells if "sweep.run(" in cell.source)
    shown = [output for output in run.outputs if output.output_type == "display_data"]
    assert len(shown) == 1 and "12/12 done" in shown[0]["data"]["text/plain"]
    assert shown[0]["data"]["text/html"].startswith("<pre")
    outputs = [output for cell in cells for output in cell.outputs]
    plotted = [output for output in outputs if "application/vnd.plotly.v1+json" in output.get("data", {})]
    assert len(plotted) == 2
    assert "notebook_objective" in str(cells[-1].outputs)


def test_the_notebook_is_kept_without_outputs():
    notebook = nbformat.read(ROOT_DIR / "examples" / "python_api.ipynb", as_version=4)
    assert all(not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")
