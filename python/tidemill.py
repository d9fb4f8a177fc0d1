"""What a task of Tidemill talks to: one file, standard library only.

A task is a function whose first argument is the run::

    def train(run, rounds: int = 200):
        ts = run.training_set("delay", until=run.window.end)
        ...

    if __name__ == "__main__":
        tidemill.main(train)

Rows come as Arrow where pyarrow is installed, else as CSV with a typed header.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import csv
import datetime as dt
import decimal
import hashlib
import http.client
import importlib.util
import inspect
import io
import itertools
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import traceback
import types
import typing
from pathlib import Path
from urllib.parse import quote

__all__ = ["main", "auc", "Run", "Error", "Rows", "TrainingSet", "Features", "Window"]

_ARROW, _CSV = "application/vnd.apache.arrow.stream", "text/csv"


class Error(Exception):
    """Tidemill refused something. ``kind`` says who must act."""

    def __init__(self, message: str, kind: str = "failed"):
        super().__init__(message)
        self.kind = kind


class Window(typing.NamedTuple):
    """The half-open interval of data that the run is for, in UTC."""

    start: dt.datetime
    end: dt.datetime


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("tidemill", timeout=None)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self._path)


class _Session:
    """The attempt's door."""

    def __init__(self, path: str):
        self._path = path

    def request(self, method: str, path: str, body=None, headers: dict | None = None):
        connection = _Connection(self._path)
        try:
            connection.request(method, path, body=body, headers=headers or {}, encode_chunked=hasattr(body, "read"))
            answer = connection.getresponse()
        except (BrokenPipeError, ConnectionResetError):
            # The server refused while we were still sending: its answer says why.
            answer = connection.getresponse()
        if answer.status // 100 == 2:
            return answer
        text = answer.read()
        try:
            said = json.loads(text)
            raise Error(said["error"], said["kind"])
        except (ValueError, KeyError):
            raise Error(f"{method} {path}: {answer.status} {text[:500]!r}", "internal") from None

    def json(self, method: str, path: str, value=None):
        body = None if value is None else json.dumps(value, default=_plain).encode()
        return json.loads(self.request(method, path, body, {"Content-Type": "application/json"}).read() or b"null")


def _plain(value):
    """JSON for what json does not know: times, numpy's scalars."""
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be a value; give a number, a text, a list or a dict")


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


class Rows:
    """A table of rows that the run read. Convert it once."""

    def __init__(self, answer, arrow: bool):
        self.meta = json.loads(base64.b64decode(answer.headers.get("Tidemill-Meta", "bnVsbA==")))
        self._table, self._records = None, []
        if arrow:
            with importlib.import_module("pyarrow.ipc").open_stream(answer) as reader:
                self._table = reader.read_all()
            self.columns = self._table.column_names
        else:
            self.columns, self._records = _read_csv(answer)

    def __len__(self) -> int:
        return self._table.num_rows if self._table is not None else len(self._records)

    def to_arrow(self):
        if self._table is None:
            raise Error("pyarrow is not installed in this environment; add it to the script's dependencies", "invalid")
        return self._table

    def to_pandas(self):
        if self._table is not None:
            return self._table.to_pandas()
        return importlib.import_module("pandas").DataFrame.from_records(self._records, columns=self.columns)

    def to_polars(self):
        polars = importlib.import_module("polars")
        if self._table is not None:
            return polars.from_arrow(self._table)
        return polars.DataFrame(self._records, schema=self.columns, orient="row")

    def to_dicts(self) -> list[dict]:
        if self._table is not None:
            return self._table.to_pylist()
        return [dict(zip(self.columns, r)) for r in self._records]


def _read_csv(stream) -> tuple[list[str], list[tuple]]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader(io.TextIOWrapper(stream, encoding="utf-8", newline=""))
    header = next(reader)
    names = [h.rsplit(":", 1)[0] for h in header]
    parse = [_PARSERS.get(h.rsplit(":", 1)[1].split("(")[0], str) for h in header]
    # A NULL is the empty field. One column that is NULL makes an empty line, which the reader gives as no field at all.
    records = [tuple(None if v == "" else p("" if v == "\\e" else v) for p, v in zip(parse, row or [""])) for row in reader]
    return names, records


