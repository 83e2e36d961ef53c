"""For training scripts of tests, shipped with their source: PutObject signed by hand, with the standard library only."""

import datetime
import hashlib
import hmac
import http.client
import os
import time
import urllib.parse

RETRY_SECONDS = 60


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _signed_headers(host, path, body):
    region = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION", "us-west-2")
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    headers = {"host": host, "x-amz-content-sha256": hashlib.sha256(body).hexdigest(), "x-amz-date": stamp}
    if os.environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = os.environ["AWS_SESSION_TOKEN"]
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"PUT\n{path}\n\n{lines}\n{names}\n{headers['x-amz-content-sha256']}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
    headers["authorization"] = (f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, "
                                f"SignedHeaders={names}, Signature={signature}")
    return headers


def put(bucket, key, body):
    """Stores the object; goes on trying for a minute while the engine is away, since a test may have killed it."""
    address = urllib.parse.urlsplit(os.environ["AWS_ENDPOINT_URL"])
    path = "/" + urllib.parse.quote(f"{bucket}/{key}", safe="/~")
    end = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
            connection.request("PUT", path, body=body, headers=_signed_headers(address.netloc, path, body))
            reply = connection.getresponse()
            text = reply.read()
            if reply.status == 200:
                return
            if reply.status < 500:
                raise RuntimeError(f"PUT {path}: {reply.status} {text[:500]!r}")
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() >= end:
                raise RuntimeError(f"PUT {path}: the engine did not answer: {error}") from error
        time.sleep(0.1)
