"""Jobs of several instances through version 3 of the unmodified SDK: a cluster of TensorFlow's, and the SDK's MPI driver
with its sshd, paramiko, mpirun and mpi4py."""

import json
import re

import pytest

from support.sdk3_jobs import PLAIN_PYTHON, completed, printed_lines, start, trainer  # noqa: F401 (fixtures)
from support.sdk_jobs import said

SCRIPT = """\
import json, os, socket, sys
import paramiko
from mpi4py import MPI

world = MPI.COMM_WORLD
hosts = world.gather([socket.gethostname(), os.environ["SM_CURRENT_HOST"], os.environ["SM_HP_EPOCHS"], os.environ["OWN"]])
total = world.allreduce(10 ** world.rank)
if world.rank == 0:
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    client.connect("algo-2")
    given, out, err = client.exec_command("cat; hostname; echo bad >&2; exit 3")
    given.write("in\\n")
    given.channel.shutdown_write()
    reply = [out.read().decode(), err.read().decode(), out.channel.recv_exit_status()]
    client.close()
    stranger = paramiko.SSHClient()
    stranger.set_missing_host_key_policy(paramiko.AutoAddPolicy())
    try:
        stranger.connect("algo-2", pkey=paramiko.RSAKey.generate(2048), look_for_keys=False, allow_agent=False)
        refused = False
    except paramiko.AuthenticationException:
        refused = True
    sys.stdout.write("report " + json.dumps({"hosts": hosts, "total": total, "arguments": sys.argv[1:], "reply": reply,
                                             "refused": refused}) + "\\n")
"""


@pytest.fixture
def mpi(sdk_environment):
    from sagemaker.train.distributed import MPI

    # The driver's -np is the number of processes per host, whatever the number of hosts: this spreads them.
    return MPI(process_count_per_node=2, mpi_additional_options=["--map-by", "node"])


def test_processes_on_two_hosts_work_together(start, mpi, sdk_environment):
    job = start(SCRIPT, instances=2, distributed=mpi, hyperparameters={"epochs": 2}, environment={"OWN": "x"},
                training_image=PLAIN_PYTHON)
    completed(sdk_environment, job)
    line, = [line for line in sdk_environment.lines(job.training_job_name) if "report " in line]
    report = json.loads(re.sub(r".*<stdout>:report ", "", line))
    hosts = [[host, host, "2", "x"] for host in ("algo-1", "algo-2")]
    assert report == {"hosts": hosts, "total": 11, "arguments": ["--epochs", "2"], "refused": True,
                      "reply": ["in\nalgo-2\n", "bad\n", 3]}


def test_a_process_that_fails_is_the_reason(start, mpi, sdk_environment):
    from sagemaker.core.utils.exceptions import FailedStatusError

    script = "from mpi4py import MPI\nif MPI.COMM_WORLD.rank == 1:\n    raise ValueError('enough')\nMPI.COMM_WORLD.barrier()\n"
    job = start(script, instances=2, distributed=mpi, environment={"OWN": "x"}, training_image=PLAIN_PYTHON)
    with pytest.raises(FailedStatusError, match=r'(?s)instance algo-1 failed.*ErrorMessage "rank 1: ValueError: enough"'):
        job.wait(poll=1)
    assert 'Command "mpirun --host algo-1:2,algo-2:2 -np 2 ' in job.failure_reason


# As users of version 3 do it, which has no `distribution` for TensorFlow: the cluster is made of SM_HOSTS.
MIRRORED = """\
import json, os
hosts = json.loads(os.environ["SM_HOSTS"])
os.environ["TF_CONFIG"] = json.dumps({
    "cluster": {"worker": [host + ":8890" for host in hosts]},
    "task": {"type": "worker", "index": hosts.index(os.environ["SM_CURRENT_HOST"])}})
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()

rank = hosts.index(os.environ["SM_CURRENT_HOST"])
result = strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(lambda: tf.constant(10.0 ** rank)), axis=None)
print("report " + json.dumps({"hosts": hosts, "replicas": strategy.num_replicas_in_sync, "sum": float(result)}))
"""


def test_two_instances_form_a_tensorflow_cluster(start, sdk_environment, caplog):
    job = start(MIRRORED, instances=2)
    job.wait(logs=True, poll=1)
    name = job.training_job_name
    for rank in (1, 2):
        assert said(sdk_environment, name, rank, "report") == {"hosts": ["algo-1", "algo-2"], "replicas": 2, "sum": 11.0}
        assert any(line.startswith("report ") for line in printed_lines(caplog, name, rank))
