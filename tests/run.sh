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
# Compiling all that is installed takes as long as installing it; what the tests import, a fourth of it, is compiled then,
# once, and so is our own code: tests start a thousand processes, each of which would compile it anew.
unset PYTHONDONTWRITEBYTECODE
# What is installed is remembered, so that a virtual environment that has all of it costs none of pip's twenty seconds.
wanted=$(cat requirements.txt tests/requirements.txt pyproject.toml tests/run.sh | cksum)
if [ "$(cat .venv/installed-for-tests 2>/dev/null || :)" != "$wanted $PWD" ]; then
    python -m pip install --quiet --no-compile -r requirements.txt -r tests/requirements.txt
    python -m pip install --quiet --no-compile --no-deps sweeps==0.3.0
    echo "$wanted $PWD" >.venv/installed-for-tests
fi
ruff check .
ruff format --check .
# Five workers for two cores, since many tests wait for processes; forked off one that has the libraries. Types are
# checked beside them; what is wrong with them is told at the end.
types=$(mktemp)
nice mypy >"$types" 2>&1 &
mypy=$!
trap 'kill "$mypy" 2>/dev/null || :; rm -f "$types"' EXIT
passed=0
workers="5*popen//python=python tests/support/forked_worker.py"
python -m pytest --tx "$workers" --dist loadscope --no-loadscope-reorder "$@" || passed=$?
typed=0
wait "$mypy" || typed=$?
if [ "$typed" -ne 0 ]; then
    cat "$types"
    exit "$typed"
fi
exit "$passed"
