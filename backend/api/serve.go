package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// The bounds of the server: a client that dawdles must not hold a connection for ever.
const (
	headerTimeout   = 5 * time.Second
	readTimeout     = 10 * time.Second
	writeTimeout    = 30 * time.Second
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 3 * time.Second
	maxHeaderBytes  = 16 << 10
)

// Listen takes addr (host:port; port 0 takes a free one). The error is one sentence that says what to do.
func Listen(addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("http: expected a free port at %s, found one in use; choose another with --http (%w)", addr, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("http: expected a port this user may take, found %s; choose one above 1023 with --http (%w)", addr, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("http: expected an address of this machine, found %s; choose another with --http, such as 127.0.0.1:9464 (%w)", addr, err)
	default:
		return nil, fmt.Errorf("http: expected host:port, such as 127.0.0.1:9464, found %q; choose another with --http (%w)", addr, err)
	}
}

// Serve listens at addr and answers with handler until ctx ends, then lets requests under way finish for a moment and
// returns nil. An address that cannot be taken is an error at once.
func Serve(ctx context.Context, addr string, handler http.Handler, logger *slog.Logger) error {
	listener, err := Listen(addr)
	if err != nil {
		return err
	}
	return ServeOn(ctx, listener, handler, logger)
}

// ServeOn is Serve on a listener taken before, for whoever wants to know early that the port is free.
func ServeOn(ctx context.Context, listener net.Listener, handler http.Handler, logger *slog.Logger) error {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelWarn), // never to the terminal the console draws on
	}
	logger.Info("http answers", "address", listener.Addr().String())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("http: serving at %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // who does not finish is cut off
	}
	<-ended
	return nil
}
