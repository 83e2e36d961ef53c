"""What a training script finds around it: the hosted toolkit's contract, looked at from inside real jobs."""

import json
import os
import pathlib

import pytest

from support.jobs import Jobs

JOB_S3 = (pathlib.Path(__file__).parents[1] / "support/job_s3.py").read_text()
LOOK_AROUND = """\
import os, sys, pathlib
def tree(top): return sorted(str(p.relative_to(top)) for p in pathlib.Path(top).rglob("*") if p.is_file())
report({"env": dict(os.environ), "argv": sys.argv, "cwd": os.getcwd(), "inputs": tree("/opt/ml/input/data"),
        "config": {name: pathlib.Path("/opt/ml/input/config", name).read_text()
                   for name in ("hyperparameters.json", "inputdataconfig.json", "resourceconfig.json")}})
"""


def test_variables_arguments_and_config_files(jobs):
    data = jobs.put("env/data/a.csv", b"1,2")
    hyperparameters = {"epochs": 3, "learning-rate": 0.5, "name": "a b", "flag": True, "layers": [1, 2],
                       "options": {"a": 1}, "n": 7}
    name = jobs.new_name()
    request = jobs.request(name, "", hyperparameters=hyperparameters)  # for the strings as they are sent
    seen = jobs.report(LOOK_AROUND, hyperparameters=hyperparameters, channels={"train": data, "valid": data})
    env = seen["env"]
    assert seen["cwd"] == "/opt/ml/code"
    assert seen["inputs"] == ["train/a.csv", "valid/a.csv"]
    expected = {
        "SM_CURRENT_HOST": "algo-1", "SM_HOSTS": '["algo-1"]', "SM_MODEL_DIR": "/opt/ml/model",
        "SM_OUTPUT_DATA_DIR": "/opt/ml/output/data", "SM_OUTPUT_DIR": "/opt/ml/output", "SM_INPUT_DIR": "/opt/ml/input",
        "SM_INPUT_CONFIG_DIR": "/opt/ml/input/config", "SM_CHANNELS": '["train","valid"]',
        "SM_CHANNEL_TRAIN": "/opt/ml/input/data/train", "SM_CHANNEL_VALID": "/opt/ml/input/data/valid",
        "SM_USER_ENTRY_POINT": "train.py", "SM_MODULE_NAME": "train", "SM_NUM_GPUS": "0",
        "SM_CURRENT_INSTANCE_TYPE": "ml.m5.large", "SM_HP_EPOCHS": "3", "SM_HP_NAME": "a b", "SM_HP_FLAG": "true",
        "SM_HP_LAYERS": "[1,2]", "SM_LOG_LEVEL": "20", "SM_NETWORK_INTERFACE_NAME": "eth0",
    }
    assert {key: env.get(key) for key in expected} == expected
    assert int(env["SM_NUM_CPUS"]) >= 1
    told = json.loads(env["SM_HPS"])
    assert {key: told[key] for key in hyperparameters} == hyperparameters
    assert not any(key.startswith("sagemaker_") for key in told)
    assert json.loads(env["SM_TRAINING_ENV"])["channel_input_dirs"]["train"] == "/opt/ml/input/data/train"
    assert env["TRAINING_JOB_NAME"] and env["TRAINING_JOB_ARN"].endswith("/" + env["TRAINING_JOB_NAME"])
    argv = seen["argv"][1:]
    pairs = dict(zip(argv[::2], argv[1::2], strict=True))
    assert pairs["--epochs"] == "3" and pairs["--learning-rate"] == "0.5" and pairs["--name"] == "a b"
    assert pairs["--flag"].lower() == "true" and pairs["-n"] == "7" and pairs["--options"] == "a=1"
    assert argv[::2] == [f"--{key}" if len(key) > 1 else f"-{key}" for key in sorted(
        key for key in request["HyperParameters"] if not key.startswith("sagemaker_"))]
    config = {file: json.loads(text) for file, text in seen["config"].items()}
    assert config["hyperparameters.json"]["epochs"] == "3" and config["hyperparameters.json"]["name"] == '"a b"'
    assert set(config["inputdataconfig.json"]) == {"train", "valid"}
    resource = config["resourceconfig.json"]
    assert resource["current_host"] == "algo-1" and resource["hosts"] == ["algo-1"]
    assert resource["current_instance_type"] == "ml.m5.large"


