"""examples/digits with version 3 of the SDK as its README tells: real data, real TensorFlow, from train to invoke."""

import re
import subprocess
import sys

from support.engine import REPOSITORY
from support.waiting import wait_until


def test_train_and_deploy_reaches_the_accuracy(jobs, tmp_path):
    environment = jobs.engine.client_environment(HOME=str(tmp_path))
    result = subprocess.run([sys.executable, str(REPOSITORY / "examples/digits/train_and_deploy_v3.py")], env=environment,
                            cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    name = re.search(r"Training job (\S+): Completed", result.stdout)[1]
    jobs.names.append(name)
    assert re.search(r"^epoch=12 ", result.stdout, re.MULTILINE), "the job's output is printed"
    assert float(re.search(r"Endpoint accuracy: ([0-9.]+)", result.stdout)[1]) > 0.95
    wait_until(lambda: not jobs.sagemaker.list_endpoints(NameContains=name)["Endpoints"], 60, "the endpoint to be deleted")
