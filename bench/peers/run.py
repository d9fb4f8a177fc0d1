"""Runs today's tools beside Tidemill on this machine and prints medians and ratios.

A chain of 40 and a fan-out of 200 `/bin/true`: Airflow (LocalExecutor, PostgreSQL),
Dagster (its multiprocess executor; the chain alone), Tidemill. A CSV file of a million
rows into DuckDB: dlt, Tidemill with a contract of nine rules and without.
The tools take turns, so that a busy moment harms all of them. Airflow's figure is
its own record of the run, from its start to its end, with every service warm;
those of the others are whole commands, from nothing to the end of the process.
Nothing here passes or fails. Needs PostgreSQL's server programs.

usage: run.py TIDEMILL CACHE [RUNS]
"""

import os
import pathlib
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
PACKAGES = {
    "airflow": ["apache-airflow==3.3.2", "apache-airflow-providers-standard", "psycopg2-binary", "asyncpg"],
    "dagster": ["dagster==1.13.29"],
    "dlt": ["dlt[duckdb]==1.31.0", "pyarrow"],
}
CONTRACT = """apiVersion: v3.1.0
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
  - {name: customer, logicalType: string, required: true, logicalTypeOptions: {minLength: 1, maxLength: 24, pattern: "^[0-9a-f]+$"}}
  - {name: amount, logicalType: number, required: true, logicalTypeOptions: {minimum: 0}}
"""


