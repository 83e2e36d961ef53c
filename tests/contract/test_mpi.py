"""MPI and Horovod through the unmodified SDK's `distribution`: mpirun over real instances, TensorFlow training."""

import json
import os
import pathlib
import re
import zipfile

import pytest
from support.engine import images_cache, wheels
from support.sdk_jobs import TRAINING_DEADLINE, assert_completed, said, start  # noqa: F401 (a fixture)

PLAIN_PYTHON = {"image_uri": "sagebrush/python:3.11", "framework_version": None, "py_version": None}
REGISTRY = "763104351884.dkr.ecr.us-west-2.amazonaws.com/tensorflow-training"
BUILD_DEADLINE = 3600
# Read here: a test's process forgets the variables that steer engines.
LONG_CAMPAIGN = os.environ.get("SAGEBRUSH_CAMPAIGN") == "long"
WHEELS, BUILT_WHEELS = pathlib.Path(wheels() or "/nonexistent"), images_cache() / "wheels"


def mpi(processes, options=None):
    return {"mpi": {"enabled": True, "processes_per_host": processes} | ({"custom_mpi_options": options} if options else {})}


def without_tags(lines):
    """What the processes printed: {rank: lines}. mpirun tags every write, so that several processes' may be in a line."""
    printed, partial = {}, {}
    for line in lines:
        pieces = re.split(r"\[\d+,(\d+)\]<(stdout|stderr)>:", line)
        if pieces[0] or len(pieces) == 1:
            continue  # mpirun's own
        for rank, stream, text in zip(pieces[1::3], pieces[2::3], pieces[3::3], strict=True):
            partial[rank, stream] = partial.get((rank, stream), "") + text
        printed.setdefault(int(rank), []).append(partial.pop((rank, stream)))  # the line's end is the last one's
    return printed


REPORTER = """\
import json, os, socket, sys
rank = int(os.environ["OMPI_COMM_WORLD_RANK"])
sys.stdout.write("rank " + json.dumps({
    "rank": rank, "size": int(os.environ["OMPI_COMM_WORLD_SIZE"]), "local": int(os.environ["OMPI_COMM_WORLD_LOCAL_RANK"]),
    "host": socket.gethostname(), "cwd": os.getcwd(), "arguments": sys.argv[1:], "hosts": json.loads(os.environ["SM_HOSTS"]),
    "extra": os.environ.get("EXTRA"), "nccl": os.environ["NCCL_DEBUG"], "uid": os.getuid()}) + "\\n")
open(f"/opt/ml/model/rank-{rank}", "w").close()
"""


def test_processes_run_on_every_host_and_the_job_ends_with_host_one(start, sdk_environment):
    name = start(REPORTER, instance_count=2, distribution=mpi(2, "-x EXTRA=yes --NCCL_DEBUG WARN"),
                 hyperparameters={"lr": 0.1}, **PLAIN_PYTHON)
    assert_completed(sdk_environment, name, 2)
    printed = without_tags(sdk_environment.lines(name))
    for rank in range(4):
        report = json.loads(printed[rank][0].removeprefix("rank "))
        arguments = report.pop("arguments")
        assert arguments[:2] == ["--lr", "0.1"]
        assert report == {"rank": rank, "size": 4, "local": rank % 2, "host": f"algo-{rank // 2 + 1}",
                          "cwd": "/opt/ml/code", "hosts": ["algo-1", "algo-2"], "extra": "yes", "nccl": "WARN", "uid": 0}
    description = sdk_environment.describe(name)
    assert set(sdk_environment.model_files(description)) == {f"rank-{rank}" for rank in range(4)}
    # The hosted toolkit sleeps for 30 to 60 s at the end of such a job.
    assert (description["TrainingEndTime"] - description["TrainingStartTime"]).total_seconds() < 25


