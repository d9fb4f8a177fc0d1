"""A chain of 40 and a fan-out of 200 for Airflow."""

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

with DAG("chain", schedule=None):
    last = None
    for n in range(40):
        task = BashOperator(task_id=f"t{n}", bash_command="/bin/true")
        if last is not None:
            last >> task
        last = task

with DAG("wide", schedule=None, max_active_tasks=200):
    for n in range(200):
        BashOperator(task_id=f"t{n}", bash_command="/bin/true")
