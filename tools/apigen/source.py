"""Where the models come from: the pinned botocore wheel, or an installed package of the same version."""
import contextlib
import gzip
import hashlib
import json
import pathlib
import subprocess
import sys
import tomllib
import zipfile


class SourceError(Exception):
    pass


def load_toml(path):
    with open(path, "rb") as file:
        try:
            return tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise SourceError(f"{path}: {error}") from error


def _download(version, wheel_sha256, cache):
    wheel = cache / f"botocore-{version}-py3-none-any.whl"
    if not wheel.exists():
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
                   "--dest", str(cache), f"botocore=={version}"]
        if subprocess.run(command, check=False).returncode != 0 or not wheel.exists():
            raise SourceError(f"cannot download botocore {version}; pass --botocore PATH to use a copy you have.")
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != wheel_sha256:
        raise SourceError(f"{wheel} has sha256 {found}, but idl/botocore.toml pins {wheel_sha256}.")
    return wheel


def _parse(service, pin, data):
    text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    found = hashlib.sha256(text).hexdigest()
    if found != pin["models"][service]["sha256"]:
        raise SourceError(f"the model of {service} has sha256 {found}, not the one that idl/botocore.toml pins: "
                          f"this is not botocore {pin['version']}.")
    return json.loads(text)


@contextlib.contextmanager
def open_botocore(pin, path, cache):
    """Yields read(service) -> the service's model as a dict, verified against the pin."""
    if path is None:
        path = _download(pin["version"], pin["wheel_sha256"], cache)
    if path.is_dir():
        def read(service):
            stem = pathlib.PurePosixPath(pin["models"][service]["path"])
            for candidate in (path / stem, path / f"{stem}.gz"):
                if candidate.exists():
                    return _parse(service, pin, candidate.read_bytes())
            raise SourceError(f"{path} has no {stem}; give the folder of the botocore package.")
        yield read
        return
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"{path}: {error}") from error
    with archive:
        names = set(archive.namelist())

        def read_member(service):
            stem = "botocore/" + pin["models"][service]["path"]
            for candidate in (stem, stem + ".gz"):
                if candidate in names:
                    return _parse(service, pin, archive.read(candidate))
            raise SourceError(f"{path} has no {stem}.")
        yield read_member
