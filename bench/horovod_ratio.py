"""Horovod over two instances against the same mpirun on the bare machine: allreduce bandwidth and training speed.

One process on each of two hosts; on the bare machine both on loopback. Both sides speak TCP, run one script with one
Python environment, and take turns. The figure is the lower of the two ratios, instances / bare, of the medians.
"""

import json
import os
import re
import statistics
import subprocess

from harness import Report, Row, warm_engine

NAME = "horovod-ratio"
TARGET = 0.97
IMAGE = "763104351884.dkr.ecr.us-west-2.amazonaws.com/tensorflow-training:2.15.1-cpu-py311"
FIRST_JOB_DEADLINE = 7200  # it may have to build Horovod
OPTIONS = ["-mca", "btl", "self,tcp"]
# As the agent passes them (docs/distributed.md), but for hosts, interface and the remote shell.
MPIRUN = ["mpirun", "--host", "localhost:2", "-np", "2", "--allow-run-as-root", "--tag-output",
          "-mca", "btl_tcp_if_include", "lo", "-mca", "oob_tcp_if_include", "lo", "-bind-to", "none", "-map-by", "slot",
          "-mca", "pml", "ob1", *OPTIONS, "-mca", "orte_abort_on_non_zero_status", "1",
          "-mca", "btl_vader_single_copy_mechanism", "none", "-x", "PATH"]

SCRIPT = """\
import argparse, json, time
import numpy as np
import tensorflow as tf
import horovod.tensorflow as hvd

parser = argparse.ArgumentParser()
parser.add_argument("--reductions", type=int)
parser.add_argument("--steps", type=int)
arguments = parser.parse_known_args()[0]
hvd.init()
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)

tensor = tf.ones((4 * 1024 * 1024,))  # 16 MiB
def reduce(count):
    started = time.perf_counter()
    for _ in range(count):
        hvd.allreduce(tensor, name="tensor", op=hvd.Sum).numpy()
    return count * 16 / (time.perf_counter() - started)
reduce(5)
bandwidth = reduce(arguments.reductions)

random = np.random.default_rng(hvd.rank())
x = tf.constant(random.normal(size=(64, 28, 28, 1)).astype("float32"))
y = tf.constant(random.integers(0, 10, size=(64,)))
model = tf.keras.Sequential([tf.keras.layers.Conv2D(16, 3, activation="relu", input_shape=(28, 28, 1)),
                             tf.keras.layers.Flatten(), tf.keras.layers.Dense(128, "relu"), tf.keras.layers.Dense(10)])
optimizer = tf.keras.optimizers.SGD(0.01)

@tf.function
def step():
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True)))
    gradients = hvd.DistributedGradientTape(tape).gradient(loss, model.trainable_variables)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return loss
def train(count):
    started = time.perf_counter()
    for _ in range(count):
        loss = step()
    float(loss)
    return count * 64 * hvd.size() / (time.perf_counter() - started)
train(5)
images = train(arguments.steps)
if hvd.rank() == 0:
    print("measured " + json.dumps([bandwidth, images]), flush=True)
"""


def measured(lines):
    """The two figures in a run's output, whose pieces mpirun tags."""
    text = re.sub(r"\[\d+,\d+\]<std(out|err)>:", "", "\n".join(lines))
    found = re.search(r"^measured (.*)$", text, re.MULTILINE)
    if not found:
        raise AssertionError(text[-3000:])
    return json.loads(found[1])


def bare_run(python, script, arguments):
    variables = os.environ | {"PATH": f"{os.path.dirname(python)}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1",
                              "TF_CPP_MIN_LOG_LEVEL": "1"}
    done = subprocess.run([*MPIRUN, python, script, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, env=variables, timeout=600)
    return measured(done.stdout.splitlines())


def job_run(jobs, hyperparameters):
    description = jobs.completed(SCRIPT, instances=2, hyperparameters=hyperparameters, deadline=600,
                                 AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"})
    return measured(jobs.lines(description["TrainingJobName"]))


def run(smoke):
    runs, reductions, steps = (1, 5, 5) if smoke else (5, 200, 200)
    options = {"sagemaker_mpi_enabled": True, "sagemaker_mpi_custom_mpi_options": " ".join(OPTIONS)}
    with warm_engine(IMAGE, hyperparameters=options, deadline=FIRST_JOB_DEADLINE) as (jobs, python):
        script = jobs.engine.data_dir.parent / "train.py"
        script.write_text(SCRIPT)
        arguments = ["--reductions", str(reductions), "--steps", str(steps)]
        inside, bare = [], []
        for _ in range(runs):
            bare.append(bare_run(python, script, arguments))
            inside.append(job_run(jobs, options | {"reductions": reductions, "steps": steps}))
    rows, ratios = [], []
    for index, (what, unit) in enumerate((("allreduce of 16 MiB", "MiB/s"), ("training", "images/s"))):
        sides = [[result[index] for result in results] for results in (inside, bare)]
        rows += [Row(f"{what}: two instances", unit, sides[0]), Row(f"{what}: bare machine", unit, sides[1])]
        ratios.append(statistics.median(sides[0]) / statistics.median(sides[1]))
    notes = [f"Ratios: allreduce {ratios[0]:.3f}, training {ratios[1]:.3f}."]
    return Report(NAME, "Horovod, one process on each of two hosts; figure = instances / bare machine, the lower of two",
                  min(ratios), "ratio", TARGET, rows, notes, at_least=True)
