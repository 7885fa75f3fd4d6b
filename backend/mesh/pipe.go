package mesh

import (
	"context"
	"errors"
	"io"
	"os"

	"weir/backend/safego"
)

// endless tells of a file that may keep its reader waiting for ever: a pipe, a terminal, a socket.
func endless(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && !info.Mode().IsRegular()
}

// patient reads what open opens in a goroutine of its own, for opening a pipe, or reading it, waits for whoever writes it
// and cannot be called off. When ctx ends, source has the context's error at once; the goroutine is left behind until the
// pipe's other end lets go, or the process ends. done lets go of what was opened.
func patient(ctx context.Context, open func() (io.ReadCloser, error)) (source io.Reader, done func()) {
	r, w := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) }) // always nil
	go func() {
		var err error
		if p := safego.Call(func() { err = pour(w, open) }); p != nil {
			err = p
		}
		_ = w.CloseWithError(err) // always nil
	}()
	return r, func() {
		stop()
		_ = r.Close() // always nil
	}
}

func pour(w io.Writer, open func() (io.ReadCloser, error)) error {
	source, err := open()
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(w, struct{ io.Reader }{source}, make([]byte, 64<<10))
	return errors.Join(err, source.Close())
}
