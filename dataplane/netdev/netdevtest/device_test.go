package netdevtest_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/vpclab/vpclab/dataplane/netdev"
	"github.com/vpclab/vpclab/dataplane/netdev/netdevtest"
)

// What both devices promise is in netdev's TestDevice; this is what only the one in memory has.

func TestQueuesAreBounded(t *testing.T) {
	d := netdevtest.New()
	packet := []byte("packet")
	if n := d.Inject(packet); n != 1 {
		t.Fatalf("%d packets found room", n)
	}
	many := make([][]byte, 5000)
	for i := range many {
		many[i] = packet
	}
	if n := d.Inject(many...); n != 4095 {
		t.Errorf("%d more packets found room, want 4095", n)
	}
	frames := make([][]byte, 4097)
	for i := range frames {
		frames[i] = append(make([]byte, netdev.Headroom), packet...)
	}
	n, err := d.Write(frames)
	if want := "test device: write: 1 of 4097 packets refused: no buffer space available"; n != 4096 || err == nil || err.Error() != want || !errors.Is(err, syscall.ENOBUFS) {
		t.Errorf("%d taken: %v\nwant %s", n, err, want)
	}
	if d.Pending() != 4096 {
		t.Errorf("%d packets pending", d.Pending())
	}
}

func TestReadFillsABatch(t *testing.T) {
	d := netdevtest.New()
	d.Inject([]byte("one"), make([]byte, 1501), []byte("two"), []byte("three"))
	b := netdev.NewPool(1500, 1).Get()
	n, err := d.Read(b.Bufs[:2], b.Sizes)
	if n != 2 || err != nil || string(b.Packet(0)) != "one" || string(b.Packet(1)) != "two" || d.Lost() != 1 {
		t.Errorf("%d packets, %v: %q and %q, %d lost", n, err, b.Packet(0), b.Packet(1), d.Lost())
	}
	if n, err := d.Read(b.Bufs, b.Sizes); n != 1 || err != nil || string(b.Packet(0)) != "three" {
		t.Errorf("%d packets, %v: %q", n, err, b.Packet(0))
	}
}

func TestReceiveGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := netdevtest.New().Receive(ctx); !errors.Is(err, context.Canceled) || err.Error() != "receive packet: context canceled" {
		t.Errorf("%v", err)
	}
}

func TestRefusals(t *testing.T) {
	d := netdevtest.New()
	if n, err := d.Write([][]byte{make([]byte, netdev.Headroom)}); n != 0 || err == nil || !strings.Contains(err.Error(), "packet 1 of 1 is empty") {
		t.Errorf("%d, %v", n, err)
	}
	if err := d.Close(); err != nil || d.Inject([]byte("late")) != 0 {
		t.Errorf("a closed device took a packet: %v", err)
	}
}
