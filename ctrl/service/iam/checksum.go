package iam

import (
	"crypto/sha1"
	"crypto/sha256"
	"hash"
	"hash/crc32"
	"hash/crc64"
)

// checksumPrefix is how the header of a checksum begins, in lower case.
const checksumPrefix = "x-amz-checksum-"

// nvme is CRC-64/NVME's polynomial, bits reversed.
const nvme = 0x9a6c9329ac4bc9b5

// newChecksum is the checksum that a header has (S3 user guide, checking object integrity). false: it has none.
func newChecksum(header string) (hash.Hash, bool) {
	switch header {
	case checksumPrefix + "crc32":
		return crc32.NewIEEE(), true
	case checksumPrefix + "crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli)), true
	case checksumPrefix + "crc64nvme":
		return crc64.New(crc64.MakeTable(nvme)), true
	case checksumPrefix + "sha1":
		return sha1.New(), true
	case checksumPrefix + "sha256":
		return sha256.New(), true
	}
	return nil, false
}
