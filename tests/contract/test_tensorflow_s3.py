"""s3:// paths inside TensorFlow: in a job, where nobody registers anything, and with the library loaded by hand."""

import logging
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from support.engine import REPOSITORY, build_directory
from support.jobs import split_uri

SUPPORT = pathlib.Path(__file__).parents[1] / "support"
TOUR = SUPPORT / "tensorflow_s3_tour.py"
STEPS = ("files", "directories", "pages", "large_files", "checkpoints", "saved_models", "records", "summaries",
         "threads_and_forks")
DEADLINE = 300
LIBRARY = build_directory() / "tensorflow-s3/libsagebrush_tf_s3.so"


def assert_whole_tour(printed):
    assert [line.split()[1] for line in printed if line.startswith("passed ")] == list(STEPS), "\n".join(printed)
    assert any(line.startswith("the tour is over") for line in printed)


def test_the_real_sdk_trains_with_an_s3_model_dir(sdk_environment, tmp_path):
    """The script is as for the hosted service: it forces HTTPS, and it registers nothing."""
    import sagemaker
    from sagemaker.tensorflow import TensorFlow

    logging.getLogger("sagemaker").setLevel(logging.WARNING)
    shutil.copy(TOUR, tmp_path / "train.py")
    jobs = sdk_environment
    estimator = TensorFlow(
        entry_point="train.py", source_dir=str(tmp_path), role="SageMakerRole", instance_count=1,
        instance_type="ml.m5.large", framework_version="2.19", py_version="py312", base_job_name="tf-s3",
        model_dir=f"s3://{jobs.bucket}/tf-s3", sagemaker_session=sagemaker.Session())
    estimator.fit(wait=False)
    name = estimator.latest_training_job.name
    jobs.names.append(name)
    description = jobs.wait(name, DEADLINE)
    assert description["TrainingJobStatus"] == "Completed", (description.get("FailureReason"), jobs.lines(name))
    assert_whole_tour(jobs.lines(name))
    bucket, prefix = split_uri(f"s3://{jobs.bucket}/tf-s3/tour/checkpoints/model/")
    keys = {item["Key"].removeprefix(prefix) for item in jobs.s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]}
    assert keys - {""} == {"checkpoint", "ckpt-3.index", "ckpt-3.data-00000-of-00001", "ckpt-4.index",
                           "ckpt-4.data-00000-of-00001"}
    unfinished = jobs.s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    assert not [upload for upload in unfinished if upload["Key"].startswith("tf-s3/")]


def test_the_library_loaded_by_hand_outside_of_jobs(jobs):
    result = subprocess.run(
        [sys.executable, str(TOUR), "--model_dir", f"s3://{jobs.bucket}/by-hand", "--plugin", str(LIBRARY)],
        capture_output=True, text=True, timeout=DEADLINE, env=jobs.engine.client_environment())
    assert result.returncode == 0, result.stderr
    assert_whole_tour(result.stdout.splitlines())


def https(engine):
    """Variables for the engine's TLS, as for any S3 that speaks it: one of them names the authority to believe."""
    variables = engine.client_environment()
    del variables["AWS_ENDPOINT_URL"]
    return variables | {"AWS_ENDPOINT_URL_S3": engine.endpoint.replace("http://", "https://")}


def test_an_endpoint_with_tls(jobs):
    variables = https(jobs.engine)
    result = subprocess.run(
        [sys.executable, str(TOUR), "--model_dir", f"s3://{jobs.bucket}/tls", "--plugin", str(LIBRARY)],
        capture_output=True, text=True, timeout=DEADLINE, env=variables | {"S3_VERIFY_SSL": "1"})
    assert result.returncode == 0, result.stderr
    assert_whole_tour(result.stdout.splitlines())


TLS_IN_A_JOB = """\
import os
# A script that forces HTTPS in every way there is.
os.environ["S3_USE_HTTPS"] = "1"
address = os.environ["AWS_ENDPOINT_URL"].removeprefix("http://")
import tensorflow as tf
def tried(what):
    path = os.environ["PLACE"] + "/" + what
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(what)
    print(what, tf.io.gfile.GFile(path).read() == what, flush=True)
tried("the-flag-alone")
os.environ["AWS_ENDPOINT_URL"] = "https://" + address
tried("with-a-scheme")
del os.environ["AWS_ENDPOINT_URL"]
os.environ.pop("AWS_ENDPOINT_URL_S3", None)
os.environ.pop("S3_ENDPOINT_URL", None)
os.environ["S3_ENDPOINT"] = address
tried("without-a-scheme")
"""


@pytest.mark.parametrize("isolated", [False, True])
def test_a_job_that_forces_https_reaches_the_engine(jobs, isolated):
    description = jobs.completed(TLS_IN_A_JOB, deadline=DEADLINE, EnableNetworkIsolation=isolated,
                                 Environment={"PLACE": f"s3://{jobs.bucket}/forced-{isolated}"})
    lines = [line for line in jobs.lines(description["TrainingJobName"]) if line.endswith("True")]
    assert lines == ["the-flag-alone True", "with-a-scheme True", "without-a-scheme True"]


