package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/shirou/gopsutil/v3/disk"

	"weir/config"
)

// checkFile tries whether a file can be written, or made in its folder.
func checkFile(what, path, state string) []Row {
	if path == "" {
		if state == "" {
			folder, err := config.StateFolder()
			if err != nil {
				return []Row{row(Failed, what, err.Error(), "name the file: "+what+" in the configuration")}
			}
			state = folder
		}
		path = filepath.Join(state, what+".db")
	}
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return []Row{row(Failed, what, path+" is a folder", "name a file")}
	case err == nil:
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return []Row{row(Failed, what, "cannot write "+path+": "+reasonOf(err), "make it writable for this user")}
		}
		_ = file.Close()
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
		return []Row{row(Failed, what, "cannot see "+path+": "+reasonOf(err), "make its folder readable for this user")}
	}
	folder := existing(filepath.Dir(path))
	if err := tryWrite(folder); err != nil {
		return []Row{row(Failed, what, "cannot write in "+folder+": "+reasonOf(err), "make the folder writable for this user, or name another file")}
	}
	if usage, err := disk.Usage(folder); err == nil {
		return []Row{judgeSpace(what, path, usage.Free)}
	}
	return []Row{row(OK, what, path+" can be written", "")}
}

// littleSpace is what should be free, in bytes, where weir writes: some days of history, or of an unsent backlog.
const littleSpace = 256 << 20

func judgeSpace(what, path string, free uint64) Row {
	if free < littleSpace {
		return row(Warning, what, fmt.Sprintf("%s can be written, but only %d MiB are free there", path, free>>20), "free some space, or name a file on another disk")
	}
	return row(OK, what, path+" can be written", "")
}

// existing is the folder itself or its nearest ancestor that exists; the rest would be made when needed.
func existing(folder string) string {
	for {
		if _, err := os.Lstat(folder); err == nil || folder == filepath.Dir(folder) {
			return folder
		}
		folder = filepath.Dir(folder)
	}
}

// tryWrite makes a file in a folder and removes it.
func tryWrite(folder string) error {
	file, err := os.CreateTemp(folder, ".weir-check-*")
	if err != nil {
		return err
	}
	_, err = file.WriteString("weir check\n")
	return errors.Join(err, file.Close(), os.Remove(file.Name()))
}

// reasonOf is an error without the operation and path that stand before it.
func reasonOf(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// checkHTTP tries whether the port for probes is free.
func checkHTTP(ctx context.Context, listen string) []Row {
	const what = "http port"
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return []Row{row(Failed, what, listen+" is in use", "stop what uses it (another weir?), or choose another port: http.listen or --http")}
	case errors.Is(err, syscall.EACCES):
		return []Row{row(Failed, what, listen+": this user may not open it", "choose a port above 1023")}
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return []Row{row(Failed, what, listen+" is no address of this machine", "use one of its own, or :PORT for all")}
	case err != nil:
		return []Row{row(Failed, what, err.Error(), "correct http.listen")}
	}
	_ = listener.Close()
	return []Row{row(OK, what, listen+" is free", "")}
}

// variable is an environment variable's value.
func variable(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// The sizes the console is made for.
const (
	minColumns, minRows       = 60, 16
	comfyColumns, comfyRows   = 80, 24
	terminalWhat, noTerminalD = "terminal", "run it in a terminal; `weir run` needs none"
)

// checkTerminal judges what the caller knows about the terminal.
func checkTerminal(t Terminal) []Row {
	if !t.IsTerminal {
		return []Row{row(Warning, terminalWhat, "standard output is no terminal: the console cannot draw on it", noTerminalD)}
	}
	found := fmt.Sprintf("%dx%d", t.Columns, t.Rows)
	if t.Colours != "" {
		found += ", " + t.Colours
	}
	if name := variable(t.Environ, "TERM"); name != "" {
		found += ", TERM=" + name
	}
	switch {
	case variable(t.Environ, "TERM") == "dumb":
		return []Row{row(Warning, terminalWhat, found+": it cannot place text", noTerminalD)}
	case t.ASCII != "":
		return []Row{row(Warning, terminalWhat, found+": frames and charts are drawn with ASCII characters, because of "+t.ASCII,
			"set LANG=C.UTF-8 where the terminal is one of today's; --ascii=false draws with all characters whatever they say")}
	case t.Columns < minColumns || t.Rows < minRows:
		return []Row{row(Warning, terminalWhat, found+": too small for the console", fmt.Sprintf("make it at least %dx%d", comfyColumns, comfyRows))}
	case t.Columns < comfyColumns || t.Rows < comfyRows:
		return []Row{row(Warning, terminalWhat, found+": panes will be cut short", fmt.Sprintf("make it at least %dx%d", comfyColumns, comfyRows))}
	}
	return []Row{row(OK, terminalWhat, found, "")}
}
