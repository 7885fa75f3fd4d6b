package mesh

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// generated is a CSV of so many bytes that no disk holds: every row has an id of its own.
type generated struct {
	left int64
	id   int64
	rest []byte
	row  bytes.Buffer
}

func (g *generated) Read(b []byte) (int, error) {
	if len(g.rest) == 0 {
		if g.left <= 0 {
			return 0, io.EOF
		}
		g.row.Reset()
		for range 2000 {
			g.id++
			fmt.Fprintf(&g.row, "%d,2026-01-01T10:00:00Z,click,u%d@example.com,%d.50,3,NO,%d,0.%d,plain\n", g.id, g.id%1000, g.id%100, g.id*7919, g.id)
		}
		g.rest = g.row.Bytes()
		g.left -= int64(len(g.rest))
	}
	n := copy(b, g.rest)
	g.rest = g.rest[n:]
	return n, nil
}

// TestMemoryStaysBounded runs validations in a process of their own and asks for the most memory it ever had: under
// 200 MB, whatever the size. 50 MB are read, 1 GB with WEIR_SLOW=1.
func TestMemoryStaysBounded(t *testing.T) {
	const limit = 200 // MB
	if rules := os.Getenv("WEIR_MEMORY_TEST"); rules != "" {
		size, err := strconv.ParseInt(os.Getenv("WEIR_MEMORY_SIZE"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		p := articleProduct
		if rules == "unique" {
			p = odcs(t, "{name: user_id, unique: true, logicalType: integer}, {name: email, logicalType: string, required: true}")
		}
		header := "user_id,timestamp,event,email,amount,qty,country,session,score,note\n"
		r, err := ValidateFiles(context.Background(), p, []string{"-"}, FileOptions{Format: "csv", Stdin: io.MultiReader(strings.NewReader(header), &generated{left: size})})
		if err != nil || !r.Whole() || r.Broken() {
			t.Fatalf("%v %+v", err, r.Result())
		}
		fmt.Printf("rows %d exit %d seconds %.2f watched %.3f\n", r.Rows, r.ExitCode(), r.Took.Seconds(), r.Watched)
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "VmHWM") {
				fmt.Print(line)
			}
		}
		return
	}
	t.Parallel()
	if raceDetector {
		t.Skip("the race detector multiplies memory")
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("this system does not tell a process's memory")
	}
	size := "50000000"
	if os.Getenv("WEIR_SLOW") != "" {
		size = "1000000000"
	}
	for _, rules := range []string{"article", "unique"} {
		command := exec.Command(os.Args[0], "-test.run=^TestMemoryStaysBounded$", "-test.v")
		command.Env = append(os.Environ(), "WEIR_MEMORY_TEST="+rules, "WEIR_MEMORY_SIZE="+size)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		var kilobytes int
		_, after, _ := strings.Cut(string(out), "VmHWM:")
		if _, err := fmt.Sscan(after, &kilobytes); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Logf("%s, %s bytes: %d MB at most; %s", rules, size, kilobytes/1000, strings.TrimSpace(strings.Split(string(out), "\n")[1]))
		if kilobytes > limit*1000 {
			t.Errorf("%s: %d MB, allowed %d", rules, kilobytes/1000, limit)
		}
	}
}
