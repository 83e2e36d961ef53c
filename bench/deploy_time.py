"""From the CreateEndpoint call to InService, beyond what the model server's own start takes.

The environment is cached, as after a training job. Beside the endpoint: the same server with the same model, started by
hand until its first good ping; that time is the model's own.
"""

import http.client
import statistics
import time

from endpoints import create, digits_endpoints
from harness import Report, Row
from model_server import model, model_server

NAME = "deploy-time"
TARGET_S = 1


def bare_start():
    """Seconds from the server's start by hand until it has answered."""
    began = time.monotonic()
    with model_server({"digits": model("digits")}) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.ports["rest"])
        connection.request("GET", "/v1/models/digits")
        assert connection.getresponse().status == 200
        return time.monotonic() - began


def run(smoke):
    rounds = 1 if smoke else 7
    deploys, bare, gone = [], [], []
    with digits_endpoints() as (endpoints, digits):
        config = endpoints.config(digits)
        endpoints.delete(create(endpoints, config)[0])
        for _ in range(rounds):
            name, seconds = create(endpoints, config)
            deploys.append(seconds)
            bare.append(bare_start())
            began = time.monotonic()
            endpoints.delete(name)
            endpoints.gone(name)
            gone.append(time.monotonic() - began)
    figure = statistics.median(deploys) - statistics.median(bare)
    rows = [Row("CreateEndpoint to InService", "s", deploys), Row("server alone: start to first answer", "s", bare),
            Row("DeleteEndpoint until it is gone", "s", gone)]
    return Report(NAME, "digits CNN, one instance; figure = CreateEndpoint to InService - the server's own start", figure, "s",
                  TARGET_S, rows)