def test_a_rank_that_fails_is_the_reason_with_its_host(start, sdk_environment):
    script = """\
import os, signal
if os.environ["OMPI_COMM_WORLD_RANK"] == "3":
    raise ValueError("the fourth of four has had enough")
signal.pause()
"""
    name = start(script, instance_count=2, distribution=mpi(2), **PLAIN_PYTHON)
    description = sdk_environment.wait(name, 60)
    assert description["TrainingJobStatus"] == "Failed"
    reason = description["FailureReason"]
    assert "rank 3 on algo-2: ValueError: the fourth of four has had enough" in reason
    assert 'Command "mpirun --host algo-1:2,algo-2:2 -np 4 ' in reason


def test_a_distribution_is_for_the_groups_that_it_names(start, sdk_environment):
    from sagemaker.instance_group import InstanceGroup

    script = ("import json, os, socket\n"
              "world = os.environ.get('OMPI_COMM_WORLD_SIZE')\n"
              "print('ran ' + json.dumps([socket.gethostname(), world, os.environ['SM_CURRENT_INSTANCE_GROUP']]))\n")
    feed, train = InstanceGroup("feed", "ml.c5.xlarge", 1), InstanceGroup("train", "ml.m5.large", 2)
    name = start(script, instance_groups=[feed, train], instance_type=None, **PLAIN_PYTHON,
                 distribution={**mpi(2), "instance_groups": [train]})
    assert_completed(sdk_environment, name, 3)
    assert 'ran ["algo-1", null, "feed"]' in sdk_environment.lines(name, 1), "the script by itself"
    printed = without_tags(sdk_environment.lines(name, 2))
    assert {rank: json.loads(lines[0].removeprefix("ran "))[:2] for rank, lines in printed.items()} == {
        rank: [f"algo-{rank // 2 + 2}", "4"] for rank in range(4)}
    assert not [line for line in sdk_environment.lines(name, 3) if line.startswith("ran ")]


def test_one_instance_and_one_process_each_need_no_options(start, sdk_environment):
    name = start("import os\nprint('size', os.environ['OMPI_COMM_WORLD_SIZE'])\n", instance_count=1,
                 distribution={"mpi": {"enabled": True}}, **PLAIN_PYTHON)
    assert_completed(sdk_environment, name, 1)
    assert without_tags(sdk_environment.lines(name)) == {0: ["size 1"]}


def test_mpi4py_launches_where_it_is_installed(start, sdk_environment):
    stand_in = {"mpi4py/__init__.py": "", "mpi4py/__main__.py":
                "import runpy, sys\nprint('under mpi4py', flush=True)\nsys.argv[:] = sys.argv[1:]\n"
                "runpy.run_path(sys.argv[0], run_name='__main__')\n"}
    name = start("print('the script')\n", files=stand_in, instance_count=1, distribution=mpi(1), **PLAIN_PYTHON)
    assert_completed(sdk_environment, name, 1)
    assert without_tags(sdk_environment.lines(name)) == {0: ["under mpi4py", "the script"]}


def test_without_mpirun_the_reason_says_what_to_install(start, sdk_environment):
    name = start("print('never')\n", instance_count=1, distribution=mpi(1), environment={"PATH": "/nowhere"},
                 **PLAIN_PYTHON)
    description = sdk_environment.wait(name, 60)
    assert description["TrainingJobStatus"] == "Failed"
    assert "apt-get install openmpi-bin" in description["FailureReason"]


@pytest.mark.parametrize(("distribution", "hyperparameters", "word"), [
    (mpi(1, "-v --NCCL_DEBUG"), {}, "--NCCL_DEBUG needs a value"),
    (mpi(1), {"sagemaker_parameter_server_enabled": True}, "enable one of them"),
    (mpi(5000), {}, "sagemaker_mpi_num_of_processes_per_host"),
], ids=["option", "two", "processes"])
def test_what_cannot_be_is_refused(start, sdk_environment, distribution, hyperparameters, word):
    name = start("print('never')\n", instance_count=2, distribution=distribution, hyperparameters=hyperparameters,
                 **PLAIN_PYTHON)
    description = sdk_environment.wait(name, 60)
    assert description["TrainingJobStatus"] == "Failed"
    assert word in description["FailureReason"]


