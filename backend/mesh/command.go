package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"weir/backend/kafka"
	"weir/backend/mesh/contract"
)

// ValidateCommand is what weir validate was asked to do.
type ValidateCommand struct {
	Product DataProduct
	Files   []string
	Options FileOptions
	Format  string // of the report, one of Formats
	Each    bool   // judge each file alone; else they are one data set
	Out     io.Writer
	// Terminal, if set, is where the progress of long files is drawn, and erased again.
	Terminal io.Writer
	// Lineage, if set, is the file or URL that OpenLineage events of the validation go to, of jobs in Namespace. Token is
	// sent to a URL; it may be nil.
	Lineage   string
	Namespace string
	Token     func() string
}

// Run judges the files and writes the report. The code is 0 when the contract holds, 1 when it is broken and 2 when that
// cannot be told, which is also what an error means; of files judged alone it is the highest.
func (c ValidateCommand) Run(ctx context.Context) (code int, err error) {
	if !slices.Contains(Formats(), c.Format) {
		return ExitUnknown, fmt.Errorf("--format: expected one of %s, found %q", strings.Join(Formats(), ", "), c.Format)
	}
	if f := c.Options.Format; f != "" && !slices.Contains(FileFormats(), f) {
		return ExitUnknown, fmt.Errorf("--as: expected one of %s, found %q", strings.Join(FileFormats(), ", "), f)
	}
	sets := [][]string{c.Files}
	if c.Each {
		files, err := expand(c.Files)
		if err != nil {
			return ExitUnknown, err
		}
		sets = slices.Collect(slices.Chunk(files, 1))
	}
	var emitter *Emitter
	if c.Lineage != "" {
		if emitter, err = NewEmitter(c.Lineage, c.Token); err != nil {
			return ExitUnknown, err
		}
		defer func() { err = errors.Join(err, emitter.Close()) }()
	}
	meter := newMeter(c.Terminal, time.Now)
	var reports []Report
	for i, files := range sets {
		options := c.Options
		if c.Terminal != nil {
			meter.next(i+1, len(sets))
			options.Progress = meter.update
		}
		report, err := ValidateFiles(ctx, c.Product, files, options)
		meter.erase()
		if err != nil {
			return ExitUnknown, err
		}
		reports = append(reports, report)
		code = max(code, report.ExitCode())
		if emitter == nil {
			continue
		}
		for _, event := range report.LineageEvents(or(c.Namespace, "weir"), time.Now()) {
			if emitErr := emitter.Emit(ctx, event); emitErr != nil {
				err = errors.Join(err, emitErr)
				break
			}
		}
		if err != nil { // what was asked for was not done; the report is written all the same
			return ExitUnknown, errors.Join(WriteReports(c.Out, reports, c.Format), err)
		}
	}
	return code, WriteReports(c.Out, reports, c.Format)
}

// FileFormats are the formats of files that ValidateFiles reads.
func FileFormats() []string { return []string{"csv", "jsonl", "json", "parquet"} }

// Sources say where profiles come from: files, and topics of a cluster.
type Sources struct {
	Files FileOptions
	// Cluster gives the cluster of topics, and its schema registry if it has one; it is asked when there is a topic.
	Cluster func() (cluster kafka.Cluster, schemaRegistry string, err error)
	Topics  TopicOptions
	// Find gives a product by its name.
	Find func(ref string) (DataProduct, error)
}

// Profile looks at files and folders, taken together, or at one topic. What is no file but has the name of a topic is one;
// "topic:" before a name makes it one.
func (s Sources) Profile(ctx context.Context, args []string) (Profile, error) {
	for _, a := range args {
		topic, ok := topicName(a)
		if !ok {
			continue
		}
		if len(args) > 1 {
			return Profile{}, fmt.Errorf("%s is no file; a topic is looked at by itself", a)
		}
		return s.topic(ctx, topic)
	}
	return ProfileFiles(ctx, args, s.Files)
}

