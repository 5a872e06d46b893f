#!/bin/sh
# Check sweepkit on this machine's GPU, without a network and without preparation: docs/gpu.md.
#
#   sh tests/gpu/run.sh                          all rows, at most 8 minutes; the table, and gpu_check.json
#   sh tests/gpu/run.sh --rows packing,leak      these rows only
#   PYTHON=/path/python sh tests/gpu/run.sh      another Python (3.11 to 3.13) that has torch and transformers
#
# What that Python lacks comes from tests/gpu/wheels, which tests/gpu/pack.sh makes beforehand.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec "${PYTHON:-python3}" "$here/check.py" "$@"
