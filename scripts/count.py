#!/usr/bin/env python3
"""Runs `go test -json` (or reads it) and shows what people want of it.

usage: count.py NAME TALLY -- COMMAND [ARG ...]

Prints one line per package, the output of tests that failed, and a closing line
with counts; appends the counts to the file TALLY for the sum at the end.
"""

import collections
import json
import subprocess
import sys
import time


def main() -> int:
    name, tally = sys.argv[1], sys.argv[2]
    command = sys.argv[sys.argv.index("--") + 1 :]
    began = time.monotonic()
    counts = collections.Counter()
    output: dict[tuple, list[str]] = collections.defaultdict(list)
    failed: list[tuple] = []
    leaves: set[tuple] = set()
    parents: set[tuple] = set()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    for line in process.stdout:
        try:
            event = json.loads(line)
        except ValueError:
            print(line, end="")  # the compiler, not a test
            continue
        package, test, action = event.get("Package", ""), event.get("Test", ""), event["Action"]
        key = (package, test)
        if action == "build-output":
            print(event["Output"], end="")
        elif action == "output":
            output[key].append(event["Output"])
        elif action in ("pass", "fail", "skip"):
            if test:
                if "/" in test:
                    parents.add((package, test.rsplit("/", 1)[0]))
                leaves.add((package, test, action))
                if action == "fail":
                    failed.append(key)
                if action != "fail":
                    output.pop(key, None)
            else:
                short = package.removeprefix("github.com/tidemill/tidemill/")
                if action == "fail":
                    failed.append(key)
                if action != "skip":
                    print(f"{'ok  ' if action == 'pass' else 'FAIL'} {short} {event.get('Elapsed', 0):.1f}s", flush=True)
    code = process.wait()
    for package, test, action in leaves:
        if (package, test) not in parents:
            counts[action] += 1
    for key in failed:
        text = "".join(output[key])
        print(f"\n--- FAIL {key[0]} {key[1]}\n{text}", end="")
    took = time.monotonic() - began
    print(f"{name}: {counts['pass']} passed, {counts['fail']} failed, {counts['skip']} skipped ({took:.0f} s)", flush=True)
    with open(tally, "a", encoding="utf-8") as f:
        f.write(f"{name}\t{counts['pass']}\t{counts['fail']}\t{counts['skip']}\t{took:.0f}\n")
    if counts["pass"] + counts["fail"] == 0 and code == 0:
        print(f"{name}: no test ran")
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main())
