"""Data frames and Arrow: splits, features, predictions, and what is written of a frame."""

import datetime as dt
import io
import json
from decimal import Decimal
from types import SimpleNamespace

import pandas
import pyarrow
import pyarrow.ipc
import pytest
import tidemill

UTC = dt.timezone.utc
META = {"pin": "p1", "key": ["id"], "at": "at", "label": "late", "features": ["a"]}


def stream(table: pyarrow.Table) -> bytes:
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def rows_at(days: list[int]) -> pyarrow.Table:
    return pyarrow.table(
        {
            "id": [f"k{i}" for i in range(len(days))],
            "at": pyarrow.array([dt.datetime(2024, 1, d, tzinfo=UTC) for d in days], pyarrow.timestamp("us", "UTC")),
            "a": [float(d) for d in days],
            "late": [d % 2 == 0 for d in days],
        }
    )


@pytest.fixture
def arrow_run(door):
    door.context["csv"] = False
    return tidemill.Run(tidemill._Session(door.path))


@pytest.fixture
def training_set(arrow_run, door):
    def make(days):
        door.rows, door.meta = stream(rows_at(days)), META
        return arrow_run.training_set("delay")

    return make


def test_rows_come_as_arrow(arrow_run, door):
    door.rows = stream(rows_at([1, 2]))
    rows = arrow_run.sql("SELECT 1")
    assert door.requests[-1][2]["Accept"] == "application/vnd.apache.arrow.stream"
    assert (len(rows), rows.columns) == (2, ["id", "at", "a", "late"])
    assert rows.to_arrow().equals(rows_at([1, 2]))
    assert rows.to_dicts()[0]["at"] == dt.datetime(2024, 1, 1, tzinfo=UTC)


def test_csv_rows_make_a_frame(run, door):
    door.rows = b"id:int,note:string\n1,\\e\n2,x\n"
    frame = run.sql("SELECT 1").to_pandas()
    assert frame.to_dict("list") == {"id": [1, 2], "note": ["", "x"]}


def test_split_by_time_holds_out_the_newest(training_set):
    days = [7, 1, 10, 4, 2, 9, 5, 8, 3, 6]  # in no order
    (x, y), (xt, yt) = training_set(days).split(by="time", test=0.3)
    assert list(x["a"]) == [1, 2, 3, 4, 5, 6, 7]
    assert list(xt["a"]) == [8, 9, 10]
    assert list(y) == [0, 1, 0, 1, 0, 1, 0]
    assert list(yt) == [1, 0, 1]


def test_split_by_time_is_not_random(training_set):
    days = [7, 1, 10, 4, 2, 9, 5, 8, 3, 6]
    first, again = training_set(days).split(), training_set(days[::-1]).split()
    for side in (0, 1):
        assert list(first[side][0]["a"]) == list(again[side][0]["a"])


def test_split_by_time_never_divides_an_instant(training_set):
    (x, _), (xt, _) = training_set([1, 2, 3, 3, 3, 3, 3, 3, 3, 4]).split(test=0.2)
    assert sorted(x["a"]) == [1, 2]
    assert sorted(xt["a"]) == [3, 3, 3, 3, 3, 3, 3, 4]


def test_trap_12_split_by_key_depends_on_the_key_alone(training_set):
    days = [1 + i % 28 for i in range(400)]
    (x, _), (xt, _) = training_set(days).split(by="key", test=0.25)
    assert len(x) + len(xt) == 400
    assert 70 <= len(xt) <= 130
    (_, _), (later, _) = training_set([28 - i % 28 for i in range(400)]).split(by="key", test=0.25)
    assert list(later.index) == list(xt.index)


@pytest.mark.parametrize("options", [{"test": 0}, {"test": 1}, {"by": "random"}])
def test_split_refuses_what_it_does_not_know(training_set, options):
    with pytest.raises(tidemill.Error) as e:
        training_set([1, 2]).split(**options)
    assert e.value.kind == "invalid"


def test_training_set_s_x_and_y(training_set):
    ts = training_set([1, 2])
    assert list(ts.X.columns) == ["a"]
    assert list(ts.y) == [0.0, 1.0]


