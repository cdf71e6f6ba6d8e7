package scenarios

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/vpclab/vpclab/ctrl/check"
	"github.com/vpclab/vpclab/ctrl/lab"
	"github.com/vpclab/vpclab/ctrl/scenario"
)

// TestClients runs the scenarios whose instances use other people's programs, which a machine may lack: Debian's, which an instance has,
// as it has the machine's files, whatever else comes first in the PATH. Those programs take their time, so it is done once: that they
// see no difference is what TestScenarios shows of everything beneath them.
func TestClients(t *testing.T) {
	needRoot(t)
	for _, c := range []struct {
		name  string
		needs [][]string // programs that end well where they are installed
	}{
		{"aws", [][]string{{"/usr/bin/aws", "--version"}, {"/usr/bin/python3", "-c", "import boto3"}, {"curl", "--version"}}},
		{"dns", [][]string{{"dig", "-v"}, {"drill", "-v"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, argv := range c.needs {
				needProgram(t, argv)
			}
			t.Parallel()
			run(t, clients(c.name), true)
		})
	}
}

func clients(name string) string { return "testdata/clients/" + name + ".yaml" }

// needProgram skips a test for which this machine lacks a program, unless REQUIRE_ROOT=1 says that it must run.
func needProgram(t *testing.T, argv []string) {
	t.Helper()
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err == nil {
		return
	}
	if os.Getenv("REQUIRE_ROOT") == "1" {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	t.Skipf("%s: %v", strings.Join(argv, " "), err)
}

// TestSDK runs the test itself inside an instance, where it is a program written with AWS's SDK, with the endpoints of the scenario and
// without.
func TestSDK(t *testing.T) {
	needRoot(t)
	for _, offload := range []bool{true, false} {
		t.Run(fmt.Sprintf("offload=%t", offload), func(t *testing.T) {
			t.Parallel()
			s, err := scenario.Load(clients("aws"))
			if err != nil {
				t.Fatal(err)
			}
			rename(s, fmt.Sprintf("test-%d-%d", os.Getpid(), labs.Add(1)))
			l, err := lab.Start(t.Context(), s, lab.Options{Offload: offload})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			}()
			home := foreignHome(t)
			for _, service := range []string{"s3", "dynamodb", "sts"} {
				if got := ask(t, l, home, service); got != "done\n" {
					t.Errorf("%s with its endpoint: %s", service, got)
				}
			}
			steps := s.Steps[slices.IndexFunc(s.Steps, func(s scenario.Step) bool { return s.Change != nil }):]
			runStep(t.Context(), t, l, nil, steps[0])
			for service, want := range map[string]string{"s3": "dial tcp 52.216.0.", "dynamodb": "dial tcp 52.94.0."} {
				if got := ask(t, l, home, service); !strings.Contains(got, want) || !strings.Contains(got, "i/o timeout") {
					t.Errorf("%s without its endpoint: %s", service, got)
				}
			}
			if got := ask(t, l, home, "sts"); got != "done\n" {
				t.Errorf("sts, whose endpoint has stayed: %s", got)
			}
			explain(t, l, steps)
		})
	}
}

// explain runs the steps that say why a service is not reached, and looks for what would help.
func explain(t *testing.T, l *lab.Lab, steps []scenario.Step) {
	t.Helper()
	runner := check.NewRunner(l)
	defer runner.Close()
	var advice []string
	for _, step := range steps {
		if step.Check == nil || step.Check.Because == "" {
			continue
		}
		r := runner.Run(t.Context(), step.Check)
		if !r.Pass || len(r.Drops) == 0 {
			t.Fatalf("%s: got %s: %s", step.Check.Name, r.Got, r.Detail)
		}
		advice = append(advice, r.Drops[0].Advice)
	}
	for i, service := range []string{"s3", "dynamodb"} {
		if want := "add a gateway endpoint of " + service + " to route table main"; i >= len(advice) || !strings.Contains(advice[i], want) {
			t.Errorf("the advice is %q, want %q", advice, want)
		}
	}
}

// asProgram is the first argument of this test where it is a program in an instance; the second is a service.
const asProgram = "use-service"

// foreignHome is the home of somebody who uses AWS from the machine, which is not the instance's business.
func foreignHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	err := os.Mkdir(filepath.Join(home, ".aws"), 0o700)
	for name, text := range map[string]string{
		"config":      "[default]\nregion = eu-west-1\nendpoint_url = http://127.0.0.1:1\n",
		"credentials": "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = not-of-this-lab\n",
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(home, ".aws", name), []byte(text), 0o600))
	}
	if err != nil {
		t.Fatal(err)
	}
	return home
}

// ask runs this test as a program in the instance `app`, and returns what it writes.
func ask(t *testing.T, l *lab.Lab, home, service string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := check.StartProgram(l, scenario.Node{VPC: "app", Name: "app"}, []string{"env", "HOME=" + home, self, asProgram, service}, "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	select {
	case <-p.Done():
		return p.Output()
	case <-time.After(30 * time.Second):
		t.Fatalf("%s: still running; it wrote %s", service, p.Output())
		return ""
	}
}

