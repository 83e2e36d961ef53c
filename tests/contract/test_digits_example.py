"""examples/digits as the README tells: the real SDK, real data, real TensorFlow, from fit to the test accuracy,
and from deploy to what the endpoint answers."""

import re
import subprocess
import sys

import pytest

from support.engine import REPOSITORY
from support.waiting import wait_until


@pytest.mark.slow
def test_fit_and_attach_reaches_the_accuracy(jobs, tmp_path):
    environment = jobs.engine.client_environment(
        HOME=str(tmp_path), SAGEBRUSH=str(jobs.engine.binary), SAGEBRUSH_HOME=str(jobs.engine.data_dir))
    result = subprocess.run([sys.executable, str(REPOSITORY / "examples/digits/fit_and_attach.py")], env=environment,
                            cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    name = re.search(r"Training job (\S+) is submitted", result.stdout)[1]
    jobs.names.append(name)
    assert "epoch=12 " in result.stdout
    assert float(re.search(r"Test accuracy: ([0-9.]+)", result.stdout)[1]) > 0.95
    assert any(line.startswith("epoch=1 ") for line in jobs.lines(name))

    result = subprocess.run([sys.executable, str(REPOSITORY / "examples/digits/deploy_and_predict.py"), name],
                            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=400)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    assert float(re.search(r"Endpoint accuracy: ([0-9.]+)", result.stdout)[1]) > 0.95
    wait_until(lambda: not jobs.sagemaker.list_endpoints(NameContains="digits")["Endpoints"], 60,
               "the endpoint to be deleted")
