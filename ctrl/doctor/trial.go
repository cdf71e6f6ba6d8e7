package doctor

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/hostnet"
)

func thisMachine() machine {
	return machine{
		euid:     os.Geteuid(),
		release:  kernelRelease,
		readFile: os.ReadFile,
		open: func(path string) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			return f.Close()
		},
		files: func() (uint64, error) {
			var limit unix.Rlimit
			err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
			return limit.Max, err
		},
		try: try,
	}
}

func kernelRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// try builds a lab of two guests and sends one packet from the first to the second, by a program that does nothing else.
func try(ctx context.Context) (t trial) {
	t = trial{errNotReached, errNotReached, errNotReached, errNotReached, errNotReached, errNotReached}
	lab := fmt.Sprintf("doctor-%d", os.Getpid())
	host, err := hostnet.Open(lab)
	if err != nil {
		t.Devices = err
		return t
	}
	defer func() {
		// Leaving nothing behind is part of what is tried.
		if err := host.Close(); err != nil && t.Devices == nil {
			t.Devices = err
		}
	}()
	want := twoGuests(lab)
	if t.Devices = host.Apply(ctx, want); t.Devices != nil {
		return t
	}
	from, _ := host.Ports(want.Attachments[0].Index)
	to, _ := host.Ports(want.Attachments[1].Index)
	t.TCP, t.UDP = offload(from.FD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6), errNotReached
	if t.TCP == nil {
		t.UDP = offload(from.FD, unix.TUN_F_CSUM|unix.TUN_F_TSO4|unix.TUN_F_TSO6|unix.TUN_F_USO4|unix.TUN_F_USO6)
	}

	program, err := redirectTo(to.Veth)
	if t.Load = err; err != nil {
		return t
	}
	defer program.Close()
	var attached link.Link
	t.Attach = host.InFabric(func() (err error) {
		attached, err = link.AttachTCX(link.TCXOptions{Interface: int(from.Veth), Program: program, Attach: ebpf.AttachTCXIngress})
		return err
	})
	if t.Attach != nil {
		return t
	}
	defer attached.Close()
	t.Packet = sendThrough(host, want.Attachments[0], want.Attachments[1])
	return t
}

func twoGuests(lab string) hostnet.Desired {
	d := hostnet.Desired{Lab: lab}
	for i := range byte(2) {
		guest := hostnet.GuestNamespace(lab, "trial", fmt.Sprintf("guest%d", i+1))
		d.Guests = append(d.Guests, hostnet.Guest{Namespace: guest})
		d.Attachments = append(d.Attachments, hostnet.Attachment{
			Index: uint32(i + 1), Namespace: guest, Device: "eth0", MAC: hostnet.MAC{2, 0, 0, 0, 0, i + 1}, MTU: 9001, Default: true,
			Addrs:   []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, 10 + i}), 24)},
			Router4: netip.AddrFrom4([4]byte{10, 0, 0, 1}),
		})
	}
	return d
}

func offload(fd int, flags int) error { return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, flags) }

// redirectTo is a program that hands every packet to the other end of a veth.
func redirectTo(veth uint32) (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "doctor", Type: ebpf.SchedCLS, License: "MIT",
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R1, int32(veth)),
			asm.Mov.Imm(asm.R2, 0),
			asm.FnRedirectPeer.Call(),
			asm.Return(),
		},
	})
}

// experimental is an ethertype that no protocol uses (IEEE 802, local experimental 1), so that only our packet is taken for ours.
const experimental = 0x88b5

// patience is how long the packet may take, in milliseconds.
const patience = 2000

func sendThrough(host *hostnet.Host, from, to hostnet.Attachment) error {
	receiver, err := packetSocket(host, to)
	if err != nil {
		return err
	}
	defer unix.Close(receiver)
	sender, err := packetSocket(host, from)
	if err != nil {
		return err
	}
	defer unix.Close(sender)

	frame := append(append([]byte{}, to.MAC[:]...), from.MAC[:]...)
	frame = binary.BigEndian.AppendUint16(frame, experimental)
	frame = append(frame, fmt.Sprintf("vpclab doctor %d: a packet of at least forty-six bytes", os.Getpid())...)
	if _, err := unix.Write(sender, frame); err != nil {
		return fmt.Errorf("send a packet: %w", err)
	}
	ready := []unix.PollFd{{Fd: int32(receiver), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(ready, patience)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("wait for the packet: %w", err)
		case n == 0:
			return fmt.Errorf("the packet did not come within %d ms", patience)
		}
		got := make([]byte, 2*len(frame))
		n, err = unix.Read(receiver, got)
		if err != nil {
			return fmt.Errorf("receive the packet: %w", err)
		}
		if bytes.Equal(got[:n], frame) {
			return nil
		}
	}
}

// packetSocket opens a socket for experimental frames on a guest's interface.
func packetSocket(host *hostnet.Host, a hostnet.Attachment) (fd int, err error) {
	err = host.InGuest(a.Namespace, func() error {
		nic, err := net.InterfaceByName(a.Device)
		if err != nil {
			return err
		}
		protocol := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, experimental))
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(protocol))
		if err != nil {
			return fmt.Errorf("open packet socket: %w", err)
		}
		if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: nic.Index}); err != nil {
			unix.Close(fd)
			return fmt.Errorf("bind packet socket: %w", err)
		}
		return nil
	})
	return fd, err
}
