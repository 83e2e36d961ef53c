"""Distributed training through the unmodified SDK's `distribution`, with TensorFlow training on several instances."""

import json
import re

import pytest
from support.jobs import kill_agent, secondary_statuses
from support.sdk_jobs import TRAINING_DEADLINE, assert_completed, said, start  # noqa: F401 (a fixture)
from support.waiting import wait_until

IMAGE_FOR_PLAIN_PYTHON = "sagebrush/python:3.11"
# The last TensorFlow that has tf.estimator.
IMAGE_WITH_ESTIMATORS = "763104351884.dkr.ecr.us-west-2.amazonaws.com/tensorflow-training:2.15.1-cpu-py310"

MIRRORED = """\
import json, os
print("config", os.environ["TF_CONFIG"], flush=True)
import numpy as np
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()
replicas = strategy.num_replicas_in_sync
random = np.random.default_rng(0)
x = random.normal(size=(512, 32)).astype("float32")
y = (x @ random.normal(size=(32, 4))).argmax(1)
data = strategy.experimental_distribute_dataset(
    tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(32 * replicas))
with strategy.scope():
    model = tf.keras.Sequential([tf.keras.Input((32,)), tf.keras.layers.Dense(16, "relu"), tf.keras.layers.Dense(4)])
    optimizer = tf.keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)

@tf.function
def step(x, y):
    def replica(x, y):
        with tf.GradientTape() as tape:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True))
            loss = tf.reduce_sum(losses) / (32 * replicas)
        optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
        return loss
    return strategy.reduce("SUM", strategy.run(replica, args=(x, y)), axis=None)

iterator = iter(data)
losses = [float(step(*next(iterator))) for _ in range(40)]
print("result", json.dumps({"replicas": replicas, "first": losses[0], "last": losses[-1],
                            "weights": [variable.numpy().tolist() for variable in model.trainable_variables]}))
"""


@pytest.mark.slow
def test_mirrored_workers_train_one_model_on_two_instances(start, sdk_environment):
    name = start(MIRRORED, instance_count=2, distribution={"multi_worker_mirrored_strategy": {"enabled": True}})
    assert_completed(sdk_environment, name, 2)
    for rank in (1, 2):
        assert said(sdk_environment, name, rank, "config") == {
            "cluster": {"worker": ["algo-1:8890", "algo-2:8890"]}, "environment": "cloud",
            "task": {"index": rank - 1, "type": "worker"}}
    first, second = (said(sdk_environment, name, rank, "result") for rank in (1, 2))
    assert first["replicas"] == 2
    assert first["last"] < 0.8 * first["first"]
    assert first["weights"] == second["weights"]


# The fit of Keras 3 fails under the strategy; that of tf_keras does not.
LEGACY_KERAS = """\
import json, os
os.environ["TF_USE_LEGACY_KERAS"] = "1"
import numpy as np
import tensorflow as tf
import tf_keras

strategy = tf.distribute.MultiWorkerMirroredStrategy()
random = np.random.default_rng(0)
x = random.normal(size=(512, 32)).astype("float32")
y = (x @ random.normal(size=(32, 4))).argmax(1)
with strategy.scope():
    model = tf.keras.Sequential([tf.keras.Input((32,)), tf.keras.layers.Dense(16, "relu"), tf.keras.layers.Dense(4)])
    model.compile(tf.keras.optimizers.SGD(0.1), tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
losses = model.fit(tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(64), epochs=5, steps_per_epoch=16,
                   verbose=0).history["loss"]
chief = json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 0
model.save("/opt/ml/model/1" if chief else "/tmp/not-the-chief")  # every worker has to take part
print("result", json.dumps({"keras": tf_keras.__version__, "losses": losses,
                            "weights": [value.tolist() for value in model.get_weights()]}), flush=True)
"""


@pytest.mark.slow
def test_tf_keras_fits_under_mirrored_workers(start, sdk_environment):
    name = start(LEGACY_KERAS, files={"requirements.txt": "tf_keras>=2.19,<2.20\n"}, instance_count=2,
                 distribution={"multi_worker_mirrored_strategy": {"enabled": True}})
    assert_completed(sdk_environment, name, 2)
    first, second = (said(sdk_environment, name, rank, "result") for rank in (1, 2))
    assert first["keras"].startswith("2.19.")
    assert first["losses"][-1] < 0.8 * first["losses"][0]
    assert first == second
    assert "1/saved_model.pb" in sdk_environment.model_files(sdk_environment.describe(name))


