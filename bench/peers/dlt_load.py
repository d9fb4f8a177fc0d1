"""Loads a CSV file into DuckDB with dlt, in batches of Arrow: the quick way that its guide names.

usage: dlt_load.py FILE FOLDER
"""

import sys

import dlt
import pyarrow.csv

file, folder = sys.argv[1:]


@dlt.resource(name="rows", write_disposition="replace")
def rows():
    for batch in pyarrow.csv.open_csv(file):
        yield batch


pipeline = dlt.pipeline("bench", destination=dlt.destinations.duckdb(f"{folder}/dlt.duckdb"), dataset_name="raw", pipelines_dir=f"{folder}/dlt")
print(pipeline.run(rows()))
