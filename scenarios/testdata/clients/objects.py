"""objects.py: what S3's users do first, by boto3, over HTTPS and over HTTP."""
import io
import os
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

once = Config(connect_timeout=1, read_timeout=10, retries={"max_attempts": 0})
large = os.urandom(12_000_000)
for scheme, tls in ("https", True), ("http", False):
    s3 = boto3.client("s3", use_ssl=tls, config=once)
    assert s3.meta.endpoint_url.startswith(scheme + "://"), s3.meta.endpoint_url
    s3.put_object(Bucket="logs", Key="python/a", Body=b"hello")
    assert s3.get_object(Bucket="logs", Key="python/a")["Body"].read() == b"hello"
    s3.copy_object(Bucket="logs", Key="python/b", CopySource="logs/python/a")
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket="logs", Prefix="python/")["Contents"]]
    assert keys == ["python/a", "python/b"], keys
    s3.upload_fileobj(io.BytesIO(large), "logs", "python/large", Config=TransferConfig(multipart_chunksize=5 << 20))
    back = io.BytesIO()
    s3.download_fileobj("logs", "python/large", back)
    assert back.getvalue() == large
    s3.delete_objects(Bucket="logs", Delete={"Objects": [{"Key": "python/" + k} for k in ("a", "b", "large")]})
    try:
        s3.head_object(Bucket="logs", Key="python/a")
        raise AssertionError("a deleted object is there")
    except ClientError as e:
        assert e.response["ResponseMetadata"]["HTTPStatusCode"] == 404, e

# A presigned URL works for whoever has it, if its signature is of today's version; boto3's own choice may be the old one.
boto3.client("s3", config=once).put_object(Bucket="logs", Key="python/signed", Body=b"hello")
for version, status in ("s3v4", 200), ("s3", 400):
    s3 = boto3.client("s3", config=once.merge(Config(signature_version=version)))
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "logs", "Key": "python/signed"})
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            got, body = answer.status, answer.read()
    except urllib.error.HTTPError as e:
        got, body = e.code, e.read()
    assert got == status, (version, got, body)
    assert body == b"hello" or b"Please use AWS4-HMAC-SHA256." in body, (version, body)
