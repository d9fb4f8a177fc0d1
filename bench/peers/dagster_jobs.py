"""A chain of 40 for Dagster's default executor: a process for each op."""

import subprocess

from dagster import Definitions, In, Nothing, job, op


@op(ins={"before": In(Nothing)})
def true():
    subprocess.run(["/bin/true"], check=True)


@job
def chain():
    last = true.alias("t1")()
    for n in range(2, 41):
        last = true.alias(f"t{n}")(last)


definitions = Definitions(jobs=[chain])
