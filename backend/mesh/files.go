package mesh

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"weir/backend/mesh/judge"
	"weir/backend/safego"
)

// FileOptions say how files are read.
type FileOptions struct {
	// Format is csv, jsonl, json or parquet; empty: by the file's name, else by its first bytes.
	Format string
	// Comma is the delimiter of CSV files; 0: found out from the first rows.
	Comma byte
	// Stdin is what the file "-" reads; nil: standard input.
	Stdin io.Reader
	// Unmasked shows the values of sensitive columns in samples.
	Unmasked bool
	// Workers bounds the goroutines that judge; 0: one a processor.
	Workers int
	// Now is the moment rows are judged late, old or of the future by; zero: the wall clock.
	Now time.Time
	// observe, if set, is given every value, by one goroutine.
	observe func(column string, cell judge.Cell)
	// Progress, if set, is called now and then with the bytes read and their total (0 where it is not known), from a
	// goroutine of the validation.
	Progress func(read, total int64)
}

// FileReport is how the reading of one file went.
type FileReport struct {
	Path   string
	Format string // such as csv, or jsonl in gzip
	Bytes  int64  // as stored
	Rows   int64
	// Whole tells that every row of the file was read and judged. If not, Err says where and why it was not.
	Whole bool
	Err   error
}

// The errors of files.
var (
	ErrNotWhole = errors.New("the file could not be read whole")
	ErrFormat   = errors.New("unknown format")
)

// maxRow bounds one row of a text file.
const maxRow = 16 << 20

// ValidateFiles judges files, taken together as one data set, by a product's contract. Folders stand for the files in
// them. The error is only about what kept anything from being judged (no file, a cancelled context); what is wrong with
// a file is in the report, whose ExitCode tells what it comes to.
func ValidateFiles(ctx context.Context, p DataProduct, files []string, o FileOptions) (report Report, err error) {
	if len(p.Objects) > 0 {
		names := make([]string, len(p.Objects))
		for i, object := range p.Objects {
			names[i] = object.Key()
		}
		return Report{}, fmt.Errorf("%s has several schema objects; say which one the files are: %s, or of a contract's own file CONTRACT.yaml#%s",
			p.Key(), strings.Join(names, ", "), strings.TrimPrefix(p.Objects[0].Name, p.Name+"."))
	}
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if files, err = expand(files); err != nil {
		return Report{}, err
	}
	if err := distinct(files); err != nil {
		return Report{}, err
	}
	start := time.Now()
	report = Report{Product: p}
	v := &validation{ctx: ctx, product: p, options: o}
	defer func() {
		if v.judge != nil {
			err = errors.Join(err, v.judge.Close())
		}
	}()
	for _, f := range files {
		v.total += sizeOf(f)
	}
	for i, f := range files {
		v.index = int32(i)
		one := v.file(f)
		if err := ctx.Err(); err != nil {
			return Report{}, fmt.Errorf("validating %s: %w", f, err)
		}
		if one.Err != nil {
			one.Err = fmt.Errorf("%s: %w", f, one.Err)
		}
		report.Files = append(report.Files, one)
	}
	if v.judge == nil { // nothing could be read
		v.judge = judge.New(p, judge.Options{})
	}
	if p := safego.Call(func() { report.Outcome = v.judge.Outcome(o.Now) }); p != nil {
		return Report{}, ours(p)
	}
	report.Took = time.Since(start)
	return report, nil
}

// validation is one call of ValidateFiles.
type validation struct {
	ctx     context.Context
	product DataProduct
	options FileOptions
	judge   *judge.Judge
	index   int32 // of the file at hand
	read    int64 // bytes as stored
	told    int64 // of them, to Progress
	total   int64 // 0: not known
}

// ready makes the judge with the first file that can be read, whose kind decides whether the data have columns of
// their own.
func (v *validation) ready(columnar bool) *judge.Judge {
	if v.judge == nil {
		v.judge = judge.New(v.product, judge.Options{
			Columnar: columnar, Unmasked: v.options.Unmasked, MaxDistinct: fileDistinct, Observe: v.options.observe,
		})
	}
	v.judge.Times(nil) // until the file says otherwise
	return v.judge
}

// fileDistinct is how many values each rule on duplicates remembers of files in memory: 64 MB.
const fileDistinct = 2 << 20

// where is the place of a row of the file at hand.
func (v *validation) where(row int64) judge.Where {
	return judge.Where{Partition: -1 - v.index, Offset: row, At: v.options.Now}
}

