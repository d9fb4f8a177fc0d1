#!/usr/bin/env python3
"""What came of the demo, in words. Asks the running server; changes nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

TIDEMILL = os.environ.get("TIDEMILL", str(Path(__file__).resolve().parents[3] / "bin" / "tidemill"))


def ask(*args):
    done = subprocess.run([TIDEMILL, *args, "--output", "json"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"tidemill {' '.join(args)}: {done.stderr}")
    return json.loads(done.stdout)


def sql(text):
    return ask("sql", "--most", "0", text)


def main() -> None:
    loads = sql("""
        SELECT c."table" AS name, sum(CAST(json_extract(evidence, '$.read') AS BIGINT)) AS read,
               sum(CAST(json_extract(evidence, '$.staged') AS BIGINT)) AS staged,
               sum(CAST(json_extract(evidence, '$.quarantined') AS BIGINT)) AS quarantined,
               sum(CAST(json_extract(evidence, '$.dropped') AS BIGINT)) AS dropped
        FROM _tidemill.table_commit c WHERE c."table" LIKE 'raw.%' GROUP BY ALL ORDER BY read DESC""")
    print("== what came of it")
    print(f"{'loaded':14}{'read':>10} = {'staged':>10} + {'quarantined':>11} + {'dropped':>7}")
    wrong = []
    for t in loads:
        print(f"{t['name']:14}{t['read']:>10,} = {t['staged']:>10,} + {t['quarantined']:>11,} + {t['dropped']:>7,}")
        if t["read"] != t["staged"] + t["quarantined"] + t["dropped"]:
            wrong.append(t["name"])

    reasons = sorted(ask("quarantine"), key=lambda r: -r["rows"])
    print(f"\nset aside: {sum(r['rows'] for r in reasons):,} rows; the commonest reasons:")
    for r in reasons[:3]:
        print(f"  {r['rows']:>5,}  {r['table']}  {r['rule']}, for example {r['value']!r} at {r['example']}")

    features = sql("""SELECT sum("rows") AS n, count(DISTINCT "table") AS t FROM _tidemill.table_commit WHERE "table" LIKE 'features.%'""")[0]
    print(f"\nfeatures: {features['n']:,} values in {features['t']} tables, each with the moment it became known")

    model = ask("models")[0]
    metrics = model["metrics"]
    leak = ask("features", "leakage", "delay", "--known-at", "reported_at")
    print(f"\nmodel {model['name']}:{model['version']} ({', '.join(model.get('aliases') or [])}), pin {model['pin']}")
    for k in leak["metrics"]:
        print(f"  AUC {k['metrics']['auc']:.3f}  {k['join']}")
    print(f"  {leak['leaked']:,} of {leak['labels']:,} labels would have seen a value that nobody had yet")

    made = sql("SELECT count(*) AS n FROM score.predictions")[0]["n"]
    print(f"\npredictions: {made:,} for April; by week, once the flights had landed:")
    for w in sql("SELECT week, flights, late_share, mean_prediction, auc FROM actuals.by_week ORDER BY week"):
        print(f"  {w['week']}  {w['flights']:>6,} flights, {w['late_share']:.1%} late, predicted {w['mean_prediction']:.1%}, AUC {w['auc']:.3f}")

    late = sql("""SELECT p.prediction_id AS id FROM score.predictions p JOIN raw.flights f USING (time_hour, carrier, flight)
                  WHERE f.arr_delay > 120 ORDER BY p.prediction DESC, p.prediction_id LIMIT 1""")[0]["id"]
    story = subprocess.run([TIDEMILL, "explain", "prediction", late], capture_output=True, text=True)
    print("\none late flight and its story (tidemill explain prediction " + late + "):")
    print("\n".join("  " + line for line in story.stdout.splitlines()[:9]))

    again = subprocess.run([TIDEMILL, "reproduce", f"{model['name']}:{model['version']}"], capture_output=True, text=True)
    print("\n" + (again.stdout.strip() or again.stderr.strip()))
    open_incidents = [i for i in ask("incidents") if i["severity"] != "warning"]

    seconds = (time.time_ns() - int(sys.argv[1])) / 1e9
    print(f"\n{seconds:.0f} seconds. The data lie in examples/flights/.tidemill (warehouse.duckdb); begin anew by removing that folder.")
    print("Next, in examples/flights: ../../bin/tidemill sql 'SELECT * FROM actuals.by_week'   ../../bin/tidemill quarantine show raw.flights")
    print("                           ../../bin/tidemill runs   ../../bin/tidemill why land   ../../bin/tidemill up")
    if wrong or again.returncode or story.returncode or open_incidents or not made:
        sys.exit(f"not all is green: {wrong} {again.stderr} {story.stderr} {open_incidents}")


if __name__ == "__main__":
    main()
