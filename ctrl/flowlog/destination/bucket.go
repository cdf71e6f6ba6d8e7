package destination

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog"
	"github.com/vpclab/vpclab/ctrl/flowlog/delivery"
	"github.com/vpclab/vpclab/ctrl/flowlog/logfile"
)

// store takes whole objects.
type store interface {
	put(ctx context.Context, bucket, key string, body []byte) error
}

// bucket is S3: an object for each batch.
type bucket struct{ store store }

// Deliver implements delivery.Destination. The object's name has a digest of the batch in it, so a batch that comes again replaces itself.
// The batch's number is part of it: two batches may have the same records, if their format says little.
func (b *bucket) Deliver(ctx context.Context, batch *delivery.Batch) error {
	d := batch.Subscription.Destination
	var body bytes.Buffer
	encoder, err := newEncoder(&body, d, batch.Format)
	if err != nil {
		return err
	}
	digest := sha256.New()
	fmt.Fprintln(digest, batch.Number)
	for e, err := range batch.Entries {
		if err != nil {
			return err
		}
		digest.Write(e.Line)
		digest.Write([]byte{'\n'})
		if err := encoder.Add(e.Line); err != nil {
			return err
		}
	}
	if err := encoder.Close(); err != nil {
		return err
	}
	return b.store.put(ctx, d.Bucket, Key(batch.Subscription, batch.Period, hex.EncodeToString(digest.Sum(nil))[:8]), body.Bytes())
}

func newEncoder(body *bytes.Buffer, d flowlog.Destination, f flowlog.Format) (logfile.Encoder, error) {
	if d.Parquet {
		return logfile.NewParquet(body, f), nil
	}
	return logfile.NewText(body, f)
}

// Key is the key of a subscription's file of some five minutes, as AWS lays keys out (VPC user guide, flow log files); hash makes it
// different from others of the same minutes.
func Key(s *flowlog.Subscription, period time.Time, hash string) string {
	d := s.Destination
	account, service, region, year, month, day, hour := "", "", "", "", "", "", ""
	if d.Hive {
		account, service, region = "aws-account-id=", "aws-service=", "aws-region="
		year, month, day, hour = "year=", "month=", "day=", "hour="
	}
	period = period.UTC()
	parts := []string{d.Prefix, "AWSLogs", account + s.Account, service + "vpcflowlogs", region + s.Region,
		period.Format(year + "2006"), period.Format(month + "01"), period.Format(day + "02")}
	if d.Hourly {
		parts = append(parts, period.Format(hour+"15"))
	}
	ending := ".log.gz"
	if d.Parquet {
		ending = ".log.parquet"
	}
	name := s.Account + "_vpcflowlogs_" + s.Region + "_" + s.ID + "_" + period.Format("20060102T1504Z") + "_" + hash + ending
	return path.Join(append(parts, name)...)
}
