"""Polars frames, out and in."""

import datetime as dt

import polars
import tidemill
from test_frames import UTC, stream


def test_polars_frames_go_out_and_come_in(door):
    door.context["csv"] = False
    run = tidemill.Run(tidemill._Session(door.path))
    sent = polars.DataFrame({"id": [1, 2], "note": ["a", None], "at": [dt.datetime(2024, 1, 1, tzinfo=UTC)] * 2})
    assert run.write("shop.orders", sent) == 2
    assert door.staged["shop.orders"] == (["id", "note", "at"], [(1, "a", sent["at"][0]), (2, None, sent["at"][1])])
    assert run.write("shop.orders", sent.head(0)) == 0
    door.rows = stream(sent.to_arrow())
    assert run.sql("SELECT 1").to_polars().equals(sent)


def test_csv_rows_make_a_polars_frame(run, door):
    door.rows = b"id:int,note:string\n1,\\e\n2,\n"
    assert run.sql("SELECT 1").to_polars().rows() == [(1, ""), (2, None)]
