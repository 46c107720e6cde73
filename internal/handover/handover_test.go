//go:build unix

package handover

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func listen(t *testing.T) (string, *Listener) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "h.sock")
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if err := l.Publish(); err != nil {
		t.Fatal(err)
	}
	return path, l
}

// pair returns both sides of a conversation.
func pair(t *testing.T) (a, b *Conn) {
	t.Helper()
	path, l := listen(t)
	a, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Conn{a, b} {
		c.SetDeadline(time.Now().Add(20 * time.Second))
		t.Cleanup(func() { c.Close() })
	}
	return a, b
}

func TestMessagesAndFiles(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	var pipes []*os.File
	for range 2*portion + 1 { // more than fit beside one byte
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		defer w.Close()
		pipes = append(pipes, w)
		if len(pipes) == 1 {
			defer func() {
				got := make([]byte, 5)
				if _, err := io.ReadFull(r, got); err != nil || string(got) != "first" {
					t.Errorf("through the file came %q, %v", got, err)
				}
			}()
		}
	}
	long := strings.Repeat("x", 1<<20)
	sent := make(chan error, 1)
	go func() {
		sent <- errors.Join(a.Send("one"), a.Send([]string{"two", long}, pipes...), a.Send(3))
	}()
	var one string
	if files, err := b.Receive(&one); err != nil || one != "one" || len(files) != 0 {
		t.Fatalf("%q %v %v", one, files, err)
	}
	var two []string
	files, err := b.Receive(&two)
	if err != nil || len(two) != 2 || two[1] != long || len(files) != len(pipes) {
		t.Fatalf("%d files, %v", len(files), err)
	}
	files[0].WriteString("first")
	closeAll(files)
	var three int
	if _, err := b.Receive(&three); err != nil || three != 3 {
		t.Fatalf("%d %v", three, err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	a.Close()
	if _, err := b.Receive(&three); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
}

func TestBadMessages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ bytes, want string }{
		{"x", "begins with"}, {"T\x7f\xff\xff\xff", "too long"}, {"T\x00\x00\x00\x05ab", "unexpected EOF"}, {"T\x00\x00\x00\x01{", "JSON"},
	} {
		a, b := pair(t)
		a.c.Write([]byte(c.bytes))
		a.Close()
		var v any
		if _, err := b.Receive(&v); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.bytes, err, c.want)
		}
	}
}

// Whoever listens later is the one that is called; the file of a dead process is
// nobody's.
func TestListenTakesThePlace(t *testing.T) {
	t.Parallel()
	path, first := listen(t)
	second, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Dial(path); err != nil {
		t.Fatal(err)
	} else if _, err := first.Accept(); err != nil { // nobody finds the second yet
		t.Fatal(err)
	} else {
		c.Close()
	}
	if err := second.Publish(); err != nil {
		t.Fatal(err)
	}
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := second.Accept(); err != nil {
		t.Fatal(err)
	}
	first.Close()
	first.Remove() // it is the second's
	if _, err := first.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	second.Close()
	for range 2 { // with its file, and without
		if _, err := Dial(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("with nobody there: %v", err)
		}
		os.Remove(path)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("over a file: %v", err)
	}
}