def environment(cache, name):
    """A Python environment with a peer in it, made once."""
    folder = cache / name
    if not (folder / "done").exists():
        print(f"installing {', '.join(PACKAGES[name])}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "-q", "install", *PACKAGES[name]], check=True)
        (folder / "done").touch()
    return folder / "bin"


def command(*args, env=None, cwd=None):
    """Seconds and peak memory (MiB, of the largest process) of a whole command."""
    before = time.monotonic()
    process = subprocess.Popen([str(a) for a in args], env={**os.environ, **(env or {})}, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{args}: status {status}\n{said.decode()[-2000:]}")
    return time.monotonic() - before, usage.ru_maxrss / 1024


class Airflow:
    """A warm Airflow with its own PostgreSQL."""

    def __init__(self, bin, work):
        self.bin, self.home = bin, work / "airflow"
        (self.home / "dags").mkdir(parents=True)
        shutil.copy(HERE / "airflow_dags.py", self.home / "dags")
        self.database = Postgres(work / "pg")
        url = f"postgresql+psycopg2://postgres@127.0.0.1:{self.database.port}/postgres"
        port = free_port()
        self.env = {
            **os.environ, "PATH": f"{bin}:{os.environ['PATH']}", "AIRFLOW_HOME": str(self.home), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor", "AIRFLOW__CORE__PARALLELISM": "8", "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__API__PORT": str(port), "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "true", "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": "200",
        }
        self.log = open(work / "airflow.log", "w")
        self.parts = []
        self.call("db", "migrate")
        for part in ("api-server", "scheduler", "dag-processor"):
            self.parts.append(subprocess.Popen([bin / "airflow", part], env=self.env, stdout=self.log, stderr=self.log, start_new_session=True))
        for _ in range(180):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=2).read()
                if self.database.ask("SELECT count(*) FROM dag WHERE dag_id IN ('chain', 'wide')") == "2":
                    break
            except OSError:
                pass
            time.sleep(1)
        for dag in ("chain", "wide"):
            self.call("dags", "unpause", dag, "--yes")

    def call(self, *args):
        return subprocess.run([self.bin / "airflow", *args], env=self.env, check=True, stdout=subprocess.PIPE, stderr=self.log, text=True).stdout

    def run(self, dag, name):
        self.call("dags", "trigger", dag, "--run-id", name)
        while True:
            row = self.database.ask(f"SELECT state, extract(epoch FROM end_date - start_date) FROM dag_run WHERE run_id = '{name}'")
            state, _, seconds = row.partition("|")
            if state in ("success", "failed"):
                return float(seconds)
            time.sleep(0.5)

    def close(self):
        for part in self.parts:
            try:
                os.killpg(part.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            part.wait()
        self.database.close()


class Postgres:
    def __init__(self, folder):
        self.programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.folder, self.port = folder, free_port()
        folder.mkdir()
        self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if self.user:
            shutil.chown(folder, "postgres", "postgres")
            for parent in list(folder.parents)[:2]:
                parent.chmod(0o755)
        self.call("initdb", "-D", folder / "data", "-U", "postgres", "-A", "trust")
        self.call("pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", f"-p {self.port} -k {folder} -c max_connections=300", "start")

    def call(self, program, *args):
        subprocess.run([*self.user, self.programs / program, *args], check=True, stdout=subprocess.DEVNULL)

    def ask(self, sql):
        args = [self.programs / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-XAtc", sql]
        return subprocess.run(args, check=True, capture_output=True, text=True).stdout.strip()

    def close(self):
        self.call("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")


def free_port():
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tasks(folder, count, chained):
    pipeline = folder / "pipelines/bench"
    pipeline.mkdir(parents=True)
    (folder / "tidemill.yaml").write_text("project: bench\n")
    for n in range(count):
        after = f"after: [t{n - 1}]\n" if chained and n else ""
        (pipeline / f"t{n}.yaml").write_text(f"command: [/bin/true]\n{after}")
    return folder


def loads(folder, file, contract):
    (folder / "pipelines/bench").mkdir(parents=True)
    (folder / "contracts").mkdir()
    (folder / "landing").mkdir()
    os.link(file, folder / "landing/rows.csv")
    (folder / "tidemill.yaml").write_text("project: bench\nstores:\n  landing: {kind: files, path: ./landing}\n")
    (folder / "pipelines/bench/rows.yaml").write_text('move: {from: "landing:rows.csv", to: raw.rows, mode: replace}\n')
    if contract:
        (folder / "contracts/rows.odcs.yaml").write_text(CONTRACT)
    return folder


def million(path):
    draw = random.Random(1)
    with open(path, "w") as f:
        f.write("id,at,customer,amount\n")
        for n in range(1_000_000):
            f.write(f"{n},2026-01-05T{draw.randrange(24):02}:{draw.randrange(60):02}:00Z,{draw.getrandbits(64):x},{draw.random() * 1000:.2f}\n")
    return path


def table(title, contenders, runs):
    """Lets the contenders take turns; the first one is what the others are divided by."""
    taken = {name: [] for name in contenders}
    for turn in range(runs + 1):
        for name, run in contenders.items():
            result = run(turn)
            if turn > 0:  # the first is a warm-up
                taken[name].append(result if isinstance(result, tuple) else (result, 0.0))
    ours = statistics.median(s for s, _ in next(iter(taken.values())))
    print(title)
    for name, results in taken.items():
        seconds = sorted(s for s, _ in results)
        peak = max(p for _, p in results)
        memory = f"   peak {peak:5.0f} MiB" if peak else ""
        print(f"  {name:42} median {statistics.median(seconds):7.2f} s   {seconds[0]:.2f}–{seconds[-1]:.2f} s   × {statistics.median(seconds) / ours:6.1f}{memory}", flush=True)


def main(tidemill, cache, runs="3"):
    tidemill, cache, runs = pathlib.Path(tidemill).resolve(), pathlib.Path(cache).resolve(), int(runs)
    bins = {name: environment(cache, name) for name in PACKAGES}
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        home = work / "dagster"
        home.mkdir()
        file = million(work / "million.csv")
        airflow = Airflow(bins["airflow"], work)
        try:
            for title, count in (("chain", 40), ("wide", 200)):
                ours = tasks(work / title, count, title == "chain")
                jobs = [bins["dagster"] / "dagster", "job", "execute", "-f", HERE / "dagster_jobs.py", "-j", title]
                contenders = {
                    "Tidemill": lambda _: command(tidemill, "--dir", ours, "run", "bench"),
                    "Airflow 3.3.2, its own record": lambda turn: airflow.run(title, f"{title}{turn}"),
                }
                if title == "chain":  # its fan-out takes minutes
                    contenders["Dagster 1.13.29"] = lambda _: command(*jobs, env={"DAGSTER_HOME": str(home)})
                table(f"{title} of {count} × /bin/true", contenders, runs)
        finally:
            airflow.close()
        bare, checked = loads(work / "bare", file, False), loads(work / "checked", file, True)
        table(f"CSV of 1,000,000 rows, {file.stat().st_size / 1e6:.0f} MB, into DuckDB", {
            "Tidemill, types inferred": lambda _: command(tidemill, "--dir", bare, "run", "bench"),
            "Tidemill, contract of nine rules": lambda _: command(tidemill, "--dir", checked, "run", "bench"),
            "dlt 1.31.0, Arrow": lambda _: command(bins["dlt"] / "python", HERE / "dlt_load.py", file, work),
        }, runs)


if __name__ == "__main__":
    main(*sys.argv[1:])
