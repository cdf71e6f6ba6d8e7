package check

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vpclab/vpclab/ctrl/scenario"
)

// Bounds on a program's leftovers.
const (
	keptOutput = 8 << 10                // bytes of output that are kept, the last ones
	pipeDelay  = 500 * time.Millisecond // how long output is read on after the program has ended
)

// Program is one running program inside a node's namespace. It has a process group of its own, and none of it outlives Close or this
// process.
type Program struct {
	cmd    *exec.Cmd
	output *tail
	done   chan struct{}

	mu     sync.Mutex
	reaped bool // the group's number may be another's from now on
}

// StartError says that a program could not be started.
type StartError struct {
	Node    scenario.Node
	Program string
	Err     error
}

func (e *StartError) Error() string {
	return fmt.Sprintf("start %s in %s: %v", e.Program, e.Node, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

// StartProgram starts argv in the node's namespace and home, as root. Relative paths are relative to dir; "" is this process's directory.
// The environment holds PATH, HOME, VPCLAB_NODE (app/web), VPCLAB_VPC and VPCLAB_NAME, and what the node's home has. What cannot be
// started is a *StartError.
func StartProgram(lab Lab, node scenario.Node, argv []string, dir string) (*Program, error) {
	if len(argv) == 0 {
		return nil, fmt.Errorf("start program in %s: no program is named", node)
	}
	p := &Program{cmd: exec.Command(argv[0], argv[1:]...), output: &tail{most: keptOutput}, done: make(chan struct{})}
	p.cmd.Dir = dir
	home := lab.Home(node)
	p.cmd.Env = append(environment(node), home.Env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.WaitDelay = pipeDelay
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}

	started := make(chan error, 1)
	go p.runProgram(lab, node, home, started)
	if err := <-started; err != nil {
		return nil, &StartError{node, argv[0], err}
	}
	return p, nil
}

func environment(node scenario.Node) []string {
	env := []string{"VPCLAB_NODE=" + node.String(), "VPCLAB_VPC=" + node.VPC, "VPCLAB_NAME=" + node.Name}
	for _, name := range []string{"PATH", "HOME"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// runProgram owns the program. It stays on the thread that started it, because the death signal is sent when that thread ends and not
// when the process does (prctl(2), PR_SET_PDEATHSIG).
func (p *Program) runProgram(lab Lab, node scenario.Node, home Home, started chan<- error) {
	defer close(p.done)
	err := lab.Do(node, func() error {
		if home.Enter != nil {
			if err := home.Enter(); err != nil {
				return err
			}
		}
		if err := p.cmd.Start(); err != nil {
			return err
		}
		started <- nil
		p.reap()
		return nil
	})
	if err != nil {
		select {
		case started <- err:
		default: // it had started, and StartProgram has returned
		}
	}
}

// reap waits for the program, and ends what it left running before its process number can become another's.
func (p *Program) reap() {
	for {
		err := unix.Waitid(unix.P_PID, p.cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			break
		}
	}
	p.kill()
	p.mu.Lock()
	p.reaped = true
	p.mu.Unlock()
	_ = p.cmd.Wait() // its error is in ProcessState
}

// kill ends the whole process group at once.
func (p *Program) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL) // ESRCH: it has ended by itself
	}
}

// Done is closed when the program has ended.
func (p *Program) Done() <-chan struct{} { return p.done }

// Exit is the exit status, -1 if a signal ended the program. It is valid after Done.
func (p *Program) Exit() int { return p.cmd.ProcessState.ExitCode() }

// Status tells people how the program ended: "exit status 7", "signal: killed". It is valid after Done.
func (p *Program) Status() string { return p.cmd.ProcessState.String() }

// Ended says how the program ended and what it wrote last: "exit status 7; output: no such file"; "" while it runs.
func (p *Program) Ended() string {
	select {
	case <-p.done:
		return p.Status() + lastLines(p.Output())
	default:
		return ""
	}
}

// Output is the end of what the program wrote to its standard output and error so far.
func (p *Program) Output() string { return p.output.String() }

// Close kills the program and all of its process group, and waits for its end.
func (p *Program) Close() error {
	p.kill()
	<-p.done
	return nil
}

// tail keeps the last bytes written to it.
type tail struct {
	most int

	mu   sync.Mutex
	kept []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b[max(0, len(b)-t.most):]...)
	if extra := len(t.kept) - t.most; extra > 0 {
		t.kept = append(t.kept[:0], t.kept[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

// exec runs a program and takes its exit status as the outcome. What the program leaves running ends with it.
func (r *Runner) exec(p *probe, c *scenario.Check) seen {
	if assertsDrop(c) {
		return seen{err: errors.New("exec: `because` and `at` need the check's own connection, and a program has none that is known")}
	}
	program, err := StartProgram(r.lab, c.From, c.Do.Argv, r.Dir)
	if err != nil {
		return seen{outcome: Failed, detail: err.Error()}
	}
	defer program.Close()
	limit := time.NewTimer(p.watch.deadline.Sub(p.now()))
	defer limit.Stop()
	select {
	case <-p.ctx.Done():
		return seen{err: p.ctx.Err()}
	case <-limit.C:
		return seen{outcome: scenario.Timeout, detail: fmt.Sprintf("still running after %v", p.limit) + lastLines(program.Output())}
	case <-program.Done():
	}
	status := program.Exit()
	s := seen{outcome: scenario.OK, detail: program.Status(), exit: &status}
	if status != wantedExit(c.Expect) {
		s.detail += lastLines(program.Output())
	}
	return s
}

// lastLines appends the end of a program's output to a sentence.
func lastLines(output string) string {
	const most = 5
	lines := strings.Split(strings.TrimSpace(output), "\n")
	if lines[0] == "" && len(lines) == 1 {
		return ""
	}
	return "; output: " + strings.Join(lines[max(0, len(lines)-most):], " | ")
}