def test_wrong_surroundings_are_told(jobs):
    script = (f"import tensorflow as tf\ntf.experimental.register_filesystem_plugin({str(LIBRARY)!r})\n"
              "import os\n"
              "def attempt(**changes):\n"
              "    kept = dict(os.environ)\n"
              "    os.environ.update(changes)\n"
              f"    try: print('found', tf.io.gfile.exists('s3://{jobs.bucket}'))\n"
              "    except tf.errors.OpError as error: print(type(error).__name__, error.message)\n"
              "    os.environ.update(kept)\n"
              "attempt()\n"
              "attempt(AWS_SECRET_ACCESS_KEY='wrong')\n"
              "attempt()\n"
              "tls = os.environ['AWS_ENDPOINT_URL'].replace('http://', 'https://')\n"
              "attempt(AWS_ENDPOINT_URL=tls, S3_CA_FILE='/etc/ssl/certs/ca-certificates.crt')\n"
              "attempt(AWS_ENDPOINT_URL=tls, S3_CA_FILE='/none.pem')\n"
              "attempt(AWS_ENDPOINT_URL=tls, S3_CA_FILE='/etc/ssl/certs/ca-certificates.crt', S3_VERIFY_SSL='0')\n"
              "del os.environ['AWS_ENDPOINT_URL']; attempt()\n")
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE,
                            env=jobs.engine.client_environment())
    assert result.returncode == 0, result.stderr
    first, wrong, right, stranger, no_file, unverified, without = result.stdout.splitlines()
    assert first == right == unverified == "found True"  # credentials are read at every request
    assert wrong.startswith("PermissionDeniedError") or wrong.startswith("UnauthenticatedError"), wrong
    assert stranger.startswith("FailedPreconditionError") and "is not trusted" in stranger, stranger
    assert no_file.startswith("FailedPreconditionError") and "/none.pem" in no_file, no_file
    assert without.startswith("FailedPreconditionError") and "AWS_ENDPOINT_URL" in without


HOOKED = """\
import os, subprocess, sys
assert "tensorflow" not in sys.modules, "the hook imported TensorFlow"
assert os.environ["MARK_OF_SITECUSTOMIZE"] == "the user's ran", "a sitecustomize of the user's did not run"
import sitecustomize
assert sitecustomize.__file__ == "/opt/ml/code/sitecustomize.py", sitecustomize.__file__
here = os.path.dirname(os.environ["SAGEBRUSH_TF_S3_PLUGIN"])
assert here not in sys.path and os.path.isfile(here + "/sitecustomize.py"), sys.path
try:
    open(here + "/new", "w")
except OSError:
    pass
else:
    raise SystemExit("the plug-in's directory can be written")
"""


def test_the_hook_leaves_the_users_python_as_it_was(jobs):
    jobs.completed(HOOKED, files={
        "sitecustomize.py": "import os\nos.environ['MARK_OF_SITECUSTOMIZE'] = \"the user's ran\"\n"})


def test_an_empty_variable_switches_the_file_system_off(jobs):
    jobs.completed("import os, sys\nassert not any('tensorflow-s3' in path for path in sys.path)\n"
                   "assert os.environ['PYTHONPATH'] == '/opt/ml/code'\n", Environment={"SAGEBRUSH_TF_S3_PLUGIN": ""})


def test_the_library_exports_and_needs_nothing_that_could_clash():
    symbols = subprocess.run(["nm", "-D", str(LIBRARY)], capture_output=True, text=True, check=True).stdout
    exported = [line.split()[-1] for line in symbols.splitlines() if line.split()[-2] not in ("U", "w")]
    assert exported == ["TF_InitPlugin"]
    undefined = [line.split()[-1] for line in symbols.splitlines() if line.split()[-2] == "U"]
    assert undefined and all("@GLIBC" in name for name in undefined), undefined


def test_our_declarations_fit_the_header_of_the_installed_tensorflow():
    tensorflow = next(pathlib.Path(entry) / "tensorflow/include" for entry in sys.path
                      if os.path.isdir(os.path.join(entry, "tensorflow/include")))
    compiler = shutil.which("clang++-19")
    if compiler is None:
        pytest.fail("clang++-19, which builds Sagebrush, is not installed")
    command = [compiler, "-std=c++23", "-fsyntax-only", "-I", str(REPOSITORY / "src"), "-isystem", str(tensorflow),
               str(SUPPORT / "tf_layout_check.cc")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


CONTINUOUS = """\
import sys
import tensorflow as tf
tf.experimental.register_filesystem_plugin(sys.argv[1])
for number in range(400):
    with tf.io.gfile.GFile(f"{sys.argv[2]}/{number % 7}", "w") as file:
        file.write(f"content {number}")
    with tf.io.gfile.GFile(f"{sys.argv[2]}/{number % 7}") as file:
        assert file.read() == f"content {number}"
    print(number, flush=True)
"""


def test_a_killed_engine_that_comes_back_goes_unnoticed(new_engine):
    jobs = new_engine()
    process = subprocess.Popen([sys.executable, "-c", CONTINUOUS, str(LIBRARY), f"s3://{jobs.bucket}/kept"],
                               stdout=subprocess.PIPE, text=True, env=jobs.engine.client_environment())
    try:
        for _ in range(2):
            for _ in range(40):
                assert process.stdout.readline(), "the program ended early"
            jobs.engine.kill()
            jobs.engine.start()
        assert process.stdout.read().splitlines()[-1] == "399"
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