_PARSERS: dict[str, typing.Callable] = {
    "bool": lambda v: v == "true",
    "int": int,
    "float": float,
    "timestamp": dt.datetime.fromisoformat,
    "localtime": dt.datetime.fromisoformat,  # without a zone
    "date": dt.date.fromisoformat,
    "decimal": decimal.Decimal,
    "json": lambda v: json.loads(v.replace("\\\\", "\\")),  # a list or a dict
    "string": lambda v: v.replace("\\\\", "\\") if "\\" in v else v,
}

_TYPES = ((bool, "bool"), (int, "int"), (float, "float"), (decimal.Decimal, "decimal"), (dt.datetime, "timestamp"), (dt.date, "date"))
_TYPES += ((bytes, "bytes"), ((list, tuple, dict), "json"))


def _type_of(value) -> str:
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return "localtime"  # what it means is the contract's to say: its defaultTimezone
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "string")


def _native(value):
    """A number or an array of numpy as Python has it."""
    return value.tolist() if getattr(getattr(value, "dtype", None), "kind", "O") in "biuf" else value


def _decimal(column: str, values: list) -> str:
    """A decimal type that holds the values, and has room before the point for those of another day."""
    values = [decimal.Decimal(v) for v in values]
    if not all(v.is_finite() for v in values):
        raise Error(f"column {column} holds a decimal that is no number: give None, or floats", "invalid")
    scale = max(max(-v.as_tuple().exponent, 0) for v in values)
    whole = max(max(v.adjusted() + 1, 0) for v in values)
    if whole + scale > 38:
        raise Error(f"column {column} holds decimals that need {whole + scale} digits together, and 38 is the most: round them", "invalid")
    return f"decimal({min(max(whole, 18) + scale, 38)},{scale})"


def _write_csv(columns: list[str], records: list, known: dict[str, str] | None = None) -> bytes:
    """Rows as typed CSV. ``known`` has the types of columns that need no value to tell them."""
    kinds, records = [], [[_native(v) for v in r] for r in records]
    for i, c in enumerate(columns):
        if known and c in known:
            kinds.append(known[c])
            continue
        found = {_type_of(r[i]) for r in records if r[i] is not None}
        if found == {"int", "float"}:
            found = {"float"}
        if "decimal" in found and found <= {"int", "decimal"}:
            found = {_decimal(c, [r[i] for r in records if r[i] is not None])}
        if len(found) > 1:
            raise Error(f"column {c} mixes {' and '.join(sorted(found))}: give its values one type", "invalid")
        if "bytes" in found:
            raise Error(f"column {c} holds bytes, which only travel as Arrow: add pyarrow to the script's dependencies", "invalid")
        kinds.append(next(iter(found), "string"))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([f"{c}:{k}" for c, k in zip(columns, kinds)])
    writer.writerows([_text(v) for v in r] for r in records)
    return out.getvalue().encode()


def _text(value) -> str:
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    text = json.dumps(value, default=_plain) if isinstance(value, (dict, list, tuple)) else str(value)
    return "\\e" if text == "" else text.replace("\\", "\\\\")


_DTYPES = {"b": "bool", "i": "int", "u": "int", "f": "float", "M": "timestamp"}  # a numpy dtype's kind


