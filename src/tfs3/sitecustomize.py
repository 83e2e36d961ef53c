"""Registers Sagebrush's s3:// file system with TensorFlow, once a program imports TensorFlow.

Python imports this at its start because the agent puts this directory first in PYTHONPATH. It runs for a tenth of a
millisecond, after one or two for compiling it: nothing is imported, only a finder waits for the name "tensorflow". A
sitecustomize module of the user's, or of the system's, further down the path runs as if this one were not there.
"""

import os
import sys


class _TensorFlowFinder:
    """Steps aside at the first import of tensorflow, and has its module registered when it has run."""

    def find_spec(self, name, path=None, target=None):
        if name != "tensorflow":
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for finder in list(sys.meta_path):
            find_spec = getattr(finder, "find_spec", None)
            spec = find_spec(name, path, target) if find_spec else None
            if spec is not None:
                break
        else:
            return None
        loader = spec.loader
        if hasattr(loader, "exec_module"):
            run = loader.exec_module

            def exec_module(module):
                run(module)
                _register(module)

            loader.exec_module = exec_module
        return spec


def _register(tensorflow):
    library = os.environ.get("SAGEBRUSH_TF_S3_PLUGIN")
    if not library:
        return
    try:
        tensorflow.experimental.register_filesystem_plugin(library)
    except Exception as error:  # an old or patched TensorFlow must still run without s3://
        print(f"sagebrush: TensorFlow runs without s3:// paths: {error}", file=sys.stderr)


def _give_way():
    """Takes this directory off the module path, and runs the sitecustomize that would have run without it."""
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]
    own = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    if own is not None:
        sys.modules.setdefault("sitecustomize", own)  # Python wants to find one


if os.environ.get("SAGEBRUSH_TF_S3_PLUGIN"):
    sys.meta_path.insert(0, _TensorFlowFinder())
_give_way()
