"""Ray Serve with one replica that holds the model: python ray_peer.py VERSION PORT BATCHING

As its tutorial for TensorFlow and its guide to dynamic batching do it; `@serve.batch` where BATCHING is 1.
"""

import os
import signal
import sys

import numpy as np
import ray
from ray import serve


@serve.deployment(max_ongoing_requests=100)
class Digits:
    def __init__(self, version, batching):
        import digits

        self._predict = digits.load(version)
        self._batching = batching

    @serve.batch(max_batch_size=8, batch_wait_timeout_s=0.001)
    async def merged(self, requests):
        scores = self._predict(np.concatenate(requests))
        ends = np.cumsum([len(images) for images in requests])
        return np.split(scores, ends[:-1])

    async def __call__(self, request):
        images = np.array((await request.json())["instances"], np.float32)
        scores = await self.merged(images) if self._batching else self._predict(images)
        return {"predictions": scores.tolist()}


def main(version, port, batching):
    here = os.path.dirname(os.path.abspath(__file__))
    environment = {"env_vars": {"PYTHONPATH": here}}
    ray.init(num_cpus=1, include_dashboard=False, runtime_env=environment, _temp_dir=os.environ["TMPDIR"],
             configure_logging=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(port), "access_log": False})
    serve.run(Digits.options(ray_actor_options={"num_cpus": 0.5}).bind(version, batching == "1"), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM})
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
