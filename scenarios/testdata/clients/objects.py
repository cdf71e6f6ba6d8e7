"""objects.py: what S3's users do first, by boto3, over HTTPS and over HTTP."""
import io
import os

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