def test_the_users_environment_variables_arrive(jobs):
    seen = jobs.report(LOOK_AROUND, Environment={"MY_VARIABLE": "my value", "LANG": "C.UTF-8"})
    assert seen["env"]["MY_VARIABLE"] == "my value" and seen["env"]["LANG"] == "C.UTF-8"


def test_a_shell_entry_point(jobs):
    description = jobs.completed(program="run.sh", files={
        "run.sh": "#!/bin/bash\nset -e\necho \"epochs $2\" | tee /opt/ml/model/out.txt\n"}, hyperparameters={"epochs": 4})
    assert "epochs 4" in jobs.lines(description["TrainingJobName"])
    assert jobs.model_files(description) == {"out.txt": b"epochs 4\n"}


def test_an_entry_point_in_a_sub_directory_imports_its_neighbours(jobs):
    jobs.completed(program="train.py", script="from package.module import value\nassert value == 5\n",
                   files={"package/__init__.py": "", "package/module.py": "value = 5\n"})


def test_requirements_are_installed_before_the_script_runs(jobs):
    """A package by path: no index is needed for this one, and the cached environment stays as it was."""
    package = {"local/setup.py": "from setuptools import setup\nsetup(name='sagebrush-probe', version='1.0', py_modules=['probe_module'])\n",
               "local/probe_module.py": "value = 42\n"}
    jobs.completed("import probe_module\nassert probe_module.value == 42\n",
                   files={"requirements.txt": "./local\n", **package}, deadline=180)
    description = jobs.run("import probe_module\n")
    assert description["TrainingJobStatus"] == "Failed", "an installed package outlived its job"


def test_requirements_come_from_the_index_through_the_engine(jobs):
    jobs.completed("import colorama\nassert colorama.__version__ == '0.4.6'\n",
                   files={"requirements.txt": "colorama==0.4.6\n"}, deadline=180)


def test_boto3_inside_a_job_reaches_the_engine_also_for_hosts_that_are_hard_wired(jobs):
    jobs.completed("""\
import boto3
account = boto3.client("sts").get_caller_identity()["Account"]
# As both SDKs do, whatever AWS_ENDPOINT_URL says.
hard_wired = boto3.client("sts", endpoint_url="https://sts.us-west-2.amazonaws.com").get_caller_identity()["Account"]
assert account == hard_wired and len(account) == 12
""")


def test_a_prefix_an_object_and_a_prefix_without_slash(jobs):
    jobs.put("channels/dir/one.txt", b"1")
    jobs.put("channels/dir/deep/two.txt", b"2")
    jobs.put("channels/dir-sibling.txt", b"3")
    top = f"s3://{jobs.bucket}/channels"
    seen = jobs.report(LOOK_AROUND, channels={"slash": f"{top}/dir/", "object": f"{top}/dir/one.txt", "bare": f"{top}/dir/deep"})
    assert seen["inputs"] == ["bare/two.txt", "object/one.txt", "slash/deep/two.txt", "slash/one.txt"]


def test_writing_in_a_channel_leaves_the_stored_object_as_it_was(jobs):
    uri = jobs.put("writable/data.txt", b"original")
    head = jobs.s3.head_object(Bucket=jobs.bucket, Key="writable/data.txt")
    jobs.completed("""\
import os, pathlib
file = pathlib.Path("/opt/ml/input/data/train/data.txt")
file.chmod(0o777)
with file.open("a") as stream: stream.write(" and more")
assert file.read_text() == "original and more"
(file.parent / "new.txt").write_text("new")
file.unlink()
assert os.listdir(file.parent) == ["new.txt"]
""", channels={"train": f"s3://{jobs.bucket}/writable/"})
    assert jobs.get(uri) == b"original"
    again = jobs.s3.head_object(Bucket=jobs.bucket, Key="writable/data.txt")
    assert (again["ETag"], again["LastModified"]) == (head["ETag"], head["LastModified"])
    assert jobs.s3.list_objects_v2(Bucket=jobs.bucket, Prefix="writable/")["KeyCount"] == 1


