package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// lockWait is how long opening waits for another process to let go of the file.
const lockWait = time.Second

// openFile opens the database in a file, which it makes when there is none.
func openFile(path string) (db *bbolt.DB, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			db, err = nil, damaged(path, fmt.Errorf("%v", p))
		}
	}()
	if err := intact(path); err != nil {
		return nil, err
	}
	return openBolt(path, &bbolt.Options{FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
}

func openBolt(path string, o *bbolt.Options) (*bbolt.DB, error) {
	o.Timeout = lockWait
	db, err := bbolt.Open(path, 0o600, o)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("%s is in use by another process", path)
	case err != nil && errors.As(err, new(syscall.Errno)): // it may not be opened, or is a directory
		return nil, fmt.Errorf("opening the spool: %w", err)
	case err != nil:
		return nil, damaged(path, err)
	}
	return db, nil
}

// damaged tells the operator what to do about a file that can not be read.
func damaged(path string, why error) error {
	return fmt.Errorf("%s is damaged or no spool (%w); move it away to start without the webhooks in it", path, why)
}

// intact reads all of a file that is used. With a damaged page the database would
// end the process, in a goroutine of its own.
func intact(path string) (err error) {
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	db, err := openBolt(path, &bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.View(func(tx *bbolt.Tx) (err error) {
		// Where a file that was cut short is mapped, reading is a fault.
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if p := recover(); p != nil {
				if _, fault := p.(interface{ Addr() uintptr }); fault {
					p = "it ends too early"
				}
				err = damaged(path, fmt.Errorf("%v", p))
			}
		}()
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(_, _ []byte) error { return nil })
		})
	})
}
