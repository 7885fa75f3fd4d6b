package session

import (
	"fmt"
	"log/slog"
	"os"
)

// openLog opens the file that the settings name. Without one a worker logs to standard error, and a console, which must
// not draw over itself, not at all.
func openLog(s Settings) (*slog.Logger, func(), error) {
	switch {
	case s.Log != "":
		file, err := os.OpenFile(s.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("--log: %w; name a file in a folder that is there and can be written to", err)
		}
		return slog.New(slog.NewTextHandler(file, nil)), func() { _ = file.Close() }, nil
	case s.Console:
		return slog.New(slog.DiscardHandler), func() {}, nil
	default:
		return slog.New(slog.NewTextHandler(s.ErrOut, nil)), func() {}, nil
	}
}
