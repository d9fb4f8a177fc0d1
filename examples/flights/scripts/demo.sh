#!/usr/bin/env bash
# Runs the flights example from nothing to predictions: lands January to April of
# 2013 day by day under contracts, builds features, trains on what was known,
# scores April, and says what came of it. Run again, it changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
program=${TIDEMILL:-$PWD/../../bin/tidemill}
export TIDEMILL=$program
tidemill() { "$program" "$@"; }
began=$(date +%s%N)

echo "== tidemill check: the project is read before anything runs"
tidemill check

echo
echo "== tidemill up: one server and its worker (here without the schedule, which lies in 2013)"
tidemill up --manual 2> .tidemill-demo.log &
server=$!
trap 'tidemill down >/dev/null 2>&1 || true; wait $server 2>/dev/null || true; rm -f .tidemill-demo.log' EXIT
for _ in $(seq 200); do tidemill ready >/dev/null 2>&1 && break; sleep 0.05; done
tidemill ready

step() { echo; echo "== tidemill $*"; tidemill "$@"; }
first=$(tidemill models -o json | python3 -c 'import json,sys; print(len(json.load(sys.stdin) or []))')
step backfill plan     --from 2013-01-01 --to 2013-05-01 --missing
step backfill land     --from 2013-01-01 --to 2013-05-01 --missing
step backfill features --from 2013-01-01 --to 2013-05-01 --missing
if [ "$first" = 0 ]; then
  step run train --window 2013-03-25
else
  echo; echo "== the model is trained already"
fi
step backfill score   --from 2013-04-01 --to 2013-05-01 --chunk 30d --missing
step backfill actuals --from 2013-04-01 --to 2013-05-01 --chunk 30d --missing

echo
python3 scripts/summary.py "$began"
