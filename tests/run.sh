#!/bin/sh
# Pass the tests: lint, types, unit and contract tests, and bounded slow ones. Any argument goes to pytest.
#   sh tests/run.sh                 what CI runs, in a virtual environment (.venv, made if there is none)
#   sh tests/run.sh -m heavy        the long ones, which CI leaves out
#   sh tests/run.sh -m ""           everything
#   sh tests/run.sh -m "not slow and not heavy"   the quick part
set -eu
cd "$(dirname "$0")/.."
if [ ! -x .venv/bin/python ]; then
    python3.11 -m venv .venv
fi
. .venv/bin/activate
python -m pip install --quiet -r requirements.txt -r tests/requirements.txt
python -m pip install --quiet --no-deps sweeps==0.3.0
ruff check .
ruff format --check .
mypy
python -m pytest -n 2 --dist loadscope --no-loadscope-reorder "$@"
