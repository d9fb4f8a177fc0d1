"""The session's calls, over a real unix socket."""

import datetime as dt
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tidemill

SDK = Path(tidemill.__file__).resolve().parent


def test_run_knows_its_context(run):
    assert (run.id, run.task, run.pipeline, run.attempt) == ("r1", "train", "orders", 2)
    assert run.window == (dt.datetime(2024, 3, 1, tzinfo=dt.timezone.utc), dt.datetime(2024, 3, 2, tzinfo=dt.timezone.utc))
    assert run.params == {"rounds": 7}
    assert run.values["load"]["rows"] == 12


def test_metric_is_told_and_kept(run, door):
    run.metric(auc=0.75, rows=3)
    assert door.events == [{"type": "metric", "name": "auc", "value": 0.75}, {"type": "metric", "name": "rows", "value": 3.0}]
    assert run["auc"] == 0.75


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_metric_that_is_not_finite_is_refused(run, door, value):
    with pytest.raises(tidemill.Error, match="finite") as e:
        run.metric(auc=value)
    assert e.value.kind == "invalid"
    assert door.events == []


def test_log_value_progress(run, door):
    run.log("hällo\nworld", level="warning")
    run.value("best", {"at": dt.date(2024, 1, 1), "n": [1, None]})
    run.progress(1, 4, "quarter")
    assert door.events == [
        {"type": "log", "level": "warning", "message": "hällo\nworld"},
        {"type": "value", "name": "best", "value": {"at": "2024-01-01", "n": [1, None]}},
        {"type": "progress", "done": 1.0, "total": 4.0, "message": "quarter"},
    ]


def test_check_has_a_verdict_and_texts(run, door):
    run.check("rows", 0, observed=3, expected=">= 5", severity="warn")
    run.check("keys", True)
    assert door.events == [
        {"type": "check", "name": "rows", "passed": False, "observed": "3", "expected": ">= 5", "severity": "warn"},
        {"type": "check", "name": "keys", "passed": True, "observed": "", "expected": "", "severity": "error"},
    ]


def test_secret_is_asked_for_by_its_quoted_name(run, door):
    assert run.secret("api key/1") == "s3cret"
    assert door.requests[-1][:2] == ("GET", "/v1/secrets/api%20key%2F1")


def test_error_has_the_server_s_kind_and_words(run):
    with pytest.raises(tidemill.Error, match="^no secret other$") as e:
        run.secret("other")
    assert e.value.kind == "not_found"


def test_error_that_is_no_json_is_internal(run):
    with pytest.raises(tidemill.Error, match="GET /v1/broken: 502 .*no JSON") as e:
        run._session.request("GET", "/v1/broken")
    assert e.value.kind == "internal"


def test_error_while_still_sending_is_the_server_s(run):
    with pytest.raises(tidemill.Error, match="^the artifact is too big$") as e:
        run.artifact("too-big", bytes(16 << 20))
    assert e.value.kind == "invalid"


def test_unknown_type_of_event_is_refused(run):
    with pytest.raises(tidemill.Error, match="no type of event") as e:
        run._event(type="other")
    assert e.value.kind == "invalid"


def test_write_stages_rows(run, door):
    assert run.write("shop.orders", [{"id": 1, "note": "a"}, {"id": 2, "note": None}]) == 2
    columns, rows = door.staged["shop.orders"]
    assert [c.split(":")[0] for c in columns] == ["id", "note"]
    assert [(int(r[0]), r[1] or None) for r in rows] == [(1, "a"), (2, None)]


def test_write_to_a_table_that_is_not_the_task_s(run, door):
    with pytest.raises(tidemill.Error, match="does not write a/b") as e:
        run.write("a/b", [{"id": 1}])
    assert e.value.kind == "denied"
    assert door.requests[-1][1] == "/v1/out/a%2Fb"


def test_write_of_no_rows_is_refused_before_it_is_sent(run, door):
    before = len(door.requests)
    with pytest.raises(tidemill.Error, match="columns of no rows cannot be told") as e:
        run.write("shop.orders", [])
    assert e.value.kind == "invalid"
    assert len(door.requests) == before


def test_sql_sends_its_params_and_reads_typed_rows(run, door):
    door.rows = b"id:int,at:timestamp,note:string\n1,2024-03-01T00:00:00+00:00,\\e\n2,,\n"
    rows = run.sql("SELECT * FROM t WHERE at > $param_since", since=dt.date(2024, 1, 1))
    assert rows.columns == ["id", "at", "note"]
    assert len(rows) == 2
    assert rows.meta is None
    assert rows.to_dicts() == [
        {"id": 1, "at": dt.datetime(2024, 3, 1, tzinfo=dt.timezone.utc), "note": ""},
        {"id": 2, "at": None, "note": None},
    ]
    method, path, headers, body = door.requests[-1]
    assert (method, path, headers["Accept"]) == ("POST", "/v1/sql", "text/csv")
    assert json.loads(body) == {"sql": "SELECT * FROM t WHERE at > $param_since", "params": {"since": "2024-01-01"}}


def test_sql_that_is_refused(run):
    with pytest.raises(tidemill.Error, match="only a SELECT") as e:
        run.sql("DELETE FROM t")
    assert e.value.kind == "denied"


def test_rows_as_csv_are_no_arrow_table(run, door):
    door.rows = b"id:int\n1\n"
    with pytest.raises(tidemill.Error, match="pyarrow is not installed"):
        run.sql("SELECT 1").to_arrow()