def test_scripts_reach_the_other_hosts_by_ssh(start, sdk_environment):
    script = """\
import os, signal, subprocess
if os.environ["SM_CURRENT_HOST"] != "algo-1":
    open("/tmp/ready", "w").close()
    signal.sigwait([signal.SIGUSR1])
    open("/tmp/heard", "w").close()
    signal.sigwait([signal.SIGUSR2])
    raise SystemExit
def ssh(*arguments, **options):
    return subprocess.run(["ssh", *arguments], capture_output=True, text=True, **options)
done = ssh("-o", "StrictHostKeyChecking=no", "root@algo-2", "cat; hostname; echo err >&2; exit 3", input="in\\n")
print("ssh", [done.stdout, done.stderr, done.returncode])
print("ssh", ssh("algo-2", "echo $SM_CURRENT_HOST; cat /proc/1/comm").stdout.split())
until = "until [ -e /tmp/%s ]; do sleep 0.05; done; "
print("ssh", ssh("algo-2", until % "ready" + "pkill -USR1 -f '[t]rain.py'; " + until % "heard").returncode)
ssh("algo-2", "pkill -USR2 -f '[t]rain.py'")  # which ends that host, and maybe this command before it can answer
"""
    name = start("import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGUSR2])\n" + script,
                 instance_count=2, **PLAIN_PYTHON)
    assert_completed(sdk_environment, name, 2)
    lines = [line for line in sdk_environment.lines(name) if line.startswith("ssh ")]
    assert lines == ["ssh ['in\\nalgo-2\\n', 'err\\n', 3]", "ssh ['algo-2', 'sagebrush-init']", "ssh 0"]


def horovod_for(tensorflow):
    """Whether a wheel of Horovod for that TensorFlow and Python 3.11 is there, or was built before."""
    folders = [WHEELS, *BUILT_WHEELS.glob("*")]
    for wheel in (wheel for folder in folders for wheel in folder.glob("horovod-*-cp311-*.whl")):
        with zipfile.ZipFile(wheel) as file:
            if json.loads(file.read("horovod/metadata.json")).get("tensorflow") == tensorflow:
                return True
    return False


def need_horovod_for(tensorflow):
    if not LONG_CAMPAIGN and not horovod_for(tensorflow):
        pytest.skip(f"HOROVOD NOT TESTED on TensorFlow {tensorflow}: no wheel of it is in SAGEBRUSH_WHEELS or the images' "
                    "cache, and SAGEBRUSH_CAMPAIGN=long, which builds it for many minutes, is not set")


def assert_trained_together(jobs, name, ranks):
    description = jobs.wait(name, BUILD_DEADLINE)
    assert description["TrainingJobStatus"] == "Completed", (description.get("FailureReason"), jobs.lines(name)[-60:])
    printed = without_tags(jobs.lines(name))
    results = [json.loads(line.removeprefix("result "))
               for rank in range(ranks) for line in printed[rank] if line.startswith("result ")]
    assert [result["rank"] for result in results] == list(range(ranks))
    assert all(result["size"] == ranks and result["local_size"] == 2 for result in results)
    assert all(result["last"] < 0.8 * result["first"] for result in results), results
    weights = [result["weights"] for result in results]
    assert all(other == weights[0] for other in weights), "every process ends with the same model"
    return results


