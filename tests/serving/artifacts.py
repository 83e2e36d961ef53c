"""Model directories as the hosted TensorFlow container is given them, made of the tests' SavedModels."""

import os
import pathlib
import shutil
import textwrap

MODELS = pathlib.Path(os.environ.get("SAGEBRUSH_SERVING_MODELS", ""))


def artifact(directory, code=None, requirements=None, **models):
    """directory as an unpacked model.tar.gz: each model under its name (versions and all), code as code/inference.py."""
    directory = pathlib.Path(directory)
    for place, model in models.items():
        shutil.copytree(MODELS / model, directory / place)
    if code is not None:
        (directory / "code").mkdir(parents=True, exist_ok=True)
        (directory / "code/inference.py").write_text(textwrap.dedent(code))
    if requirements is not None:
        (directory / "code/requirements.txt").write_text(requirements)
    return directory