// use is the program: it does with a service what its users do first, by whatever the SDK finds by itself.
func use(service string) error {
	ctx := context.Background()
	client := awshttp.NewBuildableClient().WithTimeout(10 * time.Second)
	client = client.WithDialerOptions(func(d *net.Dialer) { d.Timeout = time.Second })
	// The SDK would tell that parts of objects have no checksum of the whole.
	c, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(client), config.WithRetryMaxAttempts(1), config.WithLogger(logging.Nop{}))
	if err != nil {
		return err
	}
	for _, scheme := range []string{"https", "http"} {
		c.BaseEndpoint = aws.String(fmt.Sprintf("%s://%s.%s.amazonaws.com", scheme, service, c.Region))
		switch service {
		case "s3":
			err = useObjects(ctx, s3.NewFromConfig(c))
		case "dynamodb":
			err = useItems(ctx, dynamodb.NewFromConfig(c))
		default:
			err = useIdentity(ctx, sts.NewFromConfig(c))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", scheme, err)
		}
	}
	return nil
}

func useObjects(ctx context.Context, c *s3.Client) error {
	bucket, key := aws.String("logs"), aws.String("go/object")
	upload, err := c.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: key})
	if err != nil {
		return err
	}
	content := make([]byte, 11<<20)
	rand.Read(content)
	var parts []s3types.CompletedPart
	for begin := 0; begin < len(content); begin += 5 << 20 {
		part := &s3.UploadPartInput{
			Bucket: bucket, Key: key, UploadId: upload.UploadId, PartNumber: aws.Int32(int32(len(parts) + 1)),
			Body: bytes.NewReader(content[begin:min(begin+5<<20, len(content))]),
		}
		done, err := c.UploadPart(ctx, part)
		if err != nil {
			return err
		}
		parts = append(parts, s3types.CompletedPart{ETag: done.ETag, PartNumber: part.PartNumber, ChecksumCRC32: done.ChecksumCRC32})
	}
	_, err = c.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: bucket, Key: key, UploadId: upload.UploadId, MultipartUpload: &s3types.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		return err
	}
	object, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		return err
	}
	defer object.Body.Close()
	if back, err := io.ReadAll(object.Body); err != nil || !bytes.Equal(back, content) {
		return fmt.Errorf("got %d bytes that are not the %d put (%v)", len(back), len(content), err)
	}
	list, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: bucket, Prefix: aws.String("go/")})
	if err != nil {
		return err
	}
	if len(list.Contents) != 1 || aws.ToInt64(list.Contents[0].Size) != int64(len(content)) {
		return fmt.Errorf("%d objects are there, not the one put", len(list.Contents))
	}
	_, err = c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: bucket, Key: key})
	return err
}

func useItems(ctx context.Context, c *dynamodb.Client) error {
	table, id := aws.String("go-items"), &types.AttributeValueMemberS{Value: "1"}
	_, err := c.CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: table, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeS}},
	})
	if err != nil {
		return err
	}
	if err := dynamodb.NewTableExistsWaiter(c).Wait(ctx, &dynamodb.DescribeTableInput{TableName: table}, 10*time.Second); err != nil {
		return err
	}
	item := map[string]types.AttributeValue{"id": id, "price": &types.AttributeValueMemberN{Value: "2.5"}}
	if _, err := c.PutItem(ctx, &dynamodb.PutItemInput{TableName: table, Item: item}); err != nil {
		return err
	}
	got, err := c.GetItem(ctx, &dynamodb.GetItemInput{TableName: table, Key: map[string]types.AttributeValue{"id": id}})
	if err != nil {
		return err
	}
	if price, ok := got.Item["price"].(*types.AttributeValueMemberN); !ok || price.Value != "2.5" {
		return fmt.Errorf("got %v, not the item put", got.Item)
	}
	found, err := c.Query(ctx, &dynamodb.QueryInput{
		TableName: table, KeyConditionExpression: aws.String("id = :id"), ExpressionAttributeValues: map[string]types.AttributeValue{":id": id},
	})
	if err != nil {
		return err
	}
	if found.Count != 1 {
		return fmt.Errorf("found %d items, not the one put", found.Count)
	}
	_, err = c.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: table})
	return err
}

func useIdentity(ctx context.Context, c *sts.Client) error {
	who, err := c.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return err
	}
	_, instance, ok := strings.Cut(aws.ToString(who.Arn), "arn:aws:sts::123456789012:assumed-role/app/")
	if !ok || !strings.HasPrefix(instance, "i-") || !strings.HasSuffix(aws.ToString(who.UserId), ":"+instance) {
		return fmt.Errorf("signed as %s (%s), not in the role of app", aws.ToString(who.Arn), aws.ToString(who.UserId))
	}
	return nil
}
