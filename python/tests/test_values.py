"""AUC, typed CSV, ids, plain values and arguments: what needs no session."""

import datetime as dt
import hashlib
import io
import json
import math
from decimal import Decimal
from types import SimpleNamespace
from typing import Optional

import pytest
import tidemill

UTC = dt.timezone.utc


@pytest.mark.parametrize(
    ("y", "scores", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], 0.75),  # 3 of 4 pairs
        ([0, 0, 1, 1], [1, 2, 3, 4], 1.0),
        ([1, 1, 0, 0], [1, 2, 3, 4], 0.0),
        ([0, 1, 0, 1], [5, 5, 5, 5], 0.5),  # ties alone
        ([0, 1, 1, 0], [0.2, 0.2, 0.9, 0.5], 0.625),  # (0.5 + 0 + 1 + 1) / 4
        ([1, 0], [-math.inf, math.inf], 0.0),
    ],
)
def test_auc_is_the_share_of_pairs_in_order(y, scores, expected):
    assert tidemill.auc(y, scores) == pytest.approx(expected)


def test_auc_equals_the_count_of_all_pairs():
    y = [i * 7 % 5 < 2 for i in range(60)]
    scores = [i * 13 % 11 for i in range(60)]  # many ties
    pairs = [(p > n) + 0.5 * (p == n) for a, p in zip(y, scores) if a for b, n in zip(y, scores) if not b]
    assert tidemill.auc(y, scores) == pytest.approx(sum(pairs) / len(pairs))


@pytest.mark.parametrize("y", [[1, 1], [0, 0], []])
def test_auc_of_one_class_is_refused(y):
    with pytest.raises(tidemill.Error, match="both kinds") as e:
        tidemill.auc(y, range(len(y)))
    assert e.value.kind == "failed"


def round_trip(columns, records):
    return tidemill._read_csv(io.BytesIO(tidemill._write_csv(columns, records)))


ZONED = dt.datetime(2024, 3, 1, 12, 30, 0, 250000, tzinfo=dt.timezone(dt.timedelta(hours=-5)))


@pytest.mark.parametrize(
    "values",
    [
        [True, False, None],
        [1, -(2**63), None],
        [1.5, 1e-300, 0.1, math.inf, None],
        [ZONED, dt.datetime(2024, 1, 1, tzinfo=UTC), None],
        [dt.datetime(2024, 1, 1, 12, 30), dt.datetime(1969, 12, 31, 23, 59, 59, 999999), None],  # without a zone
        [dt.date(2024, 2, 29), None],
        ["x" * 200_000, None],  # longer than what Python's reader takes unless told
        [None, "", "text", " ", "\\e", "\\", "\\\\", "\\\\e", "ü", "NULL"],
        ['a "quoted" text', "two\nlines", "a,b", "'", "\r\n", '"', "a:b"],
    ],
)
def test_typed_csv_returns_what_was_written(values):
    names, records = round_trip(["a:b", "v"], [(i, v) for i, v in enumerate(values)])
    assert names == ["a:b", "v"]
    assert [r[1] for r in records] == values
    assert [type(r[1]) for r in records] == [type(v) for v in values]


def test_typed_csv_keeps_the_zone():
    [(at,)] = round_trip(["at"], [(ZONED,)])[1]
    assert at.utcoffset() == dt.timedelta(hours=-5)


