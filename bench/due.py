"""Measures due time → attempt started, over a minute of real schedules.

Twenty pipelines, due every 1 to 20 seconds, so that from one to twenty of them
come due at the same instant. Prints the median, the 99th percentile and the
worst, in milliseconds, over every attempt; `began` is the moment at which the
ledger recorded that the worker begins. Nothing here passes or fails.

usage: due.py TIDEMILL [SECONDS]
"""

import json
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime

PIPELINES = 20


def tidemill(binary, folder, *args):
    return json.loads(subprocess.run([binary, "--dir", folder, *args, "--output", "json"], check=True, capture_output=True).stdout)


def main(binary, seconds=60.0):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "tidemill.yaml").write_text("project: due\n")
        for n in range(1, PIPELINES + 1):
            pipeline = root / "pipelines" / f"p{n}"
            pipeline.mkdir(parents=True)
            (pipeline / "pipeline.yaml").write_text(f"schedule: {{every: {n}s}}\n")
            (pipeline / "task.yaml").write_text("command: [/bin/true]\n")
        server = subprocess.Popen([binary, "--dir", folder, "up"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(seconds)
            late = []
            for run in tidemill(binary, folder, "runs", "--most", "100000"):
                for task in tidemill(binary, folder, "show", run["id"])["tasks"]:
                    if "began" in task:
                        late.append(1000 * (instant(task["began"]) - instant(run["due"])))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()
    late.sort()
    print(f"due → started, {len(late)} attempts of {PIPELINES} pipelines      median {statistics.median(late):6.1f} ms   "
          f"p99 {late[int(0.99 * (len(late) - 1))]:.1f} ms   worst {late[-1]:.1f} ms")


def instant(text):
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
