"""Parameter-server training over two instances against the same four processes started by hand on loopback.

A chief, a worker and two parameter servers on both sides, with one script and one Python environment, in turns. The
figure is the ratio of steps a second, instances / by hand, of the medians.
"""

import json
import os
import re
import socket
import statistics
import subprocess

from harness import Report, Row, warm_engine

NAME = "ps-ratio"
TARGET = 0.97

SERVER = """\
import json, os
import tensorflow as tf
config = json.loads(os.environ["TF_CONFIG"])
tf.distribute.Server(tf.train.ClusterSpec(config["cluster"]), job_name="ps", task_index=config["task"]["index"],
                     config=tf.compat.v1.ConfigProto(device_count={"GPU": 0})).join()
"""

SCRIPT = """\
import argparse, json, time
import numpy as np
import tensorflow as tf

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int)
steps = parser.parse_known_args()[0].steps
cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
if cluster.task_type == "worker":
    tf.distribute.Server(cluster.cluster_spec(), job_name="worker", task_index=cluster.task_id).join()
strategy = tf.distribute.ParameterServerStrategy(cluster)
coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
with strategy.scope():
    weights = tf.Variable(tf.random.normal((784, 256)) / 28)
    last = tf.Variable(tf.random.normal((256, 10)) / 16)

def data():
    random = np.random.default_rng(0)
    x = random.normal(size=(512, 784)).astype("float32")
    y = (x @ random.normal(size=(784, 10))).argmax(1)
    return tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(64)

@tf.function
def step(iterator):
    def replica(x, y):
        with tf.GradientTape() as tape:
            logits = tf.nn.relu(x @ weights) @ last
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        gradients = tape.gradient(loss, [weights, last])
        weights.assign_sub(0.05 * gradients[0])
        last.assign_sub(0.05 * gradients[1])
        return loss
    return strategy.run(replica, args=next(iterator))

iterator = iter(coordinator.create_per_worker_dataset(data))
def train(count):
    started = time.perf_counter()
    for _ in range(count):
        coordinator.schedule(step, args=(iterator,))
    coordinator.join()
    return count / (time.perf_counter() - started)
train(20)
print("measured " + json.dumps(train(steps)), flush=True)
"""


def measured(lines):
    found = re.search(r"^measured (.*)$", "\n".join(lines), re.MULTILINE)
    if not found:
        raise AssertionError("\n".join(lines[-60:]))
    return json.loads(found[1])


def free_ports(count):
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in held]
    for sock in held:
        sock.close()
    return ports


def run_by_hand(python, script, steps):
    chief, worker, *servers = (f"127.0.0.1:{port}" for port in free_ports(4))
    cluster = {"chief": [chief], "worker": [worker], "ps": servers}

    def start(command, kind, index, **options):
        config = json.dumps({"cluster": cluster, "environment": "cloud", "task": {"type": kind, "index": index}})
        variables = os.environ | {"TF_CONFIG": config, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "1"}
        return subprocess.Popen([python, *command], env=variables, stderr=subprocess.DEVNULL, text=True, **options)

    program = [script, "--steps", str(steps)]
    others = [start(["-c", SERVER], "ps", 0), start(["-c", SERVER], "ps", 1), start(program, "worker", 0)]
    try:
        coordinator = start(program, "chief", 0, stdout=subprocess.PIPE)
        return measured(coordinator.communicate(timeout=600)[0].splitlines())
    finally:
        for process in others:
            process.kill()
            process.wait()


def run_job(jobs, steps):
    description = jobs.completed(SCRIPT, instances=2, deadline=600, hyperparameters={
        "sagemaker_parameter_server_enabled": True, "sagemaker_parameter_server_layout": "chief", "steps": steps})
    return measured(jobs.lines(description["TrainingJobName"]))


def run(smoke):
    runs, steps = (1, 20) if smoke else (5, 1500)
    with warm_engine() as (jobs, python):
        script = jobs.engine.data_dir.parent / "train.py"
        script.write_text(SCRIPT)
        by_hand, inside = [], []
        for _ in range(runs):
            by_hand.append(run_by_hand(python, script, steps))
            inside.append(run_job(jobs, steps))
    rows = [Row("two instances", "steps/s", inside), Row("by hand on loopback", "steps/s", by_hand)]
    return Report(NAME, f"ParameterServerStrategy, {steps} steps, a chief, a worker, two servers; figure = instances / by hand",
                  statistics.median(inside) / statistics.median(by_hand), "ratio", TARGET, rows, at_least=True)