def _encode(data) -> tuple[bytes, str]:
    """Rows of any common form as a body: pyarrow, pandas, polars, list of dicts."""
    if hasattr(data, "to_arrow") and not hasattr(data, "schema_overrides"):
        data = data.to_arrow()
    frame = type(data).__module__.split(".")[0] == "pandas"
    if isinstance(data, list) and not any(data) or frame and not len(data.columns):
        raise Error("the columns of no rows cannot be told: give a data frame with columns, or do not write", "invalid")
    arrow = _installed("pyarrow")
    if frame and not arrow:
        columns = [str(c) for c in data.columns]
        known = {c: _DTYPES[t.kind] for c, t in zip(columns, data.dtypes) if t.kind in _DTYPES}
        known |= {c: "localtime" for c, t in zip(columns, data.dtypes) if t.kind == "M" and not getattr(t, "tz", None)}
        records = data.astype(object).where(data.notna(), None).itertuples(index=False, name=None)
        return _write_csv(columns, list(records), known), _CSV
    if isinstance(data, list) and isinstance(data[0], dict) and not arrow:
        columns = list(dict.fromkeys(k for row in data for k in row))
        return _write_csv(columns, [[row.get(c) for c in columns] for row in data]), _CSV
    import pyarrow as pa

    if isinstance(data, list):
        data = pa.Table.from_pylist(data)
    elif frame:
        data = pa.Table.from_pandas(data, preserve_index=False)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, data.schema) as writer:
        for batch in data.to_batches(max_chunksize=65536) if hasattr(data, "to_batches") else [data]:
            writer.write_batch(batch)
    return sink.getvalue(), _ARROW


class Features(Rows):
    """The rows of a feature set that are asked about in the run's window."""

    @property
    def X(self):  # noqa: N802 - the field's usual name
        return self.to_pandas()[self.meta["features"]]


class TrainingSet(Features):
    """The rows of a feature set as they were known at each label's time, frozen under a pin."""

    def __init__(self, answer, arrow: bool):
        super().__init__(answer, arrow)
        self.pin, self.features = self.meta.get("pin", ""), self.meta["features"]

    @property
    def y(self):
        return self.to_pandas()[self.meta["label"]].astype(float).to_numpy()

    def split(self, by: str = "time", test: float = 0.2):
        """The rows as ((X, y), (X test, y test)).

        ``by="time"``: the newest share is the test, and no instant is on both sides.
        ``by="key"``: a share drawn by a hash of the key, the same each time.
        """
        if not 0 < test < 1:
            raise Error(f"test={test}: a share lies between 0 and 1", "invalid")
        frame = self.to_pandas()
        if by == "time":
            at = self.meta["at"]
            frame = frame.sort_values([at, *self.meta["key"]], kind="stable", ignore_index=True)
            border = frame[at].iloc[min(int(len(frame) * (1 - test)), len(frame) - 1)]
            chosen = frame[at] >= border
        elif by == "key":
            keys = frame[self.meta["key"]].astype(str).agg("\x1f".join, axis=1)
            chosen = keys.map(lambda k: int.from_bytes(hashlib.sha256(k.encode()).digest()[:4], "big") / 2**32) < test
        else:
            raise Error(f'by={by!r}: write "time" or "key"', "invalid")
        label = self.meta["label"]
        train, held = frame[~chosen], frame[chosen]
        return tuple((part[self.features], part[label].astype(float).to_numpy()) for part in (train, held))


class Model:
    """A model version that was loaded, with what is known of it."""

    def __init__(self, native, meta: dict):
        self.native, self.name, self.version, self.meta = native, meta["name"], meta["version"], meta

    def predict(self, X, **options):  # noqa: N803
        wanted = self.meta.get("features") or list(X.columns)
        missing = [c for c in wanted if c not in X.columns]
        if missing:
            raise Error(f"model {self.name}:{self.version} was trained with {missing}, which the feature set no longer has", "invalid")
        rows = X[wanted]
        if _framework(self.native) == "xgboost":
            rows = importlib.import_module("xgboost").DMatrix(rows)
        return self.native.predict(rows, **options) if len(rows) else []  # libraries refuse to predict nothing


def _framework(m) -> str:
    return type(m).__module__.split(".")[0]


def _booster(m):
    """The library's own model inside a wrapper for scikit-learn."""
    return m.get_booster() if hasattr(m, "get_booster") else getattr(m, "booster_", m)


def _dump(m) -> tuple[str, bytes]:
    """A model as the file that its own library reads again. Nothing is pickled."""
    framework = _framework(m)
    if framework == "lightgbm":
        return "txt", _booster(m).model_to_string().encode()
    if framework == "xgboost":
        return "ubj", bytes(_booster(m).save_raw("ubj"))
    remedy = "save it yourself with run.artifact(NAME, BYTES) and give run.model(..., artifact=NAME)"
    raise Error(f"a model of {framework} has no file format that other versions can read; {remedy}", "invalid")


