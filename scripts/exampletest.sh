#!/usr/bin/env bash
# The flights example end to end, in a copy: the demo, its evidence, the demo
# again, a correction, and the history.
set -euo pipefail
cd "$(dirname "$0")/.."
tally=$(realpath "$1")
rm -rf build/example && mkdir -p build/example
cp -r examples/flights build/example/flights
rm -rf build/example/flights/.tidemill
TIDEMILL=$PWD/bin/tidemill TALLY=$tally python3 scripts/exampletest.py build/example/flights
