#!/bin/sh
# large.sh: 20 MB go up in parts and come back as they were, in parts by the CLI and in one piece by a presigned URL.
set -e
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
head -c 20000000 /dev/urandom >"$dir/up"
/usr/bin/aws s3 cp --no-progress "$dir/up" s3://logs/large
/usr/bin/aws s3 cp --no-progress s3://logs/large "$dir/down"
cmp "$dir/up" "$dir/down"
url=$(/usr/bin/aws s3 presign s3://logs/large)
curl -fsS --max-time 5 -o "$dir/signed" "$url"
cmp "$dir/up" "$dir/signed"