# Every worker restores what the chief saved. One attempt's host is lost in the middle of an all-reduce, which fails in
# the others' programs too.
RESUMED = """\
import json, os, time
import tensorflow as tf

strategy = tf.distribute.MultiWorkerMirroredStrategy()
chief = json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 0
with strategy.scope():
    weight, step = tf.Variable(0.0), tf.Variable(0, dtype=tf.int64)
checkpoint = tf.train.Checkpoint(weight=weight, step=step)
latest = tf.train.latest_checkpoint("/opt/ml/checkpoints")
if latest:
    checkpoint.read(latest)
print("began", int(step.numpy()), flush=True)

@tf.function
def train():
    def replica():
        gradient = tf.distribute.get_replica_context().all_reduce("MEAN", 2.0 * (weight - 3.0))
        weight.assign_sub(0.02 * gradient)
        step.assign_add(1)
    strategy.run(replica)

manager = tf.train.CheckpointManager(
    checkpoint, "/opt/ml/checkpoints" if chief else "/tmp/not-the-chief", max_to_keep=3)
while int(step.numpy()) < 300:
    train()
    time.sleep(0.05)
    if int(step.numpy()) % 20 == 0:
        manager.save(checkpoint_number=int(step.numpy()))
print("result", json.dumps([int(step.numpy()), float(weight.numpy())]), flush=True)
"""


@pytest.mark.slow
def test_a_host_killed_in_the_middle_of_training_costs_the_gang_a_part_of_it(start, sdk_environment):
    jobs = sdk_environment
    prefix = jobs.new_name("ckpt") + "/"
    name = start(RESUMED, instance_count=2, distribution={"multi_worker_mirrored_strategy": {"enabled": True}},
                 max_retry_attempts=1, checkpoint_s3_uri=f"s3://{jobs.bucket}/{prefix}")

    def stored():
        reply = jobs.s3.list_objects_v2(Bucket=jobs.bucket, Prefix=prefix + "ckpt-")
        return [entry["Key"] for entry in reply.get("Contents", []) if entry["Key"].endswith(".index")]

    wait_until(stored, TRAINING_DEADLINE, "a checkpoint in S3")
    kill_agent(jobs, name, 1, 2)
    assert_completed(jobs, name, 2)
    assert secondary_statuses(jobs.describe(name)).count("Restarting") == 1
    for rank in (1, 2):
        began = [int(line.split()[1]) for line in jobs.lines(name, rank) if line.startswith("began ")]
        assert began[0] == 0 and began[1] >= 20 and began[1] % 20 == 0 and len(began) == 2, began
        assert said(jobs, name, rank, "result") == [300, pytest.approx(3.0, abs=1e-3)]


COORDINATED = """\
import json, os
print("config", os.environ["TF_CONFIG"], flush=True)
import numpy as np
import tensorflow as tf

cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
if cluster.task_type == "worker":
    server = tf.distribute.Server(cluster.cluster_spec(), job_name="worker", task_index=cluster.task_id)
    print("serving", flush=True)
    server.join()

strategy = tf.distribute.ParameterServerStrategy(cluster)
coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
with strategy.scope():
    weights = tf.Variable(tf.zeros((32, 4)))
    biases = tf.Variable(tf.zeros((4,)))
    steps = tf.Variable(0, dtype=tf.int64)

def data():
    random = np.random.default_rng(0)
    x = random.normal(size=(512, 32)).astype("float32")
    y = (x @ random.normal(size=(32, 4))).argmax(1)
    return tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(32)

@tf.function
def step(iterator):
    def replica(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, x @ weights + biases))
        gradients = tape.gradient(loss, [weights, biases])
        weights.assign_sub(0.1 * gradients[0])
        biases.assign_sub(0.1 * gradients[1])
        steps.assign_add(1)
        return loss
    return strategy.run(replica, args=next(iterator))

iterator = iter(coordinator.create_per_worker_dataset(data))
losses = [coordinator.schedule(step, args=(iterator,)) for _ in range(60)]
coordinator.join()
devices = sorted({variable.device for variable in (weights, biases, steps)})
print("result", json.dumps({"steps": int(steps.numpy()), "first": float(losses[0].fetch()),
                            "last": float(losses[-1].fetch()), "devices": devices}), flush=True)
with open("/opt/ml/model/weights.json", "w") as file:
    json.dump(weights.numpy().tolist(), file)
"""


