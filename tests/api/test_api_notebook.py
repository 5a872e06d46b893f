"""examples/python_api.ipynb; progress is one output that changes in place. Heavy: executed by a kernel of its own."""

import json
import os
import re
import sys
import types

import nbclient
import nbformat
import pytest

from sweepkit.paths import CODE_DIR, ROOT_DIR


class Shown:
    """Stands for IPython.display.display, and for the handle that it returns: what the one output has shown."""

    def __init__(self):
        self.asked, self.states = [], []

    def __call__(self, data, **how):
        self.asked.append(how)
        self.states.append(data)
        return self

    def update(self, data, **how):
        assert how == {"raw": True}
        self.states.append(data)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_the_cells_run_in_order_and_progress_is_one_output(tmp_path, monkeypatch):
    import IPython

    import sweepkit

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWEEPKIT_OUTPUT_DIR", str(tmp_path / "out"))
    monkeypatch.setattr(IPython, "get_ipython", lambda: types.SimpleNamespace(kernel=object()))
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    shown = []
    notebook = nbformat.read(ROOT_DIR / "examples" / "python_api.ipynb", as_version=4)
    for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code"):
        shown.append(Shown())
        monkeypatch.setattr(IPython.display, "display", shown[-1])
        source = re.sub(r'("run_cap": |n_trials=)12\b', r"\g<1>5", cell.source)  # fewer of the same
        exec(compile(source, f"cell {number}", "exec"), main.__dict__)
    run, search = [one for one in shown if one.asked]
    assert run.asked == search.asked == [{"raw": True, "display_id": True}]
    assert "5/5 done" in run.states[-1]["text/plain"] and "5/5 done" not in run.states[0]["text/plain"]
    assert run.states[-1]["text/html"].startswith("<pre")
    assert set(sweepkit.list_sweeps()["name"]) == {"notebook", "notebook_objective"}
    assert main.sweep.figure("curves").data


@pytest.mark.heavy
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
