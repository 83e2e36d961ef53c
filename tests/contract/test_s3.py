"""The S3 surface that SDKs, training scripts and tools use, by boto3."""

import base64
import concurrent.futures
import hashlib
import io
import os
import urllib.error
import urllib.request
import uuid
import zlib

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from boto3.s3.transfer import TransferConfig

from support.jobs import REGION

ODD_KEYS = ["a b", "a+b", "a%20b", "ä/ö", "☃", "dots/../up", "//double", "q?x=1&y=2", "<&>'\"", "tab\there", "~tilde", "#hash"]


@pytest.fixture
def s3(jobs):
    return jobs.s3


@pytest.fixture
def bucket(s3):
    name = f"s3-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name


def error_of(call, *arguments, **options):
    with pytest.raises(ClientError) as failure:
        call(*arguments, **options)
    response = failure.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def body(s3, bucket, key, **options):
    return s3.get_object(Bucket=bucket, Key=key, **options)["Body"].read()


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def test_an_object_keeps_its_content_metadata_and_headers(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"12345", ContentType="text/x", Metadata={"one": "1", "two": "zwei"},
                  CacheControl="no-cache", ContentEncoding="identity", ContentDisposition="inline")
    head, get = s3.head_object(Bucket=bucket, Key="k"), s3.get_object(Bucket=bucket, Key="k")
    for reply in (head, get):
        assert reply["ContentLength"] == 5
        assert reply["ContentType"] == "text/x"
        assert reply["Metadata"] == {"one": "1", "two": "zwei"}
        assert reply["CacheControl"] == "no-cache"
        assert reply["ContentDisposition"] == "inline"
        assert reply["ETag"] == f'"{hashlib.md5(b"12345").hexdigest()}"'
    assert get["Body"].read() == b"12345"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 3_000_001])
def test_every_size_comes_back_whole(s3, bucket, size):
    content = os.urandom(size)
    s3.put_object(Bucket=bucket, Key="k", Body=content)
    assert body(s3, bucket, "k") == content


def test_a_second_put_replaces_the_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", Metadata={"a": "1"})
    s3.put_object(Bucket=bucket, Key="k", Body=b"second")
    reply = s3.get_object(Bucket=bucket, Key="k")
    assert reply["Body"].read() == b"second" and reply["Metadata"] == {}


@pytest.mark.parametrize("range_, expected", [
    ("bytes=0-3", b"0123"), ("bytes=4-", b"456789"), ("bytes=-3", b"789"), ("bytes=9-100", b"9"), ("bytes=5-5", b"5")])
def test_ranges(s3, bucket, range_, expected):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    reply = s3.get_object(Bucket=bucket, Key="k", Range=range_)
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert reply["ContentRange"].endswith("/10")
    assert reply["Body"].read() == expected