@pytest.mark.slow
def test_a_parameter_server_strategy_trains_on_three_instances_and_ends_with_the_chief(start, sdk_environment):
    name = start(COORDINATED, instance_count=3, distribution={"parameter_server": {"enabled": True}},
                 hyperparameters={"sagemaker_parameter_server_layout": "chief"})
    assert_completed(sdk_environment, name, 3)
    cluster = {"chief": ["algo-1:2222"], "ps": ["algo-1:2223", "algo-2:2223", "algo-3:2223"],
               "worker": ["algo-2:2222", "algo-3:2222"]}
    for rank, task in ((1, ("chief", 0)), (2, ("worker", 0)), (3, ("worker", 1))):
        assert said(sdk_environment, name, rank, "config") == {
            "cluster": cluster, "environment": "cloud", "task": {"type": task[0], "index": task[1]}}
    result = said(sdk_environment, name, 1, "result")
    assert result["steps"] == 60
    assert result["last"] < 0.8 * result["first"]
    assert [re.search(r"/job:ps/replica:0/task:(\d)", device)[1] for device in result["devices"]] == ["0", "1", "2"]
    assert all("serving" in sdk_environment.lines(name, rank) for rank in (2, 3))
    assert "weights.json" in sdk_environment.model_files(sdk_environment.describe(name))


# Every host writes a variable of its own on each parameter server and reads the others': what the hosted layout's
# programs, tf.estimator's included, do through their sessions.
HOSTED = """\
import json, os, time
print("config", os.environ["TF_CONFIG"], flush=True)
import tensorflow as tf
tf.compat.v1.disable_eager_execution()
v1 = tf.compat.v1

config = json.loads(os.environ["TF_CONFIG"])
task, servers = config["task"], len(config["cluster"]["ps"])
member = 0 if task["type"] == "master" else task["index"] + 1
server = tf.distribute.Server(tf.train.ClusterSpec(config["cluster"]), job_name=task["type"], task_index=task["index"])
with tf.Graph().as_default():
    counts = []
    for index in range(servers):
        with tf.device(f"/job:ps/task:{index}"):
            counts.append(v1.get_variable(f"count{index}", shape=(), initializer=v1.zeros_initializer(), use_resource=True))
    add = v1.group([count.assign_add(1.0) for count in counts])
    initialize, ready = v1.global_variables_initializer(), v1.report_uninitialized_variables()
    filters = [f"/job:{task['type']}/task:{task['index']}", "/job:ps"]
    with v1.Session(server.target, config=v1.ConfigProto(device_filters=filters)) as session:
        if member == 0:
            session.run(initialize)
        while len(session.run(ready)):
            time.sleep(0.05)
        for _ in range(10):
            session.run(add)
        if member == 0:
            while min(session.run(counts)) < 10 * servers:
                time.sleep(0.05)
            print("result", json.dumps([float(value) for value in session.run(counts)]), flush=True)
print("left", member, flush=True)
"""


@pytest.mark.slow
def test_the_hosted_layout_trains_through_a_parameter_server_on_every_host(start, sdk_environment):
    name = start(HOSTED, instance_count=2, distribution={"parameter_server": {"enabled": True}})
    assert_completed(sdk_environment, name, 2)
    cluster = {"master": ["algo-1:2222"], "ps": ["algo-1:2223", "algo-2:2223"], "worker": ["algo-2:2222"]}
    for rank, role in ((1, "master"), (2, "worker")):
        assert said(sdk_environment, name, rank, "config") == {
            "cluster": cluster, "environment": "cloud", "task": {"type": role, "index": 0}}
    assert said(sdk_environment, name, 1, "result") == [20.0, 20.0]
    assert "left 1" in sdk_environment.lines(name, 2)


# As the SDK's guide has it: the job's model_dir is an s3:// location. Every parameter server writes its own shard of the
# estimator's checkpoints there, and the evaluator reads them back.
ESTIMATOR = """\
import argparse, json, os
import numpy as np
import tensorflow as tf

def batches():
    random = np.random.default_rng(0)
    x = random.normal(size=(512, 32)).astype("float32")
    y = (x @ random.normal(size=(32, 4))).argmax(1)
    return tf.data.Dataset.from_tensor_slices(({"x": x}, y)).repeat().batch(32)

v1 = tf.compat.v1

def model(features, labels, mode):
    with v1.variable_scope("linear"):
        weights = v1.get_variable("weights", (32, 4), initializer=v1.zeros_initializer())
        biases = v1.get_variable("biases", (4,), initializer=v1.zeros_initializer())
    loss = v1.losses.sparse_softmax_cross_entropy(labels, tf.matmul(features["x"], weights) + biases)
    train = v1.train.GradientDescentOptimizer(0.1).minimize(loss, v1.train.get_or_create_global_step())
    print("devices", json.dumps([weights.device, biases.device]), flush=True)
    return tf.estimator.EstimatorSpec(mode, loss=loss, train_op=train)

parser = argparse.ArgumentParser()
parser.add_argument("--model_dir")
model_dir = parser.parse_args().model_dir
assert model_dir.startswith("s3://"), model_dir
estimator = tf.estimator.Estimator(model, model_dir=model_dir)
tf.estimator.train_and_evaluate(estimator, tf.estimator.TrainSpec(batches, max_steps=100),
                                tf.estimator.EvalSpec(batches, steps=5, start_delay_secs=1, throttle_secs=1))
task = json.loads(os.environ["TF_CONFIG"])["task"]["type"]
if task == "master":
    steps = tf.train.load_checkpoint(model_dir).get_tensor("global_step")
    print("result", json.dumps({"version": tf.__version__, "steps": int(steps)}), flush=True)
print("left", task, flush=True)
"""


