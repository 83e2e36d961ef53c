"""MLServer with a runtime of its own, as its documentation makes one: python mlserver_peer.py VERSION PORT BATCHING

One process (`parallel_workers` 0, the faster on one core); the adaptive batching of its model settings where BATCHING is 1.
"""

import json
import os
import pathlib
import socket
import sys
import tempfile

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

import digits


class Digits(MLModel):
    async def load(self):
        self._predict = digits.load(self.settings.parameters.uri)
        return True

    async def predict(self, payload):
        scores = self._predict(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("scores", scores)])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(version, port, batching):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mlserver-", dir=os.environ["TMPDIR"]))
    settings = {"host": "127.0.0.1", "http_port": int(port), "grpc_port": free_port(), "metrics_port": free_port(),
                "parallel_workers": 0, "debug": False, "use_structured_logging": False}
    model = {"name": "digits", "implementation": "mlserver_peer.Digits", "parameters": {"uri": version}}
    if batching == "1":
        model |= {"max_batch_size": 64, "max_batch_time": 0.001}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    os.environ["PYTHONPATH"] = str(pathlib.Path(__file__).parent)
    command = pathlib.Path(sys.executable).with_name("mlserver")
    os.execv(command, [str(command), "start", str(folder)])


if __name__ == "__main__":
    main(*sys.argv[1:])
