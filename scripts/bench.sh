#!/usr/bin/env bash
# Measures what the design gives numbers for: checking, the gate, and the cost of
# starting tasks, each beside a bare loop on the same machine. Prints medians of
# five (of loads one); nothing here passes or fails.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

project() { # project FOLDER TASKS chain|wide
  mkdir -p "$1/pipelines/bench"
  echo 'project: bench' > "$1/tidemill.yaml"
  for i in $(seq "$2"); do
    { echo 'command: [/bin/true]'; [ "$3" = wide ] || [ "$i" = 1 ] || echo "after: [t$((i - 1))]"; } > "$1/pipelines/bench/t$i.yaml"
  done
}

measure() { # measure NAME COMMAND...: median and spread of five, and the peak memory of the largest process
  local name=$1
  shift
  python3 - "$name" "$@" <<'PYTHON'
import os, resource, statistics, subprocess, sys, time
name, command, seconds = sys.argv[1], sys.argv[2:], []
for _ in range(int(os.environ.get("RUNS", "5"))):
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds.append(time.monotonic() - began)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"{name:44} median {statistics.median(seconds):7.3f} s   {min(seconds):.3f}–{max(seconds):.3f} s   peak {peak:6.0f} MiB", flush=True)
PYTHON
}

project "$work/chain" 40 chain
project "$work/wide" 2000 wide
measure "chain of 40: a bare loop of /bin/true" bash -c 'for i in $(seq 40); do /bin/true; done'
measure "chain of 40: tidemill run" bin/tidemill --dir "$work/chain" run bench
measure "2,000 side by side: a bare loop of /bin/true" bash -c 'for i in $(seq 2000); do /bin/true; done'
measure "2,000 side by side: xargs -P 4 /bin/true" bash -c 'seq 2000 | xargs -n 1 -P 4 /bin/true'
measure "2,000 side by side: tidemill run" bin/tidemill --dir "$work/wide" run bench
python3 bench/due.py bin/tidemill
# Rows through a contract into the warehouse: resident memory must not grow with them.
loads() { # loads MILLIONS MEMORY
  local folder=$work/load$1
  mkdir -p "$folder/pipelines/bench" "$folder/contracts" "$folder/landing"
  cat > "$folder/tidemill.yaml" <<YAML
project: bench
stores:
  landing: {kind: files, path: ./landing}
  warehouse: {kind: duckdb, path: .tidemill/warehouse.duckdb, memory: $2}
YAML
  echo 'move: {from: "landing:*.csv", to: raw.rows, mode: replace}' > "$folder/pipelines/bench/rows.yaml"
  cat > "$folder/contracts/rows.odcs.yaml" <<YAML
apiVersion: v3.1.0
kind: DataContract
id: rows
version: 1.0.0
status: active
schema:
- name: rows
  physicalName: raw.rows
  properties:
  - {name: id, logicalType: integer, required: true, logicalTypeOptions: {minimum: 0}}
  - {name: at, logicalType: timestamp, required: true, logicalTypeOptions: {timezone: true}}
  - {name: customer, logicalType: string, required: true, logicalTypeOptions: {maxLength: 24}}
  - {name: amount, logicalType: number, required: true}
YAML
  for i in $(seq "$1"); do ln "$work/million.csv" "$folder/landing/$i.csv"; done
  echo "load of $1 M rows: $(($(stat -c %s "$work/million.csv") * $1 / 1000000)) MB of CSV"
  RUNS=1 measure "load of $1 M rows, contract, memory: $2" bin/tidemill --dir "$folder" run bench
  rm -rf "$folder"
}

python3 - "$work/million.csv" <<'PYTHON'
import random, sys
draw = random.Random(1)
with open(sys.argv[1], "w") as f:
    f.write("id,at,customer,amount\n")
    for n in range(1_000_000):
        f.write(f"{n},2026-01-05T{draw.randrange(24):02}:{draw.randrange(60):02}:00Z,{draw.getrandbits(64):x},{draw.random() * 1000:.2f}\n")
PYTHON
for memory in 512MiB 2GiB; do
  for millions in 1 10 50; do loads "$millions" "$memory"; done
done

measure "check of the flights example" bin/tidemill --dir examples/flights check
go test -run '^$' -bench . -benchmem ./bench/... | grep -E '^(Benchmark|ok|FAIL)'
