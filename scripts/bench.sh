#!/usr/bin/env bash
# Measures what the design gives numbers for: checking, the gate, and the cost of
# starting tasks, each beside a bare loop on the same machine. Prints medians of
# five; nothing here passes or fails.
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
import resource, statistics, subprocess, sys, time
name, command, seconds = sys.argv[1], sys.argv[2:], []
for _ in range(5):
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds.append(time.monotonic() - began)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"{name:44} median {statistics.median(seconds):7.3f} s   {min(seconds):.3f}–{max(seconds):.3f} s   peak {peak:6.0f} MiB", flush=True)
PYTHON
}

project "$work/chain" 40 chain
project "$work/wide" 2000 wide
measure "chain of 40: a bare loop of /bin/true" bash -c 'for i in $(seq 40); do /bin/true; done'
measure "chain of 40: tidemill run" bin/tidemill --dir "$work/chain" run bench
measure "2,000 side by side: xargs -P 4 /bin/true" bash -c 'seq 2000 | xargs -n 1 -P 4 /bin/true'
measure "2,000 side by side: tidemill run" bin/tidemill --dir "$work/wide" run bench
measure "check of the flights example" bin/tidemill --dir examples/flights check
go test -run '^$' -bench . -benchmem ./bench/... | grep -E '^(Benchmark|ok|FAIL)'