def _load(framework: str, content: bytes):
    if framework == "lightgbm":
        return importlib.import_module("lightgbm").Booster(model_str=content.decode())
    if framework == "xgboost":
        return importlib.import_module("xgboost").Booster(model_file=bytearray(content))
    return content


def _contributions(m, X):  # noqa: N803
    """What each feature added to each prediction's margin, and the bias, by the library's own exact method."""
    native = m.native if isinstance(m, Model) else m
    if _framework(native) == "lightgbm":
        return _booster(native).predict(X, pred_contrib=True)
    if _framework(native) == "xgboost":
        return _booster(native).predict(importlib.import_module("xgboost").DMatrix(X), pred_contribs=True)
    raise Error(f"no exact contributions for a model of {_framework(native)}", "invalid")


class Run:
    """The attempt that this process is."""

    def __init__(self, session: _Session):
        self._session = session
        c = session.json("GET", "/v1/context")
        self.id, self.task, self.pipeline, self.attempt = c["run"], c["task"], c["pipeline"], c["attempt"]
        self.window = Window(*(dt.datetime.fromisoformat(c["window"][side]) for side in ("start", "end")))
        self.params: dict = c.get("params") or {}
        self.values: dict = c.get("values") or {}
        self._arrow = _installed("pyarrow") and not c.get("csv")
        self._metrics: dict[str, float] = {}
        self._importances: list[dict] = []
        self._pin: str | None = None
        self._features: list[str] = []

    def __getitem__(self, metric: str) -> float:
        return self._metrics[metric]

    def _rows(self, kind, path: str, request: dict):
        accept = _ARROW if self._arrow else _CSV
        body = json.dumps(request, default=_plain).encode()
        return kind(self._session.request("POST", path, body, {"Accept": accept, "Content-Type": "application/json"}), self._arrow)

    def _put(self, path: str, data):
        body, content = _encode(data)
        return json.loads(self._session.request("PUT", path, body, {"Content-Type": content}).read() or b"null")

    def _event(self, **event) -> None:
        self._session.json("POST", "/v1/events", event)

    def sql(self, query: str, **params) -> Rows:
        """The rows of a SELECT on the warehouse. ``$param_x`` is bound to ``x=``, ``$window_start`` to the window's."""
        return self._rows(Rows, "/v1/sql", {"sql": query, "params": params})

    def write(self, table: str, data) -> int:
        """Stages rows for a table of the task's ``writes``. They show when the task has succeeded."""
        return self._put(f"/v1/out/{quote(table, safe='')}", data)["rows"]

    def training_set(self, name: str, until: dt.datetime | None = None, strict: bool = False, **params) -> TrainingSet:
        """A feature set joined to its labels by what was known at each label's time; pinned. ``until`` cuts by the
        moment a label became known. ``strict`` leaves out what is only simulated to have been known."""
        request = {"set": name, "strict": strict, "params": params} | ({"until": until} if until else {})
        ts = self._rows(TrainingSet, "/v1/training-set", request)
        self._pin, self._features = ts.pin, ts.features
        return ts

    def features(self, name: str, **params) -> Features:
        """A feature set's spine rows whose instant lies in the run's window, with what is known for each."""
        return self._rows(Features, "/v1/features", {"set": name, "params": params})

    def metric(self, **metrics: float) -> None:
        for name, v in metrics.items():
            v = float(v)
            if not math.isfinite(v):
                raise Error(f"metric {name} is {v}: a metric is a finite number", "invalid")
            self._metrics[name] = v
            self._event(type="metric", name=name, value=v)

    def value(self, name: str, value) -> None:
        """A small value that later tasks of the run find in ``run.values[TASK][NAME]``."""
        self._event(type="value", name=name, value=value)

    def check(self, name: str, passed: bool, observed: str = "", expected: str = "", severity: str = "error") -> None:
        """A verdict. A failed one of severity error fails the task: nothing it wrote becomes visible."""
        self._event(type="check", name=name, passed=bool(passed), observed=str(observed), expected=str(expected), severity=severity)

    def log(self, message: str, level: str = "info") -> None:
        self._event(type="log", level=level, message=message)

    def progress(self, done: float, total: float, message: str = "") -> None:
        self._event(type="progress", done=float(done), total=float(total), message=message)

    def secret(self, name: str) -> str:
        """A secret that the task's block lists. It is masked in logs from now on."""
        return self._session.json("GET", f"/v1/secrets/{quote(name, safe='')}")["value"]

    def artifact(self, name: str, content: bytes) -> None:
        self._session.request("PUT", f"/v1/artifacts/{quote(name, safe='')}", content).read()

    def explain(self, m, X, sample: int = 2000) -> None:  # noqa: N803
        """How much each feature moves the predictions: mean of the absolute contributions. Kept with the next ``run.model``."""
        numpy = importlib.import_module("numpy")
        if len(X) > sample:
            X = X.sample(sample, random_state=0)
        size = numpy.abs(numpy.asarray(_contributions(m, X))[:, :-1])
        means = zip(X.columns, size.mean(axis=0), size.std(axis=0))
        found = [{"feature": str(f), "mean_abs": float(m), "std": float(s), "n": len(X), "method": "exact contributions"} for f, m, s in means]
        self._importances = sorted(found, key=lambda i: -i["mean_abs"])

    def model(self, name: str, m=None, artifact: str | None = None, **params) -> None:
        """Records a version of a model with its pin, metrics and importances, once the task has succeeded."""
        if m is None and artifact is None:
            raise Error("give a model, or the name of an artifact that holds one", "invalid")
        framework, digest = "file", ""
        if m is not None:
            ending, content = _dump(m)
            framework, artifact, digest = _framework(m), f"{name}.{ending}", hashlib.sha256(content).hexdigest()
            self.artifact(artifact, content)
        version = {"name": name, "artifact": artifact, "digest": digest, "framework": framework, "pin": self._pin or "", "features": self._features}
        version |= {"params": {**self.params, **params}, "metrics": self._metrics, "importances": self._importances}
        self._session.json("POST", "/v1/model", version)

    def load_model(self, ref: str) -> Model:
        """``NAME``, ``NAME@ALIAS`` or ``NAME:VERSION``."""
        name, _, which = ref.partition("@" if "@" in ref else ":")
        path = f"/v1/model/{quote(name, safe='')}"
        meta = self._session.json("GET", f"{path}?which={quote(which, safe='')}")
        content = self._session.request("GET", f"{path}/content?which={meta['version']}").read()
        return Model(_load(meta.get("framework", ""), content), meta)

    def predictions(self, table: str, f: Features, m: Model, scores, contributions: bool = False) -> int:
        """Stages one row per prediction, and one per prediction and feature in ``<table>__contributions``."""
        frame = f.to_pandas()
        scores = importlib.import_module("numpy").asarray(scores, dtype=float)
        if len(scores) != len(frame):
            raise Error(f"{len(scores)} scores for {len(frame)} rows", "invalid")
        key, at = f.meta["key"], f.meta["at"]
        ids = [_prediction_id(table, m, k) for k in zip(*(frame[c] for c in [*key, at]))]
        out = frame[[*key, at]].copy()
        out["prediction_id"], out["model"], out["model_version"], out["prediction"] = ids, m.name, m.version, scores
        path = f"/v1/predictions/{quote(table, safe='')}"
        rows = self._put(path + "/rows", out)["rows"]
        if contributions:
            self._contributions(path, frame, f, m, ids, key, at)
        return rows

    def _contributions(self, path, frame, f, m, ids, key, at) -> None:
        numpy, pandas = importlib.import_module("numpy"), importlib.import_module("pandas")
        names = m.meta.get("features") or f.meta["features"]
        X = frame[names]  # noqa: N806
        c = numpy.asarray(_contributions(m, X)) if len(X) else numpy.zeros((0, len(names) + 1))
        parts = []
        for i, name in enumerate([*names, "(bias)"]):
            part = frame[[*key, at]].copy()
            part["prediction_id"], part["feature"] = ids, name
            part["value"] = X[name].astype(float).to_numpy() if name != "(bias)" else numpy.nan
            part["contribution"] = c[:, i]
            parts.append(part)
        self._put(path + "/contributions", pandas.concat(parts, ignore_index=True))