@pytest.mark.parametrize("make", [lambda rows: rows, pandas.DataFrame, pyarrow.Table.from_pylist])
def test_encode_takes_every_form(make):
    rows = [{"id": 1, "note": "a"}, {"id": 2, "note": ""}]
    body, content = tidemill._encode(make(rows))
    assert content == "application/vnd.apache.arrow.stream"
    assert pyarrow.ipc.open_stream(body).read_all().to_pylist() == rows


FRAME = pandas.DataFrame(
    {
        "b": [True, False],
        "n": [1, 2],
        "f": [None, 1.5],
        "at": pandas.to_datetime([None, "2024-01-02T03:04:05Z"], utc=True),
        "s": ["", None],
    }
)


@pytest.fixture
def without_pyarrow(monkeypatch):
    """The choice that the SDK makes where pandas is installed and pyarrow is not."""
    monkeypatch.setattr(tidemill, "_installed", lambda module: module != "pyarrow")


def test_encode_of_a_frame_without_pyarrow(without_pyarrow):
    body, content = tidemill._encode(FRAME)
    assert content == "text/csv"
    assert body.split(b"\n")[0] == b"b:bool,n:int,f:float,at:timestamp,s:string"
    at = dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert tidemill._read_csv(io.BytesIO(body))[1] == [(True, 1, None, None, ""), (False, 2, 1.5, at, None)]


def test_encode_of_a_frame_of_wall_clocks_without_pyarrow(without_pyarrow):
    frame = pandas.DataFrame({"at": pandas.to_datetime(["2024-01-02T03:04:05"]), "zoned": pandas.to_datetime(["2024-01-02T03:04:05Z"])})
    body, _ = tidemill._encode(frame)
    assert body == b"at:localtime,zoned:timestamp\n2024-01-02T03:04:05,2024-01-02T03:04:05+00:00\n"
    assert tidemill._encode(frame.iloc[:0])[0] == b"at:localtime,zoned:timestamp\n"


def test_numbers_of_numpy_and_decimals_keep_their_types_without_pyarrow(without_pyarrow):
    rows = [{"i": FRAME["n"].iloc[0], "f": FRAME["f"].iloc[1], "l": FRAME["n"].to_numpy()}]
    assert tidemill._encode(rows)[0] == b'i:int,f:float,l:json\n1,1.5,"[1, 2]"\n'
    frame = pandas.DataFrame({"d": [Decimal("1.50"), None], "f": [float("nan"), 2.0]})
    assert tidemill._encode(frame)[0] == b'"d:decimal(20,2)",f:float\n1.50,\n,2.0\n'  # a frame's NaN is a value that is missing


def test_encode_of_a_frame_without_rows_keeps_its_columns():
    body, _ = tidemill._encode(FRAME.iloc[:0])
    table = pyarrow.ipc.open_stream(body).read_all()
    assert (table.num_rows, table.column_names) == (0, ["b", "n", "f", "at", "s"])


def test_encode_of_a_frame_without_rows_and_without_pyarrow(without_pyarrow):
    assert tidemill._encode(FRAME.iloc[:0]) == (b"b:bool,n:int,f:float,at:timestamp,s:string\n", "text/csv")


def test_write_of_a_frame_without_rows(run, door):
    assert run.write("shop.orders", FRAME.iloc[:0]) == 0
    assert door.staged["shop.orders"] == (["b", "n", "f", "at", "s"], [])


def test_encode_of_a_frame_without_columns_is_refused():
    with pytest.raises(tidemill.Error, match="columns of no rows cannot be told"):
        tidemill._encode(pandas.DataFrame())


def test_plain_takes_numpy_s_scalars():
    value = {"n": FRAME["n"].iloc[0], "f": FRAME["f"].iloc[1], "b": FRAME["b"].iloc[0], "at": FRAME["at"].iloc[1]}
    assert json.loads(json.dumps(value, default=tidemill._plain)) == {"n": 1, "f": 1.5, "b": True, "at": "2024-01-02T03:04:05+00:00"}


def test_prediction_id_is_the_same_for_a_frame_s_values():
    m = SimpleNamespace(name="delay", version=3)
    plain = (1, dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC))
    framed = (FRAME["n"].iloc[0], FRAME["at"].iloc[1])
    assert tidemill._prediction_id("t", m, plain) == tidemill._prediction_id("t", m, framed)


