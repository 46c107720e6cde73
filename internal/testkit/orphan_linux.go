package testkit

import (
	"os/exec"
	"syscall"
)

// dieWithUs has a process killed when the thread that starts it ends.
func dieWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