func (s Sources) topic(ctx context.Context, name string) (Profile, error) {
	if s.Cluster == nil {
		return Profile{}, fmt.Errorf("%s is no file, and there is no cluster to find it in", name)
	}
	cluster, registry, err := s.Cluster()
	if err != nil {
		return Profile{}, fmt.Errorf("%s is no file; to look for it as a topic: %w", name, err)
	}
	o := s.Topics
	o.SchemaRegistry = registry
	return ProfileTopic(ctx, cluster, name, o)
}

// topicName tells whether a person who names this source means a topic.
func topicName(source string) (string, bool) {
	if name, ok := strings.CutPrefix(source, "topic:"); ok {
		return name, true
	}
	if source == "-" || exists(source) || formatOf(source) != "" || strings.ContainsAny(source, `/\`) || len(source) > 249 {
		return "", false
	}
	for _, r := range source {
		if r != '.' && r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return "", false
		}
	}
	return source, source != "" && source != "." && source != ".."
}

// InferCommand drafts a product from the data args name. The first may be the product's DOMAIN/NAME; else it is named after
// the data, in the domain "draft".
func (s Sources) InferCommand(ctx context.Context, w io.Writer, args []string) error {
	domain, name := "draft", ""
	if d, n, ok := strings.Cut(args[0], "/"); ok && len(args) > 1 && n != "" && !exists(args[0]) {
		domain, name, args = d, n, args[1:]
	}
	if name == "" {
		name = safeName(baseName(args[0]))
	}
	profile, err := s.Profile(ctx, args)
	if err != nil {
		return err
	}
	if profile.Rows == 0 {
		return fmt.Errorf("%s: %s; there is nothing to draft from", profile.Source, noRows(profile))
	}
	return WriteDraft(w, profile, domain, name)
}

// noRows says why a profile is of no rows.
func noRows(p Profile) string {
	if p.Undecodable > 0 {
		return "no row, and " + plural(int(p.Undecodable), "record") + " that could not be decoded: " + p.Garbage
	}
	return "no rows"
}

// baseName is a file's name without its folder and endings.
func baseName(path string) string {
	base := filepath.Base(strings.TrimPrefix(path, "topic:"))
	if formatOf(base) != "" {
		base, _, _ = strings.Cut(base, ".")
	}
	return base
}

// RelationsCommand finds likely joins between the data args name: PRODUCT=FILE[,FILE…], a FILE or folder under its own
// name, a PRODUCT (by its topic), or a topic. Format is text or json.
func (s Sources) RelationsCommand(ctx context.Context, w io.Writer, args []string, format string) error {
	if format != "text" && format != "json" {
		return fmt.Errorf("--format: expected text or json, found %q", format)
	}
	profiles := map[string]Profile{}
	for _, a := range args {
		key, profile, err := s.named(ctx, a)
		if err != nil {
			return err
		}
		if _, twice := profiles[key]; twice {
			return fmt.Errorf("%s is named twice; files of one product are given as %s=FILE,FILE", key, key)
		}
		profiles[key] = profile
	}
	for key, p := range profiles {
		if p.Rows == 0 {
			return fmt.Errorf("%s: %s; nothing can be said of its joins", key, noRows(p))
		}
	}
	if len(profiles) < 2 {
		return errors.New("a join takes two data sets; name at least two, such as orders=orders.csv users=users.parquet")
	}
	if format == "json" {
		return WriteRelationsJSON(w, Relations(profiles), profiles)
	}
	return WriteRelations(w, Relations(profiles), profiles)
}

func (s Sources) named(ctx context.Context, arg string) (string, Profile, error) {
	if key, sources, ok := strings.Cut(arg, "="); ok && !exists(arg) {
		files := strings.Split(sources, ",")
		if key == "" || slices.Contains(files, "") {
			return "", Profile{}, fmt.Errorf("%q: expected PRODUCT=FILE[,FILE…], found an empty name", arg)
		}
		p, err := s.Profile(ctx, files)
		return key, p, err
	}
	if !exists(arg) && formatOf(arg) == "" && s.Find != nil {
		if p, err := s.Find(arg); err == nil {
			profile, err := s.topic(ctx, or(p.Topic, p.Name))
			return p.Key(), profile, err
		}
	}
	p, err := s.Profile(ctx, []string{arg})
	return baseName(arg), p, err
}

// ProductNames are the names of a registry's products, for a shell to complete.
func ProductNames(r *Registry) []string {
	entries, _, err := r.Scan()
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.Domain != NoDomain {
			names = append(names, e.Domain+"/"+e.Name)
		}
	}
	return names
}

// DomainNames are the names of a registry's domains, for a shell to complete.
func DomainNames(r *Registry) []string {
	var names []string
	for _, product := range ProductNames(r) {
		domain, _, _ := strings.Cut(product, "/")
		names = append(names, domain)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// LintRegistry writes what a lint finds in all products of a registry, those that cannot be read or lie where no product does
// included. The code is 1 when there is an error among it.
func LintRegistry(w io.Writer, r *Registry) (code int, err error) {
	entries, _, err := r.Scan()
	if err != nil {
		return 0, err
	}
	out, linted := printer{w: w}, map[string]bool{}
	for _, e := range entries {
		if linted[e.Path] { // another schema object of the contract
			continue
		}
		linted[e.Path] = true
		path := filepath.Join(r.Dir(), e.Path)
		if e.Err != nil {
			code = 1
			for line := range strings.SplitSeq(e.Err.Error(), "\n") {
				out.line("%s: %s (file): %s", path, contract.Fatal, strings.TrimPrefix(line, path+": "))
			}
			continue
		}
		p, err := r.Get(e.Domain, strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)))
		if err != nil {
			return 0, err
		}
		one, err := WriteLint(w, path, p)
		if err != nil {
			return 0, err
		}
		code = max(code, one)
	}
	if len(entries) == 0 {
		out.line("no data products in %s", r.Dir())
	}
	return code, out.err
}

// LintCommand writes what a lint finds in products that a person named. The code is 1 when there is an error among it.
func LintCommand(w io.Writer, refs []string, find func(ref string) (DataProduct, error)) (code int, err error) {
	out := printer{w: w}
	for _, ref := range refs {
		p, err := find(ref)
		if err != nil { // the others are linted all the same
			code = 1
			for line := range strings.SplitSeq(err.Error(), "\n") {
				out.line("%s: %s (file): %s", ref, contract.Fatal, strings.TrimPrefix(line, ref+": "))
			}
			continue
		}
		one, err := WriteLint(w, ref, p)
		if err != nil {
			return 0, err
		}
		code = max(code, one)
	}
	return code, out.err
}

// DiffCommand writes what changed between versions of a product that a person named, the oldest first. mode is one of
// CompatibilityModes or empty; the code is 1 when the change is not as compatible as it says.
func DiffCommand(w io.Writer, refs []string, mode string, find func(ref string) (DataProduct, error)) (code int, err error) {
	var m contract.Mode
	var transitive bool
	if mode != "" {
		if m, transitive, err = contract.ParseMode(mode); err != nil {
			return 0, fmt.Errorf("--compatibility: %w", err)
		}
	}
	versions := make([]DataProduct, len(refs))
	for i, ref := range refs {
		if versions[i], err = find(ref); err != nil {
			return 0, err
		}
	}
	return WriteDiff(w, versions, m, transitive)
}

// CompatibilityModes are the words DiffCommand knows.
func CompatibilityModes() []string {
	return []string{"BACKWARD", "FORWARD", "FULL", "BACKWARD_TRANSITIVE", "FORWARD_TRANSITIVE", "FULL_TRANSITIVE"}
}
