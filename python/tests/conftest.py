"""The session's door as the tests see it: the routes of internal/session over a real unix socket."""

import base64
import csv
import http.server
import importlib.util
import io
import json
import socketserver
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import tidemill  # noqa: E402

HAS_ARROW = importlib.util.find_spec("pyarrow") is not None
HAS_FRAMES = HAS_ARROW and importlib.util.find_spec("pandas") is not None

# Without pandas and pyarrow there is nothing that the tests of data frames could test; the same of polars.
collect_ignore = [] if HAS_FRAMES else ["test_frames.py"]
if not HAS_FRAMES or importlib.util.find_spec("polars") is None:
    collect_ignore.append("test_polars.py")

EVENTS = {"opened", "closed", "log", "metric", "value", "check", "progress"}


class Refusal(Exception):
    def __init__(self, status: int, kind: str, message: str):
        super().__init__(message)
        self.status, self.kind = status, kind


class Door(socketserver.ThreadingUnixStreamServer):
    """Answers one attempt, and keeps what the attempt said."""

    daemon_threads = True

    def __init__(self, path: str):
        super().__init__(path, _Handler)
        self.path = path
        self.context = {
            "v": 1,
            "project": "shop",
            "environment": "dev",
            "pipeline": "orders",
            "task": "train",
            "run": "r1",
            "attempt": 2,
            "window": {"start": "2024-03-01T00:00:00Z", "end": "2024-03-02T00:00:00Z"},
            "timezone": "UTC",
            "live": True,
            "params": {"rounds": 7},
            "values": {"load": {"rows": 12}},
            "writes": ["shop.orders"],
            "csv": True,
        }
        self.secrets = {"api key/1": "s3cret"}
        self.writes = ["shop.orders"]
        self.rows = b""  # what the routes of rows answer with
        self.meta = None
        self.events: list[dict] = []
        self.requests: list[tuple[str, str, dict, bytes]] = []
        self.staged: dict[str, tuple[list[str], list]] = {}
        self.artifacts: dict[str, bytes] = {}
        self.models: list[dict] = []


def _decoded(content: str, body: bytes) -> tuple[list[str], list]:
    """The header and the rows of a body, read by other code than the SDK's."""
    if content == "text/csv":
        lines = list(csv.reader(io.StringIO(body.decode(), newline="")))
        if not lines:
            raise Refusal(422, "invalid", "typed CSV without a header: EOF")
        return lines[0], lines[1:]
    import pyarrow.ipc

    table = pyarrow.ipc.open_stream(body).read_all()
    return table.column_names, [tuple(r.values()) for r in table.to_pylist()]


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):  # noqa: N802
        self._serve()

    do_POST = do_PUT = do_GET

    def _serve(self):
        if urlsplit(self.path).path == "/v1/artifacts/too-big":
            # Refused before the body was read, as a server may.
            self.close_connection = True
            return self._json(422, {"error": "the artifact is too big", "kind": "invalid"})
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        try:
            self._route(body)
        except Refusal as r:
            self._json(r.status, {"error": str(r), "kind": r.kind})

    def _json(self, status: int, value):
        self._bytes(status, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _bytes(self, status: int, body: bytes, headers: dict):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _route(self, body: bytes):
        door = self.server
        parts = [unquote(p) for p in urlsplit(self.path).path.split("/")[2:]]
        match self.command, parts:
            case "GET", ["context"]:
                return self._json(200, door.context)
            case "POST", ["events"]:
                event = json.loads(body)
                if event["type"] not in EVENTS:
                    raise Refusal(422, "invalid", f"no type of event {event['type']}")
                door.events.append(event)
                return self._json(200, {})
            case "POST", ["sql" | "training-set" | "features"]:
                if parts == ["sql"] and "DELETE" in json.loads(body)["sql"]:
                    raise Refusal(403, "denied", "only a SELECT may be asked")
                headers = {"Content-Type": self.headers["Accept"]}
                if door.meta is not None:
                    headers["Tidemill-Meta"] = base64.b64encode(json.dumps(door.meta).encode()).decode()
                return self._bytes(200, door.rows, headers)
            case "PUT", ["out", table]:
                if table not in door.writes:
                    raise Refusal(403, "denied", f"the task does not write {table}")
                door.staged[table] = _decoded(self.headers["Content-Type"], body)
                return self._json(200, {"rows": len(door.staged[table][1])})
            case "PUT", ["predictions", table, part]:
                door.staged[f"{table}/{part}"] = _decoded(self.headers["Content-Type"], body)
                return self._json(200, {"rows": len(door.staged[f"{table}/{part}"][1])})
            case "PUT", ["artifacts", name]:
                door.artifacts[name] = body
                return self._json(200, {})
            case "POST", ["model"]:
                door.models.append(json.loads(body))
                return self._json(200, {})
            case "GET", ["model", name]:
                return self._json(200, {"name": name, "version": 3, "framework": "file", "features": ["a"]})
            case "GET", ["model", _, "content"]:
                return self._bytes(200, b"model's bytes", {})
            case "GET", ["secrets", name]:
                if name not in door.secrets:
                    raise Refusal(404, "not_found", f"no secret {name}")
                return self._json(200, {"value": door.secrets[name]})
            case "GET", ["broken"]:
                return self._bytes(502, b"<html>no JSON</html>", {})
        raise Refusal(404, "not_found", f"no route {self.command} {self.path}")


@pytest.fixture
def door():
    # Not tmp_path: a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory() as folder, Door(str(Path(folder) / "s.sock")) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def run(door):
    return tidemill.Run(tidemill._Session(door.path))