def test_a_range_beyond_the_end_is_refused(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123")
    assert error_of(s3.get_object, Bucket=bucket, Key="k", Range="bytes=4-") == ("InvalidRange", 416)


def test_conditional_reads(s3, bucket):
    tag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    assert body(s3, bucket, "k", IfMatch=tag) == b"x"
    assert error_of(s3.get_object, Bucket=bucket, Key="k", IfMatch='"0"') == ("PreconditionFailed", 412)
    assert error_of(s3.get_object, Bucket=bucket, Key="k", IfNoneMatch=tag) == ("304", 304)
    assert error_of(s3.get_object, Bucket=bucket, Key="k", IfModifiedSince=modified) == ("304", 304)
    assert body(s3, bucket, "k", IfUnmodifiedSince=modified) == b"x"


def test_a_conditional_write_makes_an_object_only_once(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    assert error_of(s3.put_object, Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert body(s3, bucket, "k") == b"first"


def test_of_many_simultaneous_conditional_writes_one_wins(s3, bucket):
    def put(number):
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=str(number).encode(), IfNoneMatch="*")
            return number
        except ClientError as error:
            assert error.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(put, range(16)) if number is not None]
    assert len(winners) == 1
    assert body(s3, bucket, "k") == str(winners[0]).encode()


@pytest.mark.parametrize("algorithm, member", [
    ("CRC32", "ChecksumCRC32"), ("SHA256", "ChecksumSHA256"), ("SHA1", "ChecksumSHA1")])
def test_checksums_are_kept_and_returned(s3, bucket, algorithm, member):
    s3.put_object(Bucket=bucket, Key="k", Body=b"data", ChecksumAlgorithm=algorithm)
    expected = {"CRC32": crc32(b"data"), "SHA256": base64.b64encode(hashlib.sha256(b"data").digest()).decode(),
                "SHA1": base64.b64encode(hashlib.sha1(b"data").digest()).decode()}[algorithm]
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert head[member] == expected
    assert body(s3, bucket, "k") == b"data"


def test_a_wrong_checksum_or_digest_stores_nothing(s3, bucket):
    code, status = error_of(s3.put_object, Bucket=bucket, Key="k", Body=b"data", ChecksumCRC32=crc32(b"other"))
    assert status == 400 and code in ("BadDigest", "InvalidRequest", "XAmzContentChecksumMismatch")
    wrong = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert error_of(s3.put_object, Bucket=bucket, Key="k", Body=b"data", ContentMD5=wrong) == ("BadDigest", 400)
    assert error_of(s3.head_object, Bucket=bucket, Key="k") == ("404", 404)


def test_copy_keeps_or_replaces_the_metadata(s3, bucket):
    s3.put_object(Bucket=bucket, Key="from ☃", Body=b"data", Metadata={"a": "1"}, ContentType="text/x")
    source = {"Bucket": bucket, "Key": "from ☃"}
    s3.copy_object(Bucket=bucket, Key="kept", CopySource=source)
    s3.copy_object(Bucket=bucket, Key="replaced", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"})
    assert body(s3, bucket, "kept") == body(s3, bucket, "replaced") == b"data"
    assert s3.head_object(Bucket=bucket, Key="kept")["Metadata"] == {"a": "1"}
    assert s3.head_object(Bucket=bucket, Key="kept")["ContentType"] == "text/x"
    assert s3.head_object(Bucket=bucket, Key="replaced")["Metadata"] == {"b": "2"}
    missing = {"Bucket": bucket, "Key": "nothing"}
    assert error_of(s3.copy_object, Bucket=bucket, Key="k", CopySource=missing) == ("NoSuchKey", 404)


def test_multipart_upload_by_hand_in_any_order(s3, bucket):
    parts = {1: os.urandom(5 * 1024 * 1024), 2: os.urandom(5 * 1024 * 1024 + 3), 3: b"the last"}
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", Metadata={"m": "1"})["UploadId"]
    tags = {}
    for number in (3, 1, 2):
        tags[number] = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=number, Body=parts[number])["ETag"]
    listed = s3.list_parts(Bucket=bucket, Key="k", UploadId=upload)["Parts"]
    assert [(part["PartNumber"], part["Size"]) for part in listed] == [(n, len(parts[n])) for n in (1, 2, 3)]
    assert error_of(s3.head_object, Bucket=bucket, Key="k") == ("404", 404)
    done = s3.complete_multipart_upload(Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": number, "ETag": tags[number]} for number in (1, 2, 3)]})
    assert done["ETag"].endswith('-3"')
    assert body(s3, bucket, "k") == b"".join(parts.values())
    assert s3.head_object(Bucket=bucket, Key="k")["Metadata"] == {"m": "1"}


def test_multipart_mistakes_are_named(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    tag = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=1, Body=b"small")["ETag"]
    tag2 = s3.upload_part(Bucket=bucket, Key="k", UploadId=upload, PartNumber=2, Body=b"small")["ETag"]

    def complete(*parts):
        return error_of(s3.complete_multipart_upload, Bucket=bucket, Key="k", UploadId=upload, MultipartUpload={
            "Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]})

    assert complete((1, '"0"')) == ("InvalidPart", 400)
    assert complete((2, tag2), (1, tag)) == ("InvalidPartOrder", 400)
    assert complete((1, tag), (2, tag2)) == ("EntityTooSmall", 400)
    s3.abort_multipart_upload(Bucket=bucket, Key="k", UploadId=upload)
    assert error_of(s3.list_parts, Bucket=bucket, Key="k", UploadId=upload) == ("NoSuchUpload", 404)


def test_managed_transfer_of_20_mib_both_ways_and_a_copy(s3, bucket):
    content = os.urandom(20 * 1024 * 1024)
    s3.upload_fileobj(io.BytesIO(content), bucket, "large")
    config = TransferConfig(multipart_threshold=8 << 20, multipart_chunksize=8 << 20)
    s3.copy({"Bucket": bucket, "Key": "large"}, bucket, "copy", Config=config)
    for key in ("large", "copy"):
        back = io.BytesIO()
        s3.download_fileobj(bucket, key, back, Config=config)
        assert back.getvalue() == content, key


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_are_kept_byte_for_byte(s3, bucket, key):
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert body(s3, bucket, key) == key.encode()
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    assert [entry["Key"] for entry in s3.list_objects(Bucket=bucket)["Contents"]] == [key]
    s3.delete_object(Bucket=bucket, Key=key)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


@pytest.fixture
def listing(s3, bucket):
    keys = sorted([f"dir{d}/file {n:02d}+" for d in range(3) for n in range(7)] + ["top", "zz ☃"], key=lambda k: k.encode())
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    return keys


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("page_size", [1, 4, 1000])
def test_listing_pages_hold_every_key_once_in_order(s3, bucket, listing, operation, page_size):
    pages = s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": page_size})
    assert [entry["Key"] for page in pages for entry in page.get("Contents", [])] == listing


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_a_delimiter_folds_keys_into_prefixes(s3, bucket, listing, operation, page_size):
    pages = list(s3.get_paginator(operation).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": page_size}))
    prefixes = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", [])]
    assert prefixes == ["dir0/", "dir1/", "dir2/"]
    assert [entry["Key"] for page in pages for entry in page.get("Contents", [])] == ["top", "zz ☃"]


def test_prefix_and_start_after(s3, bucket, listing):
    inside = s3.list_objects_v2(Bucket=bucket, Prefix="dir1/", StartAfter="dir1/file 03+")
    assert [entry["Key"] for entry in inside["Contents"]] == [f"dir1/file {n:02d}+" for n in (4, 5, 6)]
    assert inside["KeyCount"] == 3 and not inside["IsTruncated"]


def test_many_deletes_in_one_call(s3, bucket, listing):
    reply = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in [*listing[:5], "not there"]]})
    assert sorted(entry["Key"] for entry in reply["Deleted"]) == sorted([*listing[:5], "not there"])
    assert [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]] == listing[5:]
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Quiet": True, "Objects": [{"Key": listing[5]}]})
    assert "Deleted" not in quiet


def test_buckets(s3, bucket):
    assert bucket in [entry["Name"] for entry in s3.list_buckets()["Buckets"]]
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == REGION
    assert error_of(s3.create_bucket, Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})[1] == 409
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert error_of(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    assert error_of(s3.head_bucket, Bucket=bucket) == ("404", 404)
    assert error_of(s3.list_objects_v2, Bucket=bucket) == ("NoSuchBucket", 404)
    assert error_of(s3.put_object, Bucket=bucket, Key="k", Body=b"") == ("NoSuchBucket", 404)


def test_the_expected_owner_must_be_the_account(s3, jobs, bucket):
    account = jobs.client("sts").get_caller_identity()["Account"]
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    assert error_of(s3.head_bucket, Bucket=bucket, ExpectedBucketOwner="999999999999")[1] == 403


def test_missing_things_have_their_codes(s3, bucket):
    assert error_of(s3.get_object, Bucket=bucket, Key="nothing") == ("NoSuchKey", 404)
    assert error_of(s3.head_object, Bucket=bucket, Key="nothing") == ("404", 404)
    assert s3.delete_object(Bucket=bucket, Key="nothing")["ResponseMetadata"]["HTTPStatusCode"] == 204


@pytest.mark.parametrize("version", ["s3", "s3v4"], ids=["old query signature", "SigV4"])
def test_presigned_addresses_read_and_write(jobs, bucket, version):
    client = jobs.client("s3", config=Config(signature_version=version, proxies={}, s3={"addressing_style": "path"}))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    put = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b+"}, ExpiresIn=60)
    assert opener.open(urllib.request.Request(put, data=b"signed", method="PUT", headers={"Content-Type": ""})).status == 200
    get = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b+"}, ExpiresIn=60)
    assert opener.open(get).read() == b"signed"
    with pytest.raises(urllib.error.HTTPError) as failure:
        opener.open(get.replace("ignature=", "ignature=x", 1))
    assert failure.value.code == 403
    expired = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "a b+"}, ExpiresIn=-5)
    with pytest.raises(urllib.error.HTTPError) as failure:
        opener.open(expired)
    assert failure.value.code in (400, 403)


def test_encryption_acl_and_tagging_headers_do_no_harm(s3, bucket):
    """The SDK sends the first with its source archives; none changes how an object is kept here."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", ACL="private", Tagging="a=b")
    assert body(s3, bucket, "k") == b"x"


def test_tls_uploads_arrive_as_they_were(jobs, bucket, tmp_path):
    """Over TLS boto3 sends aws-chunked bodies with a trailing checksum, through the proxy, to virtual hosts."""
    environment = jobs.engine.environment()
    client = jobs.client("s3", endpoint_url=None, verify=environment["AWS_CA_BUNDLE"],
                         config=Config(proxies={"https": environment["HTTPS_PROXY"]}))
    for size in (0, 10, 3 << 20):
        content = os.urandom(size)
        client.put_object(Bucket=bucket, Key="tls", Body=io.BytesIO(content))
        reply = client.get_object(Bucket=bucket, Key="tls")
        assert reply["Body"].read() == content
        assert "aws-chunked" not in reply.get("ContentEncoding", "")
