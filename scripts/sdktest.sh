#!/usr/bin/env bash
# The Python SDK's own tests, without and with pandas, pyarrow and polars.
set -euo pipefail
cd "$(dirname "$0")/.."
tally=$(realpath "$1")
mkdir -p build
[ -x build/sdk-env/bin/python ] || .venv/bin/uv venv --quiet build/sdk-env
if ! build/sdk-env/bin/python -c "import pytest, pandas, pyarrow, polars" 2>/dev/null; then
  .venv/bin/uv pip install --quiet --python build/sdk-env/bin/python pytest pandas pyarrow polars
fi
for python in .venv/bin/python build/sdk-env/bin/python; do
  $python -m pytest -q python/tests 2>&1 | tee build/sdk.log
  passed=$(grep -oE '[0-9]+ passed' build/sdk.log | tail -1 | cut -d' ' -f1 || true)
  printf 'sdk\t%s\t0\t0\t0\n' "${passed:-0}" >> "$tally"
done