def test_training_set_s_pin_goes_with_the_model(run, door):
    door.rows, door.meta = b"k:string,a:float\nx,1\n", {"pin": "p1", "features": ["a"]}
    ts = run.training_set("delay", until=run.window.end, strict=True, level=2)
    assert (ts.pin, ts.features) == ("p1", ["a"])
    assert json.loads(door.requests[-1][3]) == {"set": "delay", "strict": True, "params": {"level": 2}, "until": "2024-03-02T00:00:00+00:00"}
    run.metric(auc=0.5)
    run.artifact("m.bin", b"\x00\xff")
    run.model("delay", artifact="m.bin", depth=3)
    assert door.artifacts == {"m.bin": b"\x00\xff"}
    [model] = door.models
    assert (model["pin"], model["features"], model["metrics"], model["framework"]) == ("p1", ["a"], {"auc": 0.5}, "file")
    assert model["params"] == {"rounds": 7, "depth": 3}


def test_model_without_content_is_refused(run):
    with pytest.raises(tidemill.Error, match="give a model") as e:
        run.model("delay")
    assert e.value.kind == "invalid"


@pytest.mark.parametrize(("ref", "which"), [("delay", ""), ("delay@live", "live"), ("delay:3", "3")])
def test_load_model_by_alias_or_version(run, door, ref, which):
    m = run.load_model(ref)
    assert (m.name, m.version, m.native) == ("delay", 3, b"model's bytes")
    assert [r[1] for r in door.requests[-2:]] == [f"/v1/model/delay?which={which}", "/v1/model/delay/content?which=3"]


def start(folder: Path, body: str, socket: str | None) -> subprocess.CompletedProcess:
    """Runs a task's file as the server does: in a process of its own."""
    file = folder / "train.py"
    file.write_text(f"import tidemill\n\ndef train(run, rounds: int, rate: float = 0.5):\n    {body}\n\ntidemill.main(train)\n")
    environment = {k: v for k, v in os.environ.items() if k != "TIDEMILL_SOCKET"} | {"PYTHONPATH": str(SDK)}
    if socket:
        environment["TIDEMILL_SOCKET"] = socket
    return subprocess.run([sys.executable, str(file)], env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_main_without_a_session_needs_the_program(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("TIDEMILL", raising=False)
    ended = start(tmp_path, "pass", None)
    assert ended.returncode == 1
    assert "train.py is a task of Tidemill: put the program tidemill on the PATH, or its path into TIDEMILL" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_main_opens_runs_and_closes(door, tmp_path):
    ended = start(tmp_path, "run.value('given', [rounds, rate])", door.path)
    assert ended.returncode == 0, ended.stderr
    assert door.events == [{"type": "opened"}, {"type": "value", "name": "given", "value": [7, 0.5]}, {"type": "closed"}]


def test_main_tells_what_was_raised_and_where(door, tmp_path):
    ended = start(tmp_path, "raise ValueError('no\\nrows')", door.path)
    assert ended.returncode == 1
    assert "ValueError: no" in ended.stderr
    assert door.events[-1] == {"type": "closed", "error": "ValueError: no", "frame": "train.py:4: raise ValueError('no\\nrows')"}


def test_main_tells_of_a_missing_param(door, tmp_path):
    door.context["params"] = {"rate": 1}
    ended = start(tmp_path, "pass", door.path)
    assert ended.returncode == 1
    assert door.events[-1]["type"] == "closed"
    assert door.events[-1]["error"] == "Error: param rounds has no value and no default"


@pytest.mark.parametrize(("code", "status"), [("0", 0), ("3", 3)])
def test_main_after_an_exit(door, tmp_path, code, status):
    ended = start(tmp_path, f"raise SystemExit({code})", door.path)
    assert ended.returncode == status
    assert door.events[-1]["error"] == f"SystemExit: {code}"


def test_main_after_an_interrupt_tells_the_session_and_ends_at_once(door, tmp_path):
    # A shell that starts the tests in the background has them ignore the signal.
    body = "import os, signal, threading; signal.signal(signal.SIGINT, signal.default_int_handler); print('begun'); threading.Thread(target=threading.Event().wait).start(); os.kill(os.getpid(), signal.SIGINT)"
    ended = start(tmp_path, body, door.path)
    assert ended.returncode == 130
    assert ended.stdout == "begun\n"
    assert "KeyboardInterrupt" in ended.stderr
    assert door.events[-1]["error"] == "KeyboardInterrupt"


def test_main_tells_its_own_error_though_the_server_is_gone(door, tmp_path):
    ended = start(tmp_path, "import os; os.unlink(os.environ['TIDEMILL_SOCKET']); raise ValueError('mine')", door.path)
    assert ended.returncode == 1
    assert ended.stderr.rstrip().endswith("ValueError: mine")
    assert "FileNotFoundError" not in ended.stderr


def test_a_time_without_a_zone_is_written_as_one(run, door):
    run.write("shop.orders", [{"at": dt.datetime(2024, 3, 1, 12)}])
    columns, rows = door.staged["shop.orders"]
    if columns == ["at:localtime"]:
        assert rows == [["2024-03-01T12:00:00"]]
    else:  # Arrow says it by the column's type
        assert rows == [(dt.datetime(2024, 3, 1, 12),)]
