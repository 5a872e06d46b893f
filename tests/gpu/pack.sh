#!/bin/sh
# Fetch the wheels that tests/gpu/run.sh needs beside torch and transformers, for a Python on x86-64 Linux: at most 40 MiB.
#
#   sh tests/gpu/pack.sh 3.12                    into tests/gpu/wheels
set -eu
here=$(cd "$(dirname "$0")" && pwd)
version=${1:?the Python of the GPU machine: 3.11, 3.12 or 3.13}
rm -rf "$here/wheels"
"${PYTHON:-python3}" -m pip download --quiet --only-binary=:all: --no-deps --python-version "$version" \
    --platform manylinux2014_x86_64 --platform manylinux_2_28_x86_64 --platform any \
    --requirement "$here/wheels.txt" --dest "$here/wheels"
rouge=$(grep '^rouge-score==' "$here/../../requirements.txt")
"${PYTHON:-python3}" -m pip wheel --quiet --no-deps --wheel-dir "$here/wheels" "$rouge" # of Python alone: fits any
size=$(du -sm "$here/wheels" | cut -f1)
echo "$size MiB of wheels for Python $version in $here/wheels"
[ "$size" -le 40 ] || { echo "more than 40 MiB: leave something out of wheels.txt" >&2; exit 1; }