// files that are folders become the data files in them, in order.
func expand(paths []string) ([]string, error) {
	if len(paths) == 0 {
		return nil, errors.New("no file to validate")
	}
	var out []string
	for _, p := range paths {
		info, err := os.Stat(p)
		if p == "-" || err != nil || !info.IsDir() {
			out = append(out, p)
			continue
		}
		found := 0
		root := p + string(filepath.Separator) // which leads into a folder that p is a link to
		err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.Type()&os.ModeSymlink != 0 {
				if leadsInside(path, root) {
					return nil // such as latest.csv: what it leads to is found by itself
				}
				if info, err := os.Stat(path); err == nil && info.IsDir() {
					return fmt.Errorf("%s is a link to a folder, which is not followed; name it beside %s, or remove it", path, p)
				}
			}
			if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != root { // such as .ipynb_checkpoints: copies
				return filepath.SkipDir
			}
			// What has a data file's name but is none (a link to nothing, a device), or cannot be read, fails when it is opened.
			if !d.IsDir() && (formatOf(path) != "" || formatOf(unpacked(path)) != "") && !strings.HasPrefix(d.Name(), ".") {
				out = append(out, path)
				found++
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("reading folder %s: %w", p, err)
		}
		if found == 0 {
			return nil, fmt.Errorf("folder %s holds no data files (.csv .tsv .jsonl .ndjson .json .parquet, .gz and .zst of these)", p)
		}
	}
	return out, nil
}

// leadsInside tells whether a link leads to a folder or data file that is found in a folder anyway.
func leadsInside(link, folder string) bool {
	target, err1 := filepath.EvalSymlinks(link)
	within, err2 := filepath.EvalSymlinks(folder)
	if err1 != nil || err2 != nil {
		return false
	}
	inside, err := filepath.Rel(within, target)
	if err != nil || !filepath.IsLocal(inside) {
		return false
	}
	for part := range strings.SplitSeq(filepath.ToSlash(inside), "/") {
		if strings.HasPrefix(part, ".") {
			return false
		}
	}
	info, err := os.Stat(target)
	return err == nil && (info.IsDir() || formatOf(target) != "")
}

// distinct tells of a file that is named twice, be it by another path or a link.
func distinct(files []string) error {
	type stamp struct {
		size     int64
		modified int64
	}
	type named struct {
		path string
		info os.FileInfo
	}
	seen := map[stamp][]named{} // by what a file has in common with itself
	for i, path := range files {
		if path == "-" {
			if slices.Contains(files[:i], path) {
				return errors.New("standard input (-) is named twice, and can be read once")
			}
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			continue // told when it is opened
		}
		key := stamp{info.Size(), info.ModTime().UnixNano()}
		for _, other := range seen[key] {
			if os.SameFile(other.info, info) {
				return fmt.Errorf("%s and %s are one file, whose rows would count twice; name it once", other.path, path)
			}
		}
		seen[key] = append(seen[key], named{path, info})
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func sizeOf(path string) int64 {
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}

// formatOf is the format a file's name tells, empty if it tells none.
func formatOf(name string) string {
	name = strings.ToLower(name)
	for _, ext := range []string{".gz", ".gzip", ".zst", ".zstd"} {
		name = strings.TrimSuffix(name, ext)
	}
	switch filepath.Ext(name) {
	case ".csv", ".tsv", ".psv":
		return "csv"
	case ".jsonl", ".ndjson":
		return "jsonl"
	case ".json":
		return "json"
	case ".parquet", ".pq":
		return "parquet"
	}
	return ""
}

// file reads one file into the judge.
func (v *validation) file(path string) FileReport {
	report := FileReport{Path: path, Format: v.options.Format}
	if report.Format == "" {
		report.Format = formatOf(path)
	}
	source, done, err := v.open(path)
	if err != nil {
		report.Err = fmt.Errorf("%w: %w", ErrNotWhole, err)
		return report
	}
	defer done()
	report.Bytes = sizeOf(path)
	before := int64(0)
	if v.judge != nil {
		before = v.rows()
	}
	if p := safego.Call(func() { err = v.stream(source, &report) }); p != nil {
		err = p
	}
	err = ours(err)
	if v.judge != nil {
		report.Rows = v.rows() - before
	}
	if report.Err = err; err == nil {
		report.Whole = true
	} else if !errors.Is(err, ErrNotWhole) {
		report.Err = fmt.Errorf("%w: %w", ErrNotWhole, err)
	}
	return report
}

// ours says of a panic whose fault it is.
func ours(err error) error {
	if p := (*safego.Panic)(nil); errors.As(err, &p) {
		return fmt.Errorf("weir failed at it, which is a fault of weir: %w", err)
	}
	return err
}

func (v *validation) rows() int64 { return v.judge.Rows() }

// open opens a file, or standard input; done lets go of it.
func (v *validation) open(path string) (source io.Reader, done func(), err error) {
	if path == "-" {
		if source = v.options.Stdin; source == nil {
			source = os.Stdin
		}
		if f, ok := source.(*os.File); ok && endless(f) {
			source, done = patient(v.ctx, func() (io.ReadCloser, error) { return io.NopCloser(f), nil })
			return source, done, nil
		}
		return source, func() {}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, err
	}
	switch m := info.Mode(); {
	case m.Type() == os.ModeNamedPipe: // <(zcat …) can be read to its end; a device may have none
		source, done = patient(v.ctx, func() (io.ReadCloser, error) { return os.Open(path) })
		return source, done, nil
	case !m.IsRegular():
		return nil, nil, fmt.Errorf("not a regular file (%s)", m.Type())
	}
	f, err := os.Open(path)
	return f, func() { _ = f.Close() }, err // only read from
}

// stream finds out what a source holds, decompressed, and judges it.
func (v *validation) stream(source io.Reader, report *FileReport) error {
	if file, ok := source.(*os.File); ok && report.Format == "parquet" && startsWith(file, "PAR1") { // read where it lies
		return v.parquet(file)
	}
	counted := &progress{Reader: source, v: v}
	text := bufio.NewReaderSize(counted, 64<<10)
	compression := ""
	magic, _ := text.Peek(4)
	var reader io.Reader = text
	for _, f := range foreign {
		if bytes.HasPrefix(magic, []byte(f.magic)) {
			return fmt.Errorf("it is %s, which is not read; %s", f.name, f.do)
		}
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(text)
		if err != nil {
			return fmt.Errorf("reading gzip: %w", err)
		}
		defer func() { _ = z.Close() }() // only read from
		reader, compression = z, " in gzip"
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(text, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20), zstd.WithDecoderMaxWindow(64<<20))
		if err != nil {
			return fmt.Errorf("reading zstd: %w", err)
		}
		defer z.Close()
		reader, compression = z, " in zstd"
	}
	if compression != "" {
		text = bufio.NewReaderSize(reader, 64<<10)
	}
	start, err := text.Peek(32 << 10)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return fmt.Errorf("reading%s: %w", compression, err)
	}
	whole := errors.Is(err, io.EOF)
	if report.Format == "parquet" || bytes.HasPrefix(start, []byte("PAR1")) {
		report.Format = "parquet" + compression
		return v.parquet(text)
	}
	if bytes.HasPrefix(start, []byte("\xef\xbb\xbf")) {
		start = start[3:]
		_, _ = text.Discard(3) // it was peeked at
	}
	if bytes.HasPrefix(start, []byte("\xff\xfe")) || bytes.HasPrefix(start, []byte("\xfe\xff")) {
		return errors.New("the text is UTF-16, by its first two bytes; expected UTF-8: write it so, such as with iconv -f UTF-16 -t UTF-8")
	}
	if report.Format == "" {
		if report.Format = guess(start); report.Format == "" {
			return fmt.Errorf("%w: neither its name nor its first bytes tell; say which with --as csv, jsonl, json or parquet", ErrFormat)
		}
	}
	format := report.Format
	report.Format += compression
	switch format {
	case "csv":
		return v.csv(text, start, whole, strings.ToLower(report.Path))
	case "jsonl":
		return v.jsonLines(text)
	case "json":
		return v.jsonDocument(text)
	}
	return fmt.Errorf("%w %q; expected csv, jsonl, json or parquet", ErrFormat, format)
}

