"""Jobs that fail: status Failed and a FailureReason that a person can act on."""

import os

import pytest
from botocore.exceptions import ClientError

from support.jobs import assert_legal_transitions


def reason(jobs, *arguments, **options):
    description = jobs.run(*arguments, **options)
    assert description["TrainingJobStatus"] == "Failed", description["TrainingJobStatus"]
    assert description["SecondaryStatus"] == "Failed"
    assert_legal_transitions(description)
    assert 0 < len(description["FailureReason"]) <= 1024
    return description["FailureReason"]


def test_an_exception_is_told_by_type_and_message(jobs):
    text = reason(jobs, "def f():\n    raise ValueError('learning rate must be positive')\nf()\n")
    assert "ValueError" in text and "learning rate must be positive" in text


def test_an_own_exception_class_and_a_long_message(jobs):
    text = reason(jobs, "class MyError(Exception): pass\nraise MyError('x' * 5000)\n")
    assert "MyError" in text


def test_an_exit_code(jobs):
    text = reason(jobs, "import sys\nprint('about to leave')\nsys.exit(3)\n")
    assert "3" in text


def test_an_exit_with_a_message(jobs):
    assert "no data found in the channel" in reason(jobs, "import sys\nsys.exit('no data found in the channel')\n")


def test_a_syntax_error(jobs):
    text = reason(jobs, "def broken(:\n    pass\n")
    assert "SyntaxError" in text and "train.py" in text


def test_a_missing_import(jobs):
    text = reason(jobs, "import no_such_module_anywhere\n")
    assert "ModuleNotFoundError" in text and "no_such_module_anywhere" in text


@pytest.mark.parametrize("signal_name, word", [("SIGSEGV", "SIGSEGV"), ("SIGKILL", "SIGKILL"), ("SIGABRT", "SIGABRT")])
def test_a_signal_is_named(jobs, signal_name, word):
    assert word in reason(jobs, f"import os, signal\nos.kill(os.getpid(), signal.{signal_name})\n")


def test_too_much_memory_is_told_as_such(jobs):
    """ml.t3.medium has 4 GiB; the script asks for more and touches it."""
    text = reason(jobs, """\
keep = []
while len(keep) < 100:
    keep.append(bytearray(b"x") * (64 << 20))
""", instance_type="ml.t3.medium", deadline=120)
    assert "memory" in text.lower()


def test_the_failure_file_is_the_reason(jobs):
    assert "my own words" in reason(jobs, "open('/opt/ml/output/failure', 'w').write('my own words')\nraise SystemExit(1)\n")


def test_a_failed_job_still_uploads_its_output_data(jobs):
    name = jobs.submit("open('/opt/ml/output/data/partial.txt', 'w').write('partial')\nraise SystemExit(1)\n")
    assert jobs.wait(name)["TrainingJobStatus"] == "Failed"
    files = jobs.tar_files(f"s3://{jobs.bucket}/out/{name}/output/output.tar.gz")
    assert list(files.values()) == [b"partial"]


def test_a_missing_channel_prefix_is_named(jobs):
    text = reason(jobs, channels={"train": f"s3://{jobs.bucket}/no/such/prefix"})
    assert "no/such/prefix" in text and "train" in text


def test_a_missing_bucket_is_named(jobs):
    assert "no-such-bucket-here" in reason(jobs, channels={"train": "s3://no-such-bucket-here/x"})


def test_a_missing_source_archive_is_named(jobs):
    name = jobs.new_name()
    request = jobs.request(name)
    request["HyperParameters"]["sagemaker_submit_directory"] = f'"s3://{jobs.bucket}/gone/sourcedir.tar.gz"'
    text = reason(jobs, name=name, HyperParameters=request["HyperParameters"])
    assert "gone/sourcedir.tar.gz" in text


def test_a_source_that_is_no_archive(jobs):
    name = jobs.new_name()
    request = jobs.request(name)
    uri = jobs.put("broken/sourcedir.tar.gz", b"this is no tar file")
    request["HyperParameters"]["sagemaker_submit_directory"] = f'"{uri}"'
    assert "source archive" in reason(jobs, name=name, HyperParameters=request["HyperParameters"])


def test_an_archive_that_climbs_out_harms_nothing(jobs):
    """A member named ../x is refused by its name; nothing lands on the host, and the program does not run."""
    description = jobs.run("print('ran')", files={"../../../../tmp/escaped-sagebrush": "escaped"})
    assert not os.path.exists("/tmp/escaped-sagebrush")
    assert description["TrainingJobStatus"] == "Failed"
    assert "../tmp/escaped-sagebrush" in description["FailureReason"]


def test_an_entry_point_that_the_archive_lacks_is_named(jobs):
    assert "other.py" in reason(jobs, program="other.py")


def test_a_broken_requirements_file_is_told_with_the_package(jobs):
    text = reason(jobs, files={"requirements.txt": "./no-such-directory-here\n"}, deadline=180)
    assert "requirements.txt" in text and "no-such-directory-here" in text


def test_an_unknown_image_is_named(jobs):
    name = jobs.new_name()
    specification = {"TrainingImage": "example.com/nothing-known:1.0", "TrainingInputMode": "File"}
    text = reason(jobs, name=name, AlgorithmSpecification=specification)
    assert "example.com/nothing-known:1.0" in text


def test_an_unknown_instance_type_is_named(jobs):
    """The API model lists the types, so that the request is refused in the hosted words."""
    with pytest.raises(ClientError, match="ml.huge.invented") as failure:
        jobs.submit(instance_type="ml.huge.invented")
    assert failure.value.response["Error"]["Code"] == "ValidationException"


def test_one_failing_host_fails_the_job_and_ends_the_others(jobs):
    text = reason(jobs, """\
import os, time
if os.environ["SM_CURRENT_HOST"] == "algo-2": raise KeyError("only the second")
while True: time.sleep(0.05)
""", instances=2, deadline=60)
    assert "KeyError" in text and "only the second" in text