def _prediction_id(table: str, m: Model, key: tuple) -> str:
    """The same question to the same model version always has the same id."""
    return hashlib.sha256("\x1f".join([table, m.name, str(m.version), *map(_key_text, key)]).encode()).hexdigest()[:16]


def _key_text(value) -> str:
    value = value.astimezone(dt.timezone.utc) if getattr(value, "tzinfo", None) is not None else value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def auc(y, scores) -> float:
    """Area under the ROC curve: in how many of the pairs the positive has the higher score, ties counting half (Mann-Whitney U)."""
    pairs = sorted(zip((float(s) for s in scores), (bool(v) for v in y)))
    positives = sum(v for _, v in pairs)
    negatives = len(pairs) - positives
    if positives == 0 or negatives == 0:
        raise Error("the AUC needs both kinds of label", "failed")
    ranks, seen = 0.0, 0
    for _, tied in itertools.groupby(pairs, key=lambda pair: pair[0]):
        tied = [v for _, v in tied]
        ranks += (2 * seen + len(tied) + 1) / 2 * sum(tied)
        seen += len(tied)
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def _arguments(function, params: dict) -> dict:
    """The params that the function takes, with the types that it names."""
    known = {}
    hints = typing.get_type_hints(function)
    for name, p in list(inspect.signature(function).parameters.items())[1:]:
        if name in params:
            known[name] = _as(hints.get(name, str), params[name])
        elif p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            raise Error(f"param {name} has no value and no default", "invalid")
    return known


