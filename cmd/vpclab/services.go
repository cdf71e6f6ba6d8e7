package main

import (
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/vpclab/vpclab/ctrl/flowlog/destination"
)

// logServices are the services to which flow logs are delivered; nil: a folder.
type logServices struct{ s3, cloudWatch *destination.Endpoint }

// servicePatience is how long a service may take for one request, in real time.
const servicePatience = 10 * time.Second

// The variables with which AWS's own tools are given credentials.
const (
	accessKeyVariable = "AWS_ACCESS_KEY_ID"
	secretKeyVariable = "AWS_SECRET_ACCESS_KEY"
)

// servicesOf reads the flags that name services.
func servicesOf(s3, cloudWatch string) (services logServices, err error) {
	if services.s3, err = endpointOf("--s3", s3); err != nil {
		return logServices{}, err
	}
	if services.cloudWatch, err = endpointOf("--cloudwatch", cloudWatch); err != nil {
		return logServices{}, err
	}
	return services, nil
}

func endpointOf(flag, text string) (*destination.Endpoint, error) {
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, wrong("%s %s: not the URL of a service; write one such as http://127.0.0.1:9000", flag, text)
	}
	e := &destination.Endpoint{
		URL: text, AccessKey: os.Getenv(accessKeyVariable), SecretKey: os.Getenv(secretKeyVariable),
		HTTP: &http.Client{Timeout: servicePatience},
	}
	if e.AccessKey == "" || e.SecretKey == "" {
		return nil, wrong("%s %s: the service wants credentials; set %s and %s", flag, text, accessKeyVariable, secretKeyVariable)
	}
	return e, nil
}