// foreign are formats that are not read but known when met, by their first bytes: what they hold must not be taken for text.
var foreign = []struct{ magic, name, do string }{
	{"BZh9", "compressed with bzip2", "expected gzip, zstd or no compression: pipe it in, such as bzcat FILE | weir validate PRODUCT - --as csv"},
	{"\xfd7zX", "compressed with xz", "expected gzip, zstd or no compression: pipe it in, such as xzcat FILE | weir validate PRODUCT - --as csv"},
	{"\x04\x22\x4d\x18", "compressed with lz4", "expected gzip, zstd or no compression: pipe it in, such as lz4cat FILE | weir validate PRODUCT - --as csv"},
	{"PK\x03\x04", "a ZIP archive, or a spreadsheet", "take the file out of it, or save the sheet as CSV"},
	{"Obj\x01", "an Avro file", "expected CSV, JSON Lines, JSON or Parquet: convert it"},
}

// unpacked is a file's name without the ending of a compression that is not read.
func unpacked(name string) string {
	lower := strings.ToLower(name)
	for _, ext := range []string{".bz2", ".xz", ".lz4", ".zip"} {
		lower = strings.TrimSuffix(lower, ext)
	}
	return lower
}

// startsWith tells whether a file that can be read at any place does.
func startsWith(file *os.File, magic string) bool {
	b := make([]byte, len(magic))
	n, _ := file.ReadAt(b, 0)
	return string(b[:n]) == magic
}

func guess(start []byte) string {
	trimmed := bytes.TrimLeft(start, " \t\r\n")
	switch {
	case len(trimmed) == 0:
		return ""
	case trimmed[0] == '{':
		return "jsonl"
	case trimmed[0] == '[':
		return "json"
	case bytes.IndexByte(start, 0) >= 0:
		return ""
	}
	return "csv"
}

// progress counts the bytes read.
type progress struct {
	io.Reader
	v *validation
}

func (p *progress) Read(b []byte) (int, error) {
	if err := p.v.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.Reader.Read(b)
	p.v.advance(p.v.read + int64(n))
	return n, err
}

// progressEvery is how many bytes are read between two tellings of progress.
const progressEvery = 4 << 20

// advance tells how far the reading came.
func (v *validation) advance(read int64) {
	v.read = read
	if f := v.options.Progress; f != nil && read-v.told >= progressEvery {
		v.told = read
		f(read, v.total)
	}
}