def test_sharded_channels_split_the_objects_and_hosts_see_each_other(jobs):
    """Two instances: each gets its half, and both talk over the network by host name on the same port."""
    for number in range(6):
        jobs.put(f"shards/{number}", str(number).encode())
    name = jobs.submit("""\
import os, socket, threading
mine = os.environ["SM_CURRENT_HOST"]
other = "algo-2" if mine == "algo-1" else "algo-1"
server = socket.create_server(("0.0.0.0", 5000))
text = []
def accept():
    connection, _ = server.accept()
    text.append(connection.recv(100).decode())
    connection.close()
thread = threading.Thread(target=accept)
thread.start()
while True:
    try:
        with socket.create_connection((other, 5000), timeout=20) as connection: connection.sendall(mine.encode())
        break
    except ConnectionRefusedError: pass
thread.join()
print("heard", text[0])
print("shard", ",".join(sorted(os.listdir("/opt/ml/input/data/train"))))
print("host", socket.gethostname())
""", instances=2, channels={"train": Jobs.channel("train", f"s3://{jobs.bucket}/shards/", "ShardedByS3Key")})
    assert jobs.wait(name)["TrainingJobStatus"] == "Completed", (jobs.lines(name), jobs.lines(name, 2))
    shards = []
    for rank, other in ((1, "algo-2"), (2, "algo-1")):
        lines = jobs.lines(name, rank)
        assert f"heard {other}" in lines and f"host algo-{rank}" in lines
        shards.append(next(line for line in lines if line.startswith("shard ")).removeprefix("shard ").split(","))
    assert sorted(shards[0] + shards[1]) == list("012345") and len(shards[0]) == len(shards[1]) == 3


def test_model_and_output_archives(jobs):
    description = jobs.completed("""\
import os, pathlib
pathlib.Path(os.environ["SM_MODEL_DIR"], "1/variables").mkdir(parents=True)
pathlib.Path(os.environ["SM_MODEL_DIR"], "1/variables/weights").write_bytes(b"w" * 1000)
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "metrics.txt").write_text("good")
""")
    name = description["TrainingJobName"]
    assert description["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{jobs.bucket}/out/{name}/output/model.tar.gz"
    assert jobs.model_files(description) == {"1/variables/weights": b"w" * 1000}
    files = jobs.tar_files(f"s3://{jobs.bucket}/out/{name}/output/output.tar.gz")
    assert {os.path.basename(key): value for key, value in files.items()} == {"metrics.txt": b"good"}


def test_the_script_can_use_the_store_with_its_own_keys(jobs):
    """The job's environment holds keys and an endpoint that work for it: a signed request by hand."""
    seen = jobs.report(LOOK_AROUND)["env"]
    assert seen["AWS_ENDPOINT_URL"].startswith("http://127.") and seen["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert seen["AWS_SECRET_ACCESS_KEY"] != jobs.engine.environment()["AWS_SECRET_ACCESS_KEY"]
    description = jobs.completed(f"import job_s3\njob_s3.put('{jobs.bucket}', 'from-a-job', b'hello')\n",
                                 files={"job_s3.py": JOB_S3})
    assert description["TrainingJobStatus"] == "Completed"
    assert jobs.get(f"s3://{jobs.bucket}/from-a-job") == b"hello"


def test_stop_lets_the_handler_run_and_uploads_the_artifacts(jobs):
    name = jobs.submit("""\
import os, signal, sys, time
def stop(*_):
    print("handler runs")
    open("/opt/ml/model/kept.txt", "w").write("kept")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("started", flush=True)
while True: time.sleep(0.05)
""")
    jobs.wait_for_line(name, "started")
    jobs.sagemaker.stop_training_job(TrainingJobName=name)
    description = jobs.wait(name)
    assert (description["TrainingJobStatus"], description["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "Stopping" in [entry["Status"] for entry in description["SecondaryStatusTransitions"]]
    assert "handler runs" in jobs.lines(name)
    assert jobs.model_files(description) == {"kept.txt": b"kept"}


def test_the_longest_run_time_stops_the_job(jobs):
    name = jobs.submit("import time\nopen('/opt/ml/model/part', 'w').write('p')\nwhile True: time.sleep(0.05)\n", max_runtime=2)
    description = jobs.wait(name)
    assert description["TrainingJobStatus"] == "Stopped"
    assert description["SecondaryStatus"] == "MaxRuntimeExceeded"
    assert jobs.model_files(description) == {"part": b"p"}


@pytest.mark.slow
def test_tensorflow_runs_in_the_version_asked_for(jobs):
    seen = jobs.report("import tensorflow as tf, keras\nreport([tf.__version__, float(tf.reduce_sum(tf.ones((3, 3))))])\n",
                       deadline=180)
    assert seen[0].startswith("2.19.") and seen[1] == 9.0
