"""Endpoints at the level of the API: models trained once, what is made of them, and what is left to be taken down."""

import contextlib
import io
import json
import pathlib
import tarfile

from support import leaks
from support.engine import Engine
from support.jobs import REGION, ROLE, Jobs, archive
from support.waiting import wait_until

IMAGE = f"763104351884.dkr.ecr.{REGION}.amazonaws.com/tensorflow-inference:2.19-cpu"
MAKER = pathlib.Path(__file__).with_name("serving_models.py")
# Exports the test models as a training job would its own; the engine packs /opt/ml/model.
TRAIN = """\
import runpy, shutil, sys
sys.argv = ["serving_models.py", "/tmp/models", {names}]
runpy.run_path("serving_models.py", run_name="__main__")
for name in [{names}]:
    shutil.copytree("/tmp/models/" + name, "/opt/ml/model/" + name)
"""
DEADLINE = 120
# What images.toml says of programs of the tests' own: any that serve, without TensorFlow.
PROGRAM_IMAGE = "program:1"
PROGRAM_IMAGES = """\
[[image]]
name = 'program'
pattern = 'program:.*'
serve = ['python3', '/opt/ml/model/serve.py']
"""
# Such a program. It answers with the request's bytes in reverse, and does what its variables say: PING, the status
# that pings get; SECONDS, how long an answer takes; LISTEN=no; DEAF=yes, to a polite end.
PROGRAM = """\
import http.server, os, signal, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self): self.answer(int(os.environ.get("PING", "200")), b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        os.write(1, b"asked\\n")  # whole, whatever other threads print
        time.sleep(float(os.environ.get("SECONDS", "0")))
        self.answer(200, body[::-1])
    def log_message(self, *_): pass
if os.environ.get("DEAF"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("reading the weights", flush=True)
if os.environ.get("LISTEN") == "no":
    while True: signal.pause()
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


@contextlib.contextmanager
def engine_of_programs(more_images="", **variables):
    """Endpoints of an engine of its own, which knows PROGRAM_IMAGES; nothing may be left of it."""
    engine = Engine()
    try:
        engine.data_dir.mkdir(parents=True)
        (engine.data_dir / "images.toml").write_text(PROGRAM_IMAGES + more_images)
        engine.start(**variables)
        made = Endpoints(Jobs(engine))
        yield made
        made.clean_up()
        leaks.assert_nothing_left(engine, [])
        assert engine.stop() == 0, engine.log_tail()
        assert not leaks.processes_of(engine.data_dir)
    finally:
        engine.destroy()


class Endpoints:
    """Makes endpoints of one engine and takes them down. `jobs` is the engine's Jobs."""

    def __init__(self, jobs):
        self.jobs = jobs
        self.sagemaker = jobs.sagemaker
        self.runtime = jobs.client("sagemaker-runtime")
        self.names = []
        self._trained = {}

    def trained(self, *models):
        """The model.tar.gz of a training job that exported these models; one job for each set."""
        if models not in self._trained:
            names = ", ".join(repr(name) for name in models)
            description = self.jobs.run(TRAIN.format(names=names), files={"serving_models.py": MAKER.read_text()},
                                        deadline=DEADLINE)
            assert description["TrainingJobStatus"] == "Completed", description
            self._trained[models] = description["ModelArtifacts"]["S3ModelArtifacts"]
        return self._trained[models]

    def with_code(self, name, data, script):
        """The model of `data` with code/inference.py beside it."""
        with tarfile.open(fileobj=io.BytesIO(self.jobs.get(data))) as packed:
            files = {member.name: packed.extractfile(member).read() for member in packed if member.isfile()}
        return self.artifact(name, files | {"code/inference.py": script})

    def artifact(self, name, files):
        """A model.tar.gz of {path: text or bytes}."""
        return self.jobs.put(f"{name}/model.tar.gz", archive(files))

    def program(self, script=PROGRAM, **environment):
        """A model that is a program of its own; the engine has to have PROGRAM_IMAGES."""
        return self.model(self.artifact("program", {"serve.py": script}), PROGRAM_IMAGE, environment)

    def model(self, data=None, image=IMAGE, environment=None, **fields):
        name = self.jobs.new_name("model")
        container = {"Image": image, "Environment": environment or {}}
        if data:
            container["ModelDataUrl"] = data
        self.sagemaker.create_model(ModelName=name, ExecutionRoleArn=ROLE, PrimaryContainer=container, **fields)
        return name

    def config(self, *variants, **fields):
        """Variants are dictionaries that need no more than ModelName; or names of models."""
        name = self.jobs.new_name("config")
        full = []
        for number, variant in enumerate(variants):
            variant = {"ModelName": variant} if isinstance(variant, str) else variant
            full.append({"VariantName": "AllTraffic" if len(variants) == 1 else f"v{number}",
                         "InitialInstanceCount": 1, "InstanceType": "ml.c5.large", "InitialVariantWeight": 1.0} | variant)
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=full, **fields)
        return name

    def start(self, config):
        name = self.jobs.new_name("endpoint")
        self.names.append(name)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config)
        return name

    def create(self, *variants):
        """An endpoint in service."""
        name = self.start(self.config(*variants))
        description = self.settled(name)
        assert description["EndpointStatus"] == "InService", description
        return name

    def describe(self, name):
        return self.sagemaker.describe_endpoint(EndpointName=name)

    def settled(self, name, deadline=DEADLINE):
        """The description once nothing is in progress."""
        def done():
            description = self.describe(name)
            return description if description["EndpointStatus"] in ("InService", "Failed") else None
        return wait_until(done, deadline, f"endpoint {name} to settle")

    def invoke(self, name, body, content_type="application/json", **fields):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.runtime.invoke_endpoint(EndpointName=name, Body=data, ContentType=content_type, **fields)

    def predict(self, name, body, **fields):
        return json.loads(self.invoke(name, body, **fields)["Body"].read())

    def logged(self, name):
        """What all instances of the endpoint have printed."""
        try:
            pages = self.jobs.logs.get_paginator("filter_log_events").paginate(
                logGroupName=f"/aws/sagemaker/Endpoints/{name}")
            return [event["message"] for page in pages for event in page["events"]]
        except self.jobs.logs.exceptions.ResourceNotFoundException:
            return []  # nothing yet

    def delete(self, name):
        self.sagemaker.delete_endpoint(EndpointName=name)

    def gone(self, name):
        def lost():
            try:
                self.describe(name)
            except self.sagemaker.exceptions.ClientError as error:
                assert error.response["Error"]["Code"] == "ValidationException", error
                assert "Could not find" in error.response["Error"]["Message"]
                return True
            return False
        wait_until(lost, DEADLINE, f"endpoint {name} to be deleted")

    def instances(self, name):
        """The driver's directories of the endpoint's instances."""
        return sorted((self.jobs.engine.data_dir / "instances").glob(f"ep_{name}.*"))

    def agents(self, name):
        """The process numbers of the agents of its instances."""
        pids = []
        for directory in self.instances(name):
            processes = directory / "processes"
            if processes.exists():
                pids.append(int(processes.read_text().split(":")[0]))
        return pids

    def clean_up(self):
        for name in self.names:
            try:
                self.delete(name)
            except self.sagemaker.exceptions.ClientError:
                continue
        for name in self.names:
            self.gone(name)
            assert not self.instances(name), self.instances(name)
