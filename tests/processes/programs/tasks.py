"""Tasks of Celery, in a module that its master process imports before it forks."""

import os

from celery import Celery
from downhaul import flags

app = Celery("tasks", broker=os.environ["BROKER"], backend=os.environ["BROKER"])
app.conf.broker_connection_retry_on_startup = True


@app.task(name="box")
def box() -> tuple[int, bool]:
    """Which process says what."""
    return os.getpid(), flags.enabled("box")
