#!/usr/bin/env bash
# The Python SDK's own tests, with and without pyarrow.
set -euo pipefail
cd "$(dirname "$0")/.."
tally=$(realpath "$1")
mkdir -p build
if [ ! -x build/sdk-env/bin/python ]; then
  .venv/bin/uv venv --quiet build/sdk-env
  .venv/bin/uv pip install --quiet --python build/sdk-env/bin/python pytest pandas pyarrow
fi
for python in .venv/bin/python build/sdk-env/bin/python; do
  $python -m pytest -q python/tests 2>&1 | tee build/sdk.log
  passed=$(grep -oE '[0-9]+ passed' build/sdk.log | tail -1 | cut -d' ' -f1 || true)
  printf 'sdk\t%s\t0\t0\t0\n' "${passed:-0}" >> "$tally"
done