def test_typed_csv_keeps_nan_apart_from_none():
    [(nan,), (none,), (two,)] = round_trip(["v"], [(math.nan,), (None,), (2,)])[1]
    assert math.isnan(nan) and (none, two) == (None, 2.0)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["12345678901234567890.10", "-0.001", None], b"decimal(23,3)"),
        (["1E+3", "2"], b"decimal(18,0)"),
        (["0.00"], b"decimal(20,2)"),
        ([2, "0.5"], b"decimal(19,1)"),  # a whole number beside decimals is one
        (["9" * 38], b"decimal(38,0)"),
        (["1e-30"], b"decimal(38,30)"),
    ],
)
def test_typed_csv_carries_decimals_exactly(values, kind):
    exact = [Decimal(v) if isinstance(v, str) else v for v in values]
    body = tidemill._write_csv(["v"], [(v,) for v in exact])
    assert kind in body.split(b"\n")[0]
    back = [v for (v,) in tidemill._read_csv(io.BytesIO(body))[1]]
    assert back == exact and all(v is None or type(v) is Decimal for v in back)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([Decimal("NaN")], "no number"),
        ([Decimal("1e20"), Decimal("1e-20")], "41 digits"),
        ([Decimal(1), 1.5], "mixes decimal and float"),
        ([[1], "text"], "mixes json and string"),
    ],
)
def test_typed_csv_refuses_what_would_change(values, message):
    with pytest.raises(tidemill.Error, match=message) as e:
        tidemill._write_csv(["v"], [(v,) for v in values])
    assert e.value.kind == "invalid"


def test_typed_csv_of_one_null_column():
    assert round_trip(["v"], [("a",), (None,), ("b",)])[1] == [("a",), (None,), ("b",)]
    # encoding/csv leaves the line empty where Python's writer quotes it.
    assert tidemill._read_csv(io.BytesIO(b"v:int\n1\n\n2\n"))[1] == [(1,), (None,), (2,)]


def test_typed_csv_as_the_server_writes_it():
    body = b't:timestamp,d:date,b:bool,f:float,s:string\n2024-01-02T03:04:05.5+00:00,2024-01-02,true,+Inf,\\e\n,,false,1e+21,"x\ny"\n'
    assert tidemill._read_csv(io.BytesIO(body))[1] == [
        (dt.datetime(2024, 1, 2, 3, 4, 5, 500000, UTC), dt.date(2024, 1, 2), True, math.inf, ""),
        (None, None, False, 1e21, "x\ny"),
    ]


def test_typed_csv_header_has_the_type_of_the_first_value():
    row = (None, True, 1, 1.0, ZONED, dt.date(2024, 1, 1), "", Decimal(1))
    second = ("x", *[None] * 7)
    header = tidemill._write_csv(list("abcdefgh"), [row, second]).split(b"\n")[0]
    assert header == b'a:string,b:bool,c:int,d:float,e:timestamp,f:date,g:string,"h:decimal(18,0)"'


MODEL = SimpleNamespace(name="delay", version=3)


def test_prediction_id_is_a_fixed_vector():
    at = dt.datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
    text = "flights.scores\x1fdelay\x1f3\x1fAB12\x1f7\x1f2024-03-01T12:00:00+00:00"
    expected = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert tidemill._prediction_id("flights.scores", MODEL, ("AB12", 7, at)) == expected == "be3e5695a1805bd8"


def test_prediction_id_is_of_the_instant_not_of_its_zone():
    at = dt.datetime(2024, 3, 1, 12, 0, tzinfo=UTC)
    elsewhere = at.astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert tidemill._prediction_id("t", MODEL, (at,)) == tidemill._prediction_id("t", MODEL, (elsewhere,))


def test_prediction_id_differs_by_each_part():
    newer = SimpleNamespace(name="delay", version=4)
    other = SimpleNamespace(name="other", version=3)
    asked = [("t", MODEL, (1,)), ("u", MODEL, (1,)), ("t", newer, (1,)), ("t", other, (1,)), ("t", MODEL, (2,)), ("t", MODEL, (1, 1))]
    assert len({tidemill._prediction_id(*a) for a in asked}) == len(asked)


def test_prediction_id_takes_a_date_and_a_time_without_a_zone():
    day = hashlib.sha256(b"t\x1fdelay\x1f3\x1f2024-03-01").hexdigest()[:16]
    assert tidemill._prediction_id("t", MODEL, (dt.date(2024, 3, 1),)) == day
    naive = hashlib.sha256(b"t\x1fdelay\x1f3\x1f2024-03-01T00:00:00").hexdigest()[:16]
    assert tidemill._prediction_id("t", MODEL, (dt.datetime(2024, 3, 1),)) == naive