def test_predictions_have_an_id_a_model_and_a_score(arrow_run, door):
    door.rows, door.meta = stream(rows_at([1, 2])), META
    f = arrow_run.features("delay")
    m = arrow_run.load_model("delay@live")
    assert list(f.X.columns) == ["a"]
    assert arrow_run.predictions("shop.scores", f, m, [0.25, 0.75]) == 2
    columns, rows = door.staged["shop.scores/rows"]
    assert columns == ["id", "at", "prediction_id", "model", "model_version", "prediction"]
    at = dt.datetime(2024, 1, 1, tzinfo=UTC)
    assert rows[0] == ("k0", at, tidemill._prediction_id("shop.scores", m, ("k0", at)), "delay", 3, 0.25)


def test_predictions_need_a_score_for_each_row(arrow_run, door):
    door.rows, door.meta = stream(rows_at([1, 2])), META
    f = arrow_run.features("delay")
    with pytest.raises(tidemill.Error, match="1 scores for 2 rows"):
        arrow_run.predictions("shop.scores", f, arrow_run.load_model("delay"), [0.5])


def test_model_names_a_feature_that_is_gone():
    m = tidemill.Model(None, {"name": "delay", "version": 3, "features": ["a", "gone"]})
    with pytest.raises(tidemill.Error, match=r"delay:3 was trained with \['gone'\]"):
        m.predict(pandas.DataFrame({"a": [1.0]}))


class Booster:
    """The part of LightGBM's booster that is asked for: margins are 2a - b, around a bias of 0.5."""

    __module__ = "lightgbm.basic"

    def predict(self, rows, pred_contrib=False):
        if not pred_contrib:
            return rows["a"] * 2 - rows["b"] + 0.5
        return [[2 * a, -b, 0.5] for a, b in zip(rows["a"], rows["b"])]

    def model_to_string(self):
        return "tree"


def test_explain_keeps_the_mean_absolute_contribution_of_each_feature(arrow_run, door):
    frame = pandas.DataFrame({"b": [1.0, 3.0], "a": [0.5, -2.5]})[["a", "b"]]
    arrow_run.explain(Booster(), frame)
    arrow_run.model("delay", Booster())
    [model] = door.models
    assert [(i["feature"], i["mean_abs"], i["std"], i["n"]) for i in model["importances"]] == [("a", 3.0, 2.0, 2), ("b", 2.0, 1.0, 2)]
    assert door.artifacts == {"delay.txt": b"tree"}


def test_explain_takes_a_sample_of_many_rows(arrow_run, door):
    arrow_run.explain(Booster(), pandas.DataFrame({"a": [1.0] * 50, "b": [2.0] * 50}), sample=10)
    arrow_run.model("delay", Booster())
    assert {(i["feature"], i["mean_abs"], i["n"]) for i in door.models[0]["importances"]} == {("a", 2.0, 10), ("b", 2.0, 10)}


def test_contributions_are_a_row_for_each_feature_and_the_bias_and_add_up(arrow_run, door):
    table = rows_at([1, 2]).append_column("b", pyarrow.array([10.0, 20.0]))
    door.rows, door.meta = stream(table), META | {"features": ["a", "b"]}
    f = arrow_run.features("delay")
    m = tidemill.Model(Booster(), {"name": "delay", "version": 3, "features": ["a", "b"]})
    scores = m.predict(f.X)
    assert arrow_run.predictions("shop.scores", f, m, scores, contributions=True) == 2
    columns, rows = door.staged["shop.scores/contributions"]
    assert columns == ["id", "at", "prediction_id", "feature", "value", "contribution"]
    assert [(r[0], r[3], r[5]) for r in rows] == [
        ("k0", "a", 2.0), ("k1", "a", 4.0), ("k0", "b", -10.0), ("k1", "b", -20.0), ("k0", "(bias)", 0.5), ("k1", "(bias)", 0.5)
    ]  # fmt: skip
    predictions = {r[2]: r[5] for r in door.staged["shop.scores/rows"][1]}
    for id_, score in predictions.items():
        assert sum(r[5] for r in rows if r[2] == id_) == score
    assert [r[4] for r in rows][:4] == [1.0, 2.0, 10.0, 20.0]


def test_contributions_of_another_library_s_model_are_refused(arrow_run):
    with pytest.raises(tidemill.Error, match="no exact contributions for a model of builtins"):
        arrow_run.explain(object(), pandas.DataFrame({"a": [1.0]}))
