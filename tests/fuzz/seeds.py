"""Writes the inputs that each libFuzzer program starts from: python3 seeds.py DIRECTORY -> DIRECTORY/PROGRAM/NUMBER

One small valid input of each form that a reader knows is enough; the fuzzers find the rest.
"""

import pathlib
import struct
import sys


def npy(descr, shape, data, version=1):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def varint(number):
    encoded = b""
    while number >= 0x80:
        encoded += bytes([number & 0x7F | 0x80])
        number >>= 7
    return encoded + bytes([number])


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, *parts):
    """A field of bytes: a string or a message of these fields."""
    value = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(value)) + value


def tensor_info(field, alias, kind, shape):
    return message(field, message(1, alias), message(2, message(1, alias + ":0"), number(2, kind), message(3, shape)))


def meta_graph():
    rows = message(2, number(1, (1 << 64) - 1)) + message(2, number(1, 28))
    signature = (tensor_info(1, "x", 1, rows), tensor_info(2, "y", 2, number(3, 1)),
                 message(3, "tensorflow/serving/predict"))
    return message(2, "a graph") + message(5, message(1, "serving_default"), message(2, *signature))


SEEDS = {
    "parser_fuzz": [
        "\x80POST /p?q=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody",
        "\x20POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n0\r\nTrailer: t\r\n\r\n",
        "\x41HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    ],
    "json_fuzz": [
        '{"TrainingJobName": "j", "HyperParameters": {"a": "1"}, "RoleArn": "arn:aws:iam::000000000000:role/r",'
        ' "OutputDataConfig": {"S3OutputPath": "s3://b/"}, "ResourceConfig": {"InstanceCount": 1, "VolumeSizeInGB": 1}}',
        '{"logGroupName": "g", "logStreamName": "s", "logEvents": [{"timestamp": 1, "message": "m"}]}',
    ],
    "sigv4_fuzz": [
        "Credential=K/20260131/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + "0" * 64,
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=K%2F20260131%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20260131T123456Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=" + "0" * 64,
    ],
    "json_body_fuzz": [
        '{"signature_name": "t", "instances": [{"a": 1.5, "b": true}, {"a": -2e3, "b": false}]}',
        '{"inputs": {"a": [[1, 2]], "b": [true]}, "signature_name": "t"}',
        '{"signature_name": "s", "instances": ["text", {"b64": "aGk="}, "\\u00e9\\ud83d\\ude00"]}',
        '{"signature_name": "i", "inputs": [[-128, 127], [0, 1]]}',
        '[[1.0, NaN], [Infinity, 1e-45]]',
        '[1]\n[2]\n\n[3]',
        '{"x": 1}{"x": 2}',
        '{"context": {"f": 1}, "examples": [{"g": [0.5, 1.0]}, {"h": {"b64": "aGk="}}]}',
    ],
    "csv_fuzz": ['a,b\n1.5,"x, ""y"""\r\n\r\n2,\n', "1\n2\n", '"text"\n'],
    "npy_fuzz": [
        npy("<f4", "(2, 1)", struct.pack("<2f", 1, 2)),
        npy(">i2", "(2,)", struct.pack(">2h", 1, -1), version=2),
        npy("<f4", "(2, 2)", struct.pack("<4f", 1, 2, 3, 4)).replace(b"False", b"True "),
        npy("|S3", "(2,)", b"abcde\0"),
        npy("<U2", "(1,)", "hi".encode("utf-32-le")),
        npy("|b1", "()", b"\1"),
    ],
    "signature_fuzz": [meta_graph()],
}


def main():
    for program, seeds in SEEDS.items():
        directory = pathlib.Path(sys.argv[1]) / program
        directory.mkdir(parents=True, exist_ok=True)
        for index, seed in enumerate(seeds):
            data = seed if isinstance(seed, bytes) else seed.encode("latin-1")
            (directory / str(index)).write_bytes(data)


if __name__ == "__main__":
    main()