class Scalar:
    """What numpy's scalars have: item()."""

    def item(self):
        return 4


def test_plain_makes_json_of_times_and_scalars():
    value = {"at": ZONED, "day": dt.date(2024, 1, 1), "n": Scalar()}
    assert json.loads(json.dumps(value, default=tidemill._plain)) == {"at": "2024-03-01T12:30:00.250000-05:00", "day": "2024-01-01", "n": 4}


def test_plain_refuses_what_is_no_value():
    with pytest.raises(TypeError, match="set cannot be a value"):
        tidemill._plain({1})


@pytest.mark.parametrize("data", [[], [{}], [{}, {}]])
def test_encode_of_no_columns_says_the_remedy(data):
    with pytest.raises(tidemill.Error, match="columns of no rows cannot be told.*data frame with columns, or do not write") as e:
        tidemill._encode(data)
    assert e.value.kind == "invalid"


def task(run, rounds: int, rate: float = 0.5, name="x", tags: list = ()):
    pass


def test_arguments_have_the_named_types():
    known = tidemill._arguments(task, {"rounds": "7", "rate": 1, "name": 3, "tags": ["a"]})
    assert known == {"rounds": 7, "rate": 1.0, "name": "3", "tags": ["a"]}
    assert type(known["rate"]) is float


class Choice:
    """Functions with arguments that may be left out."""

    def new(run, limit: int | None = None, strict: bool | None = None):
        pass

    def old(run, limit: Optional[int] = None, strict: Optional[bool] = None):
        pass


@pytest.mark.parametrize("function", [Choice.new, Choice.old])
def test_arguments_that_may_be_none_have_the_other_type(function):
    assert tidemill._arguments(function, {"limit": "7", "strict": "false"}) == {"limit": 7, "strict": False}
    assert tidemill._arguments(function, {"limit": None}) == {"limit": None}
    assert tidemill._arguments(function, {}) == {}


def test_arguments_of_any_name_are_not_asked_for():
    def anything(run, rounds: int, *rest, **more):
        pass

    assert tidemill._arguments(anything, {"rounds": 1, "other": 2}) == {"rounds": 1}


def test_arguments_leave_defaults_and_unexpected_params_alone():
    assert tidemill._arguments(task, {"rounds": 1, "unexpected": 2, "run": 3}) == {"rounds": 1}


def test_arguments_name_a_missing_param():
    with pytest.raises(tidemill.Error, match="param rounds has no value and no default") as e:
        tidemill._arguments(task, {"rate": 1})
    assert e.value.kind == "invalid"


def test_arguments_read_false_as_false():
    def switch(run, strict: bool):
        """Takes one flag."""

    assert tidemill._arguments(switch, {"strict": "false"}) == {"strict": False}
    assert tidemill._arguments(switch, {"strict": "true"}) == {"strict": True}


def test_times_with_and_without_a_zone_do_not_make_a_column():
    with pytest.raises(tidemill.Error, match="column at mixes localtime and timestamp"):
        tidemill._write_csv(["at"], [(ZONED,), (dt.datetime(2024, 1, 1),)])


def test_lists_and_dicts_travel_as_json():
    values = [({"a": ['x\\"', None, 1.5]},), ([],), (None,), ([{"b": "ü\n"}],)]
    body = tidemill._write_csv(["v"], values)
    assert body.startswith(b"v:json\n")
    assert tidemill._read_csv(io.BytesIO(body))[1] == values


def test_bytes_are_refused_by_the_column():
    with pytest.raises(tidemill.Error, match="column photo holds bytes.*add pyarrow") as e:
        tidemill._write_csv(["photo"], [(b"\x00",)])
    assert e.value.kind == "invalid"


def test_whole_and_fractional_numbers_make_a_column_of_floats():
    assert tidemill._write_csv(["n"], [(1,), (2.5,)]) == b"n:float\n1\n2.5\n"


def test_a_column_of_two_types_is_refused():
    with pytest.raises(tidemill.Error, match="column n mixes int and string"):
        tidemill._write_csv(["n"], [(1,), ("x",)])