@pytest.mark.slow
def test_an_estimator_of_tensorflow_2_15_trains_through_parameter_servers(start, sdk_environment):
    name = start(ESTIMATOR, instance_count=2, image_uri=IMAGE_WITH_ESTIMATORS, framework_version=None,
                 py_version=None, distribution={"parameter_server": {"enabled": True}})
    assert_completed(sdk_environment, name, 2)
    result = said(sdk_environment, name, 1, "result")
    assert result["version"] == "2.15.1"
    assert result["steps"] >= 100
    assert "left worker" in sdk_environment.lines(name, 2)
    # A worker begins seconds later; it has nothing to do when the shared model_dir holds the last step by then.
    devices = {rank: [line for line in sdk_environment.lines(name, rank) if line.startswith("devices ")] for rank in (1, 2)}
    assert devices[1]
    for line in devices[1][:1] + devices[2]:
        assert "/job:ps/task:0" in line and "/job:ps/task:1" in line, devices
    model_dir = json.loads(sdk_environment.describe(name)["HyperParameters"]["model_dir"])
    bucket, prefix = model_dir.removeprefix("s3://").split("/", 1)
    keys = [entry["Key"] for entry in sdk_environment.s3.list_objects_v2(Bucket=bucket, Prefix=prefix + "/")["Contents"]]
    assert f"{prefix}/checkpoint" in keys
    assert any(key.endswith(".data-00000-of-00002") for key in keys), keys  # a shard of each parameter server's
    assert any(key.endswith(".data-00001-of-00002") for key in keys), keys


def test_one_instance_has_no_parameter_servers(start, sdk_environment):
    name = start("import os\nprint('config' if 'TF_CONFIG' in os.environ else 'alone')\n", instance_count=1,
                 distribution={"parameter_server": {"enabled": True}})
    assert_completed(sdk_environment, name, 1)
    assert "alone" in sdk_environment.lines(name)


def test_a_parameter_server_that_cannot_run_fails_the_job_with_its_last_words(start, sdk_environment):
    name = start("import signal\nsignal.pause()\n", instance_count=2, image_uri=IMAGE_FOR_PLAIN_PYTHON,
                 framework_version=None, py_version=None, distribution={"parameter_server": {"enabled": True}})
    description = sdk_environment.wait(name, TRAINING_DEADLINE)
    assert description["TrainingJobStatus"] == "Failed"
    assert re.match(r"AlgorithmError: instance algo-[12] failed: ParameterServerError:", description["FailureReason"])
    assert "No module named 'tensorflow'" in description["FailureReason"]


def test_a_layout_of_an_unknown_name_is_refused(start, sdk_environment):
    name = start("print('never')\n", instance_count=2, distribution={"parameter_server": {"enabled": True}},
                 hyperparameters={"sagemaker_parameter_server_layout": "boss"})
    description = sdk_environment.wait(name, TRAINING_DEADLINE)
    assert description["TrainingJobStatus"] == "Failed"
    assert "sagemaker_parameter_server_layout" in description["FailureReason"]
    assert "never" not in sdk_environment.lines(name, 1)


def test_one_failing_host_ends_the_others_at_once_and_is_named(start, sdk_environment):
    script = """\
import os, signal, socket, time
def reached(host):
    try:
        socket.create_connection((host, 5000), timeout=5).close()
        return True
    except OSError:
        return False
if os.environ["SM_CURRENT_HOST"] == "algo-2":
    for host in ("algo-1", "algo-3"):
        while not reached(host):
            time.sleep(0.02)
    raise ValueError("the second host has had enough")
listener = socket.create_server(("", 5000))
signal.pause()
"""
    name = start(script, instance_count=3, image_uri=IMAGE_FOR_PLAIN_PYTHON, framework_version=None, py_version=None)
    description = sdk_environment.wait(name, 60)
    assert description["TrainingJobStatus"] == "Failed"
    assert description["FailureReason"].startswith("AlgorithmError: instance algo-2 failed: ")
    assert "ValueError: the second host has had enough" in description["FailureReason"]
    for rank in (1, 3):
        assert any("stopping because of another instance failed" in line for line in sdk_environment.lines(name, rank))
