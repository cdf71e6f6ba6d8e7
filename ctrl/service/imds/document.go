package imds

import (
	"encoding/json"
	"runtime"
	"time"

	"github.com/vpclab/vpclab/ctrl/service/iam"
	"github.com/vpclab/vpclab/ctrl/vpc"
)

// role adds the instance profile and the credentials of its role, if the instance has one. Credentials are those of the classic path: AWS's
// clients ask it where the one that says the account, too, is not there.
func (s *Service) role(t tree, v *vpc.VPC, i *vpc.Instance) {
	if i.Role.None {
		return
	}
	name, c := iam.RoleName(i), s.Role(v, i)
	t.set("meta-data/iam/info", document(struct {
		Code, LastUpdated  string
		InstanceProfileArn string
		InstanceProfileID  string `json:"InstanceProfileId"`
	}{"Success", stamp(c.Issued), "arn:aws:iam::" + v.Account + ":instance-profile/" + name, iam.ProfileID(v.Account, name)}))
	t.set("meta-data/iam/security-credentials/"+name, document(struct {
		Code, LastUpdated, Type            string
		AccessKeyID                        string `json:"AccessKeyId"`
		SecretAccessKey, Token, Expiration string
	}{"Success", stamp(c.Issued), "AWS-HMAC", c.AccessKeyID, c.SecretAccessKey, c.SessionToken, stamp(c.Expiration)}))
}

// identity is the instance identity document. It says null where AWS's has nothing, and leaves out what a lab does not know.
func identity(v *vpc.VPC, i *vpc.Instance) string {
	first := i.Interfaces[0]
	return document(struct {
		AccountID    string   `json:"accountId"`
		Architecture string   `json:"architecture"`
		Zone         string   `json:"availabilityZone"`
		Billing      []string `json:"billingProducts"`
		Devpay       []string `json:"devpayProductCodes"`
		Marketplace  []string `json:"marketplaceProductCodes"`
		InstanceID   string   `json:"instanceId"`
		KernelID     *string  `json:"kernelId"`
		PrivateIP    string   `json:"privateIp"`
		RamdiskID    *string  `json:"ramdiskId"`
		Region       string   `json:"region"`
		Version      string   `json:"version"`
	}{
		AccountID: v.Account, Architecture: architecture(), Zone: v.Subnet(first.Subnet).AZ, InstanceID: string(i.ID),
		PrivateIP: lines(first.IP), Region: v.Region, Version: "2017-09-30",
	})
}

// architecture is the machine's, in AWS's words.
func architecture() string {
	if runtime.GOARCH == "amd64" {
		return "x86_64"
	}
	return runtime.GOARCH
}

func document(v any) string {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // strings alone are marshalled
	}
	return string(text)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
