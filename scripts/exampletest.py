#!/usr/bin/env python3
"""Holds the flights example to its promises. usage: exampletest.py FOLDER"""

import glob
import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

TIDEMILL, FOLDER = os.environ["TIDEMILL"], Path(sys.argv[1])
passed, failed = 0, 0


def check(name: str, good: bool, detail: object = "") -> None:
    global passed, failed
    if good:
        passed += 1
        print(f"ok   {name}", flush=True)
    else:
        failed += 1
        print(f"FAIL {name}: {detail}", flush=True)


def run(*args, code=0):
    done = subprocess.run([TIDEMILL, "--dir", str(FOLDER), *args], capture_output=True, text=True)
    if code is not None and done.returncode != code:
        sys.exit(f"tidemill {' '.join(args)} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def ask(*args):
    return json.loads(run(*args, "--output", "json").stdout)


def demo() -> int:
    with open(FOLDER / "demo.log", "w") as log:
        done = subprocess.run(["scripts/demo.sh"], cwd=FOLDER, stdout=log, stderr=subprocess.STDOUT)
    if done.returncode:
        print((FOLDER / "demo.log").read_text()[-4000:])
    return done.returncode


def lines(path: str) -> int:
    opener = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt") as f:
        n = sum(1 for _ in f)
    return n - 1 if ".csv" in path else n


def main() -> None:
    began = time.monotonic()
    check("the demo ends with 0", demo() == 0)
    digests = ask("digest")

    # Every landed window: read = staged + quarantined + dropped = lines of its feed.
    loads = ask("sql", "--most", "0", """SELECT "table" AS t, strftime(window_start AT TIME ZONE 'America/New_York', '%Y-%m-%d') AS day,
        evidence FROM _tidemill.table_commit WHERE "table" IN ('raw.schedule', 'raw.flights', 'raw.weather')""")
    wrong = []
    for one in loads:
        e = json.loads(one["evidence"])
        found = glob.glob(str(FOLDER / "landing" / one["t"].removeprefix("raw.") / (one["day"] + ".*")))
        n = lines(found[0]) if len(found) == 1 else -1
        if not e.get("read", 0) == e.get("staged", 0) + e.get("quarantined", 0) + e.get("dropped", 0) == n:
            wrong.append((one["t"], one["day"], n, e))
    check(f"{len(loads)} landed windows: read = staged + quarantined + dropped = lines of the feed", not wrong and len(loads) == 360, wrong[:3])

    check("the demo again ends with 0", demo() == 0)
    check("and leaves every table as it was", ask("digest") == digests)
    check("the project's unit tests pass", run("test", code=None).returncode == 0)
    check("reproduce says equal", ask("reproduce", "delay:1")["equal"])

    some = ask("sql", "SELECT prediction_id FROM score.predictions ORDER BY prediction DESC LIMIT 1")[0]["prediction_id"]
    raw = [l for l in ask("explain", "prediction", some)["sources"] if l["table"] == "raw.flights"]
    check("a prediction is explained down to the file and its contract", raw and all(l["sources"] and l["contract"] == "flights@1.0.0" for l in raw), raw)

    # What the pages show of the finished demo, typed by a reader in a copy of it.
    copy = FOLDER.parent / "read"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("*.sock", "*.lock"))
    read = subprocess.run(["go", "test", "-count=1", "-run", "TestEveryDocumentedCommandRuns", "./internal/cli", "-demo", str(copy.resolve())],
                          cwd=Path(__file__).resolve().parent.parent, capture_output=True, text=True)
    check("every command of the pages runs", read.returncode == 0, (read.stdout + read.stderr)[-3000:])
    shutil.rmtree(copy)

    # A correction: the feed of a day comes again with other delays.
    feed = glob.glob(str(FOLDER / "landing/flights/2013-02-10.csv*"))[0]
    with gzip.open(feed, "rt") as f:
        header, *rows = f.read().splitlines()
    at = header.split(",").index("arr_delay")
    changed = []
    for row in rows:
        cells = row.split(",")
        if cells[at] not in ("", "NA"):
            cells[at] = str(int(float(cells[at])) + 90)
        changed.append(",".join(cells))
    with gzip.open(feed, "wt") as f:
        f.write("\n".join([header, *changed]) + "\n")
    run("run", "land", "--window", "2013-02-10", "--task", "flights")
    run("run", "features", "--window", "2013-02-10")
    again = ask("reproduce", "delay:1")
    check("after corrections reproduce still says equal", again["equal"], again)
    check("and a new pin says what changed", any(t["rows"] > 0 and t.get("commits") for t in again.get("today") or []), again.get("today"))

    # A file broken on purpose: refused, told, mended, resolved.
    feed = glob.glob(str(FOLDER / "landing/weather/2013-03-03.jsonl*"))[0]
    good = Path(feed).read_bytes()
    with gzip.open(feed, "wt") as f:
        f.write('{"time_hour": "2013-03-03T05:00:00Z", "origin": \n')
    broken = run("run", "land", "--window", "2013-03-03", "--task", "weather", code=None)
    check("a broken feed is refused with its place", broken.returncode == 3 and "2013-03-03.jsonl" in broken.stderr, broken.stderr)
    incidents = ask("incidents")
    check("an incident names the task and its owner", any(i["pipeline"] == "land" and i["task"] == "weather" and i.get("owner") == "airline-data" for i in incidents), incidents)
    Path(feed).write_bytes(good)
    run("run", "land", "--window", "2013-03-03", "--task", "weather")
    check("mended and run again, it is resolved", not any(i["task"] == "weather" for i in ask("incidents")))

    history = ask("verify-history")
    check("the history is clean", all(f["violations"] == 0 for f in history), history)
    with open(os.environ["TALLY"], "a") as f:
        f.write(f"example\t{passed}\t{failed}\t0\t{time.monotonic() - began:.0f}\n")
    print(f"example: {passed} passed, {failed} failed ({time.monotonic() - began:.0f} s)")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
