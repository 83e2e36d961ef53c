"""Triton Inference Server with a Python function behind it, by pytriton: python pytriton_peer.py VERSION PORT BATCHING

As its documentation binds a TensorFlow model; its dynamic batcher where BATCHING is 1.
"""

import os
import pathlib
import socket
import sys
import sysconfig

import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

import digits


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def find_libraries():
    """Triton's stub must load the interpreter's own libpython, not the system's; the loader reads its path at the start."""
    bundled = pathlib.Path(np.__file__).parents[1] / "nvidia_pytriton.libs"
    path = f"{sysconfig.get_config_var('LIBDIR')}:{bundled}"
    if os.environ.get("LD_LIBRARY_PATH") != path:
        os.environ["LD_LIBRARY_PATH"] = path
        os.execv(sys.executable, [sys.executable, *sys.argv])


def main(version, port, batching):
    find_libraries()
    predict = digits.load(version)

    @batch
    def infer(images):
        return {"scores": predict(images)}

    batcher = {"batcher": DynamicBatcher(max_queue_delay_microseconds=500)} if batching == "1" else {}
    config = TritonConfig(http_address="127.0.0.1", http_port=int(port), grpc_port=free_port(),
                          metrics_port=free_port(), log_verbose=0)
    with Triton(config=config) as triton:
        triton.bind(model_name="digits", infer_func=infer, inputs=[Tensor(name="images", dtype=np.float32, shape=digits.ROW)],
                    outputs=[Tensor(name="scores", dtype=np.float32, shape=(10,))],
                    config=ModelConfig(max_batch_size=256, **batcher))
        triton.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
