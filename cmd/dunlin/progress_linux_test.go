package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dunlin/internal/load"
)

// terminal opens a pseudo-terminal.
func terminal(t *testing.T) (screen, program *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return screen, program
}

func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	screen, program := terminal(t)
	show, done := showProgress(program)
	if show == nil {
		t.Fatal("a terminal was not known as one")
	}
	show(load.Progress{Phase: "connecting", Share: 0.25, Done: 1250, What: "connections", Rate: 5000})
	show(load.Progress{Phase: "publishing", Share: 1, Done: 7, What: "deliveries", Rate: 70})
	done()
	program.Close()
	drawn, _ := io.ReadAll(screen) // ends with EIO: nobody holds the other side any more
	for _, want := range []string{"connecting: 1,250 connections, 5,000/s", "25%", "publishing: 7 deliveries, 70/s"} {
		if !strings.Contains(string(drawn), want) {
			t.Errorf("no %q in %q", want, drawn)
		}
	}
}