def _as(kind, value):
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):  # int | None
        return None if value is None else _as(next(k for k in typing.get_args(kind) if k is not type(None)), value)
    return value == "true" if kind is bool and isinstance(value, str) else (origin or kind)(value)


def _by_hand(args: list[str]) -> None:
    """Opens a session for a script outside of any run: what it writes is kept as files. With ``--commit`` it becomes a run."""
    program = os.environ.get("TIDEMILL") or shutil.which("tidemill")
    if program is None:
        sys.exit(f"{args[0]} is a task of Tidemill: put the program tidemill on the PATH, or its path into TIDEMILL")
    if "--commit" in args:
        os.execv(program, [program, "internal-scratch", *args])
    helper = subprocess.Popen([program, "internal-scratch", *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if not (line := helper.stdout.readline()):
        sys.exit(helper.wait())
    os.environ.update(pair.split("=", 1) for pair in json.loads(line))
    atexit.register(helper.wait)  # it tells what was kept


def main(function) -> None:
    """Runs a task's function. Called at the end of the task's file."""
    if "TIDEMILL_SOCKET" not in os.environ:
        _by_hand(sys.argv)
    session = _Session(os.environ["TIDEMILL_SOCKET"])
    session.json("POST", "/v1/events", {"type": "opened"})
    run = Run(session)
    try:
        function(run, **_arguments(function, run.params))
    except BaseException as e:  # noqa: BLE001 - every end is told, then goes on as it was
        with contextlib.suppress(OSError):  # the server may be gone: the script's own error matters more
            session.json("POST", "/v1/events", {"type": "closed", "error": _first_line(e), "frame": _user_frame(e)})
        if isinstance(e, SystemExit) and not e.code:
            return
        traceback.print_exception(e)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130) if isinstance(e, KeyboardInterrupt) else sys.exit(e.code if isinstance(e, SystemExit) and isinstance(e.code, int) else 1)
    session.json("POST", "/v1/events", {"type": "closed"})


def _first_line(e: BaseException) -> str:
    text = str(e).strip().splitlines()
    return f"{type(e).__name__}: {text[0]}" if text else type(e).__name__


def _user_frame(e: BaseException) -> str:
    """The innermost line of the user's own code: neither ours nor a library's."""
    here, best = Path(__file__).resolve(), ""
    for frame in traceback.extract_tb(e.__traceback__):
        file = Path(frame.filename)
        if file.resolve() != here and "site-packages" not in file.parts and not frame.filename.startswith("<"):
            best = f"{file.name}:{frame.lineno}: {frame.line}"
    return best