# As in the SDK's own guide: nothing of it knows of Sagebrush.
KERAS = """\
import argparse, json, os
import numpy as np
import tensorflow as tf
import horovod.tensorflow.keras as hvd

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int)
parser.add_argument("--model_dir")
arguments = parser.parse_args()
hvd.init()
tf.config.threading.set_intra_op_parallelism_threads(1)
random = np.random.default_rng(hvd.rank())
x = random.normal(size=(512, 28, 28)).astype("float32")
y = (x.reshape(-1, 784) @ np.random.default_rng(42).normal(size=(784, 10))).argmax(1)
model = tf.keras.Sequential([tf.keras.layers.Flatten(input_shape=(28, 28)), tf.keras.layers.Dense(32, "relu"),
                             tf.keras.layers.Dense(10)])
optimizer = hvd.DistributedOptimizer(tf.keras.optimizers.Adam(0.001 * hvd.size()))
model.compile(optimizer, tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
callbacks = [hvd.callbacks.BroadcastGlobalVariablesCallback(0), hvd.callbacks.MetricAverageCallback()]
losses = model.fit(x, y, batch_size=64, epochs=arguments.epochs, verbose=0, callbacks=callbacks).history["loss"]
if hvd.rank() == 0:
    model.save(os.path.join(os.environ["SM_MODEL_DIR"], "1"))
print("result " + json.dumps({"rank": hvd.rank(), "size": hvd.size(), "local_size": hvd.local_size(),
                              "version": tf.__version__, "mpi": hvd.mpi_enabled(), "first": float(losses[0]),
                              "last": float(losses[-1]),
                              "weights": [round(float(np.abs(v).sum()), 4) for v in model.get_weights()]}), flush=True)
"""


@pytest.mark.slow
def test_horovod_trains_a_keras_model_over_two_hosts_of_two_processes(start, sdk_environment):
    need_horovod_for("2.15.1")
    name = start(KERAS, instance_count=2, image_uri=f"{REGISTRY}:2.15.1-cpu-py311", framework_version=None,
                 py_version=None, distribution=mpi(2), hyperparameters={"epochs": 4})
    results = assert_trained_together(sdk_environment, name, 4)
    assert {result["version"] for result in results} == {"2.15.1"}
    assert all(result["mpi"] for result in results)
    files = sdk_environment.model_files(sdk_environment.describe(name))
    assert "1/saved_model.pb" in files


TAPE = """\
import json
import numpy as np
import tensorflow as tf
import horovod.tensorflow as hvd

hvd.init()
tf.config.threading.set_intra_op_parallelism_threads(1)
random = np.random.default_rng(hvd.rank())
x = random.normal(size=(512, 32)).astype("float32")
y = (x @ np.random.default_rng(42).normal(size=(32, 4))).argmax(1)
model = tf.keras.Sequential([tf.keras.Input((32,)), tf.keras.layers.Dense(16, "relu"), tf.keras.layers.Dense(4)])
optimizer = tf.keras.optimizers.SGD(0.2)
optimizer.build(model.trainable_variables)

def plain(variables):
    return [variable.value for variable in variables]  # TensorFlow's own: Horovod does not know those of Keras 3

@tf.function
def step(x, y):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True)))
    tape = hvd.DistributedGradientTape(tape)
    optimizer.apply_gradients(zip(tape.gradient(loss, plain(model.trainable_variables)), model.trainable_variables))
    return loss

losses = []
for i in range(60):
    at = i * 64 % 512
    losses.append(float(step(x[at:at + 64], y[at:at + 64])))
    if i == 0:
        hvd.broadcast_variables(plain(model.variables), root_rank=0)
        hvd.broadcast_variables(plain(optimizer.variables), root_rank=0)
print("result " + json.dumps({"rank": hvd.rank(), "size": hvd.size(), "local_size": hvd.local_size(),
                              "version": tf.__version__, "first": losses[0], "last": losses[-1],
                              "weights": [round(float(np.abs(v).sum()), 4) for v in model.get_weights()]}), flush=True)
"""


@pytest.mark.slow
def test_horovod_trains_on_tensorflow_2_21_without_its_xla_operation(start, sdk_environment):
    need_horovod_for("2.21.0")
    name = start(TAPE, instance_count=2, image_uri=f"{REGISTRY}:2.21.0-cpu-py311", framework_version=None,
                 py_version=None, distribution=mpi(2))
    results = assert_trained_together(sdk_environment, name, 4)
    assert {result["version"] for result in results} == {"2.21.0"}
