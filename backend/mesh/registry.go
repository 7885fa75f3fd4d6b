package mesh

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"weir/backend/mesh/contract"
)

// DataProduct is a data product and its contract, whatever shape its file has.
type DataProduct = contract.Product

// The errors of a registry a caller may tell apart.
var (
	ErrNoRegistry = errors.New("no registry")
	ErrNotFound   = errors.New("no such data product")
	ErrExists     = errors.New("the data product is registered already")
	ErrUnparsed   = errors.New("the product's file cannot be read")
)

// maxProducts bounds the files a registry looks at.
const maxProducts = 10_000

// NoDomain is the domain of entries whose file is no product for the place it lies at. No domain is called so.
const NoDomain = "-"

// journal is where registrations are recorded, beside the products and ignored as one of them.
const journal = ".weir/registrations.jsonl"

// Registry is a folder of data products, one file each: <domain>/<name>.yaml. It follows no symbolic link out of the
// folder and reads regular files only. Its methods are safe for concurrent use.
type Registry struct {
	dir  string
	root *os.Root

	mu    sync.Mutex
	files map[string]*Entry // by path below dir
	sums  map[string]stamp
}

// Entry is one file of a registry.
type Entry struct {
	Domain, Name string // by its place; NoDomain and the path where that is no product's
	Path         string // below the registry's folder
	// Product is the last good version, nil if there was none. Err says why the file as it is now cannot be read;
	// while it is not nil the last good version stays in force.
	Product *DataProduct
	Err     error
	Since   time.Time // when this version, or this error, was first seen
}

// each gives an entry for each product of the file: an ODCS contract may have several schema objects.
func (e *Entry) each() []Entry {
	if e.Product == nil || len(e.Product.Objects) == 0 {
		return []Entry{*e}
	}
	entries := make([]Entry, len(e.Product.Objects))
	for i := range e.Product.Objects {
		entries[i] = *e
		entries[i].Product = &e.Product.Objects[i]
		entries[i].Name = entries[i].Product.Name
	}
	return entries
}

// stamp tells whether a file changed.
type stamp struct {
	size int64
	mod  time.Time
	sum  [sha256.Size]byte
}

// OpenRegistry opens the registry in a folder. The error wraps ErrNoRegistry if there is no such folder.
func OpenRegistry(dir string) (*Registry, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: folder %s does not exist; create it, or correct mesh.registry", ErrNoRegistry, dir)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNoRegistry, err)
	case !info.IsDir():
		return nil, fmt.Errorf("%w: %s is a file; expected a folder of <domain>/<name>.yaml", ErrNoRegistry, dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoRegistry, err)
	}
	return &Registry{dir: dir, root: root, files: map[string]*Entry{}, sums: map[string]stamp{}}, nil
}

// inPlace is an error when the folder that was opened is not the one at its path any more: what is read from it then
// says nothing about what a person sees there. It wraps ErrNoRegistry.
func (r *Registry) inPlace() error {
	opened, err := r.root.Stat(".")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoRegistry, err)
	}
	if there, err := os.Stat(r.dir); err != nil || !os.SameFile(opened, there) {
		return fmt.Errorf("%w: folder %s was moved away or replaced", ErrNoRegistry, r.dir)
	}
	return nil
}

// Dir is the registry's folder.
func (r *Registry) Dir() string { return r.dir }

// Close lets go of the folder.
func (r *Registry) Close() error { return r.root.Close() }

// Scan looks at the folder again and gives all entries by domain and name, those of files that cannot be read, or that lie
// where no product does, included. A file that has not changed is not read again; changed tells whether anything did.
func (r *Registry) Scan() (entries []Entry, changed bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.inPlace(); err != nil {
		return nil, false, err
	}
	found, err := r.find()
	if err != nil {
		return nil, false, err
	}
	gone := func(p string) bool { _, here := slices.BinarySearch(found, p); return !here }
	maps.DeleteFunc(r.sums, func(p string, _ stamp) bool { return gone(p) })
	for p := range r.files {
		if gone(p) {
			delete(r.files, p)
			changed = true
		}
	}
	for _, p := range found {
		if r.load(p) {
			changed = true
		}
	}
	for _, e := range r.files {
		entries = append(entries, e.each()...)
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		if c := strings.Compare(a.Domain, b.Domain); c != 0 {
			return c
		}
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return strings.Compare(a.Path, b.Path)
	})
	return r.once(entries), changed, nil
}

// once keeps, of sorted entries that are of one product, the first, which says so.
func (r *Registry) once(entries []Entry) []Entry {
	kept := entries[:0]
	for _, e := range entries {
		if n := len(kept); n > 0 && kept[n-1].Domain == e.Domain && kept[n-1].Name == e.Name {
			first := &kept[n-1]
			first.Err = errors.Join(first.Err, fmt.Errorf("%s is that product too; remove one of the files", filepath.Join(r.dir, e.Path)))
			continue
		}
		kept = append(kept, e)
	}
	return kept
}

// find lists the files <domain>/<name>.yaml (or .yml), and those that may be meant as products but lie elsewhere, sorted.
// Hidden ones are nobody's products.
func (r *Registry) find() ([]string, error) {
	root, err := fs.ReadDir(r.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("%w: reading folder %s: %w", ErrNoRegistry, r.dir, err)
	}
	var found []string
	var look func(files []fs.DirEntry, parent string, depth int) error
	look = func(files []fs.DirEntry, parent string, depth int) error {
		for _, f := range files {
			p := path.Join(parent, f.Name())
			switch {
			case strings.HasPrefix(f.Name(), "."):
			case f.IsDir() && depth < maxFolders:
				inside, err := fs.ReadDir(r.root.FS(), p)
				if err != nil && (depth > 0 || contract.CheckIdentifier("domain", f.Name()) != nil) {
					continue // no product lies there: a disk's own lost+found, say
				}
				if err != nil {
					return fmt.Errorf("reading folder %s: %w", filepath.Join(r.dir, p), err)
				}
				if err := look(inside, p, depth+1); err != nil {
					return err
				}
			case !f.IsDir() && (isYAML(f.Name()) || r.isLinkedFolder(f, p)):
				found = append(found, p)
			}
			if len(found) > maxProducts {
				return fmt.Errorf("folder %s holds more than %d products", r.dir, maxProducts)
			}
		}
		return nil
	}
	if err := look(root, "", 0); err != nil {
		return nil, err
	}
	slices.Sort(found)
	return found, nil
}

// maxFolders is how deep products are looked for: a folder deeper than where they belong.
const maxFolders = 2

func isYAML(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return ext == ".yaml" || ext == ".yml"
}

// isLinkedFolder tells of a file in a registry whether it is a link to a folder.
func (r *Registry) isLinkedFolder(f fs.DirEntry, p string) bool {
	if f.Type()&fs.ModeSymlink == 0 {
		return false
	}
	info, err := os.Stat(filepath.Join(r.dir, filepath.FromSlash(p)))
	return err == nil && info.IsDir()
}

// misplaced tells why a file found in a registry cannot be a product there; empty if it can.
func misplaced(p string) string {
	parts := strings.Split(p, "/")
	file := parts[len(parts)-1]
	switch {
	case !isYAML(file):
		return "it is a link to a folder, which is not followed; put the folder itself there"
	case len(parts) == 1:
		return "it lies in no domain's folder"
	case contract.CheckIdentifier("domain", parts[0]) != nil:
		return fmt.Sprintf("its folder %q is no name of a domain (letters, digits, _, - and single dots)", parts[0])
	case len(parts) > 2:
		return "it lies deeper than in its domain's folder"
	case !isProductFile(file):
		return "its file is not called as a product is (letters, digits, _, - and single dots, then .yaml or .yml)"
	}
	return ""
}

// errNoProduct tells of a file that is not meant as a product.
var errNoProduct = errors.New("no data product")

// stray says of what lies where no product does what to do with it. The error wraps errNoProduct if it is not meant as one.
func (r *Registry) stray(data []byte, why string) error {
	if !contract.IsProduct(data) {
		return errNoProduct
	}
	domain, name := "<domain>", "<name>"
	if p, err := contract.Parse(data, "", ""); err == nil {
		domain, name = p.Domain, p.Name
	}
	return fmt.Errorf("not read as a data product, for %s; move it to %s", why, filepath.Join(r.dir, domain, name+".yaml"))
}

func isProductFile(name string) bool {
	ext := path.Ext(name)
	return (ext == ".yaml" || ext == ".yml") && contract.CheckIdentifier("name", strings.TrimSuffix(name, ext)) == nil
}

// load reads one file if it changed and tells whether it did.
func (r *Registry) load(p string) bool {
	domain, file := path.Split(p)
	domain, name := strings.TrimSuffix(domain, "/"), strings.TrimSuffix(file, path.Ext(file))
	why := misplaced(p)
	if why != "" {
		domain, name = NoDomain, p
	}
	entry := r.files[p]
	if entry == nil {
		entry = &Entry{Domain: domain, Name: name, Path: p}
	}
	next := *entry
	info, err := r.root.Lstat(filepath.FromSlash(p))
	if err == nil {
		if last, ok := r.sums[p]; ok && last.size == info.Size() && last.mod.Equal(info.ModTime()) && time.Since(info.ModTime()) > 2*time.Second {
			return false
		}
	}
	data, err := r.read(p)
	if err == nil {
		sum := sha256.Sum256(data)
		if last, ok := r.sums[p]; ok && last.sum == sum {
			r.sums[p] = stamp{info.Size(), info.ModTime(), sum}
			return false
		}
		r.sums[p] = stamp{info.Size(), info.ModTime(), sum}
		var product DataProduct
		if why != "" {
			err = r.stray(data, why)
		} else if product, err = parseAt(data, domain, name); err == nil {
			next.Product = &product
		}
	} else {
		delete(r.sums, p)
		if why != "" {
			err = fmt.Errorf("not read as a data product, for %s (%w)", why, err)
		}
	}
	if errors.Is(err, errNoProduct) {
		_, was := r.files[p]
		delete(r.files, p)
		return was
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", filepath.Join(r.dir, p), err)
		if entry.Err != nil && entry.Err.Error() == err.Error() {
			return false
		}
	}
	next.Err, next.Since = err, time.Now()
	r.files[p] = &next
	return true
}

// parseAt parses a product that lies at a place of a registry and must be the one its place says.
func parseAt(data []byte, domain, name string) (DataProduct, error) {
	p, err := contract.Parse(data, domain, name)
	if err != nil {
		return DataProduct{}, err
	}
	if p.Domain != domain || p.Name != name {
		return DataProduct{}, fmt.Errorf("the file says it is %s; expected %s/%s by its place", p.Key(), domain, name)
	}
	return p, nil
}

// read gives the bytes of a regular file below the registry's folder.
func (r *Registry) read(p string) ([]byte, error) {
	local := filepath.FromSlash(p)
	if !filepath.IsLocal(local) {
		return nil, fmt.Errorf("path %q leads out of the registry", p)
	}
	info, err := r.root.Lstat(local)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file (%s)", info.Mode().Type())
	}
	f, err := r.root.Open(local)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, contract.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("reading: %w", err)
	}
	if len(data) > contract.MaxBytes {
		return nil, fmt.Errorf("larger than %d bytes", contract.MaxBytes)
	}
	return data, nil
}

// List gives the products of a domain, or of all for the empty domain, by domain and name. Products whose file cannot
// be read are in neither; Scan tells of them.
func (r *Registry) List(domain string) ([]DataProduct, error) {
	entries, _, err := r.Scan()
	if err != nil {
		return nil, err
	}
	var products []DataProduct
	for _, e := range entries {
		if e.Product != nil && (domain == "" || e.Domain == domain) {
			products = append(products, *e.Product)
		}
	}
	return products, nil
}

// Get gives one product as its file is now. For the name of an ODCS contract with several schema objects that is the
// contract, with its objects; each of them has a name of its own, contract.object. The error wraps ErrNotFound or
// ErrUnparsed.
func (r *Registry) Get(domain, name string) (DataProduct, error) {
	for _, err := range []error{contract.CheckIdentifier("domain", domain), contract.CheckIdentifier("name", name)} {
		if err != nil {
			return DataProduct{}, fmt.Errorf("%w: %w", ErrNotFound, err)
		}
	}
	p, err := r.get(domain, name)
	if !errors.Is(err, ErrNotFound) {
		return p, err
	}
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		whole, wholeErr := r.get(domain, name[:i])
		if errors.Is(wholeErr, ErrUnparsed) {
			return DataProduct{}, wholeErr
		}
		for _, o := range whole.Objects {
			if o.Name == name {
				return o, nil
			}
		}
	}
	return DataProduct{}, err
}

// get gives what a file holds.
func (r *Registry) get(domain, name string) (DataProduct, error) {
	for _, ext := range []string{".yaml", ".yml"} {
		data, err := r.read(path.Join(domain, name+ext))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			var p DataProduct
			if p, err = parseAt(data, domain, name); err == nil {
				return p, nil
			}
		}
		return DataProduct{}, fmt.Errorf("%w: %s: %w", ErrUnparsed, filepath.Join(r.dir, domain, name+ext), err)
	}
	return DataProduct{}, fmt.Errorf("%w: %s/%s in %s", ErrNotFound, domain, name, r.dir)
}

// RegisterOptions say how a product is registered.
type RegisterOptions struct {
	Replace bool      // overwrite a product of the same name
	By      string    // who registers it, for the journal
	At      time.Time // zero: now
}

// Register writes a product's file: whole and synced to disk, or not at all. The error wraps ErrExists if there is one
// already and Replace is not set.
func (r *Registry) Register(p DataProduct, o RegisterOptions) error {
	if err := p.Validate(); err != nil {
		return fmt.Errorf("registering: %w", err)
	}
	data, err := p.Encode()
	if err != nil {
		return err
	}
	if _, err := parseAt(data, p.Domain, p.Name); err != nil {
		return fmt.Errorf("registering %s: what would be written cannot be read back: %w", p.Key(), err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	target := filepath.Join(p.Domain, p.Name+".yaml")
	existing := ""
	for _, candidate := range []string{target, filepath.Join(p.Domain, p.Name+".yml")} {
		if _, err := r.root.Lstat(candidate); err == nil {
			existing = candidate
		}
	}
	if existing != "" && !o.Replace {
		return fmt.Errorf("%w: %s; replace it explicitly if that is meant", ErrExists, filepath.Join(r.dir, existing))
	}
	if existing != "" {
		target = existing
	}
	if err := r.root.MkdirAll(p.Domain, 0o755); err != nil {
		return fmt.Errorf("registering %s: making folder %s: %w", p.Key(), p.Domain, err)
	}
	if err := r.write(target, data, existing == ""); err != nil {
		return fmt.Errorf("registering %s: %w", p.Key(), err)
	}
	return r.record(p, data, existing != "", o)
}

// write puts data at a path by way of a synced temporary file beside it. When the file must be new, a link instead of
// a rename keeps two who register at once from overwriting each other.
func (r *Registry) write(target string, data []byte, mustBeNew bool) (err error) {
	temp := filepath.Join(filepath.Dir(target), fmt.Sprintf(".%s.%d.tmp", filepath.Base(target), time.Now().UnixNano()))
	f, err := r.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() {
		if removeErr := r.root.Remove(temp); removeErr != nil && !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
	}()
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if mustBeNew {
		if err := r.root.Link(temp, target); err != nil {
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%w: %s", ErrExists, filepath.Join(r.dir, target))
			}
			return err
		}
	} else if err := r.root.Rename(temp, target); err != nil {
		return err
	}
	return r.syncFolder(filepath.Dir(target))
}

func (r *Registry) syncFolder(name string) error {
	d, err := r.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// registration is one line of the journal.
type registration struct {
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Product  string    `json:"product"`
	Version  string    `json:"version"`
	Replaced bool      `json:"replaced"`
	SHA256   string    `json:"sha256"`
}

func (r *Registry) record(p DataProduct, data []byte, replaced bool, o RegisterOptions) error {
	if o.At.IsZero() {
		o.At = time.Now()
	}
	sum := sha256.Sum256(data)
	line, err := json.Marshal(registration{o.At.UTC(), o.By, p.Key(), p.Version, replaced, hex.EncodeToString(sum[:])})
	if err != nil {
		return err
	}
	if err := r.root.MkdirAll(filepath.Dir(journal), 0o755); err != nil {
		return fmt.Errorf("recording the registration: %w", err)
	}
	f, err := r.root.OpenFile(filepath.FromSlash(journal), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("recording the registration: %w", err)
	}
	_, err = f.Write(append(line, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("recording the registration: %w", err)
	}
	return nil
}

// IsFileRef tells whether a person who writes ref means a product's own file, or with #object behind it one of the schema
// objects in it.
func IsFileRef(ref string) bool {
	file, _, _ := cutObject(ref)
	ext := path.Ext(file)
	return ext == ".yaml" || ext == ".yml"
}

// cutObject takes the object off a file's path; one tells whether there is any.
func cutObject(ref string) (file, object string, one bool) {
	if i := strings.LastIndexByte(ref, '#'); i >= 0 && path.Ext(ref[i:]) == "" {
		return ref[:i], ref[i+1:], true
	}
	return ref, "", false
}

// ReadRef reads the product that IsFileRef tells of.
func ReadRef(ref string) (DataProduct, error) {
	file, object, one := cutObject(ref)
	p, err := ReadProduct(file)
	if err != nil || !one {
		return p, err
	}
	var names []string
	for _, o := range p.Objects {
		name := strings.TrimPrefix(o.Name, p.Name+".")
		if name == object {
			return o, nil
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return DataProduct{}, fmt.Errorf("%w: %q; %s has no more than one schema object, so leave out #%s", ErrNotFound, ref, file, object)
	}
	return DataProduct{}, fmt.Errorf("%w: %q; %s has the schema objects %s", ErrNotFound, ref, file, strings.Join(names, ", "))
}

// ReadProduct reads a product from a file outside any registry.
func ReadProduct(file string) (DataProduct, error) {
	info, err := os.Stat(file)
	if err != nil {
		return DataProduct{}, fmt.Errorf("reading a data product: %w", err)
	}
	if !info.Mode().IsRegular() {
		return DataProduct{}, fmt.Errorf("reading a data product: %s is not a regular file (%s)", file, info.Mode().Type())
	}
	if info.Size() > contract.MaxBytes {
		return DataProduct{}, fmt.Errorf("reading a data product: %s has %d bytes; a product may have %d", file, info.Size(), contract.MaxBytes)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return DataProduct{}, fmt.Errorf("reading a data product: %w", err)
	}
	p, err := contract.Parse(bytes.Clone(data), "", "")
	if err != nil {
		return DataProduct{}, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

// Find gives the product a person means by ref: domain/name in a registry (which may be nil), the name alone where only
// one domain has it, or the path of a file, with #object behind it if it is one of several in it.
func Find(r *Registry, ref string) (DataProduct, error) {
	if IsFileRef(ref) {
		return ReadRef(ref)
	}
	if r == nil {
		return DataProduct{}, fmt.Errorf("%w: %q; there is no registry to look it up in (mesh.registry), and it is not a .yaml file", ErrNotFound, ref)
	}
	if domain, name, ok := strings.Cut(ref, "/"); ok {
		return r.Get(domain, name)
	}
	entries, _, err := r.Scan()
	if err != nil {
		return DataProduct{}, err
	}
	var keys []string
	var match Entry
	var stray error // of a file that is called so, but is no product where it lies
	for _, e := range entries {
		of := strings.TrimSuffix(path.Base(e.Path), path.Ext(e.Path)) // an ODCS contract with several objects
		if e.Domain == NoDomain {
			if of == ref {
				stray = e.Err
			}
			continue
		}
		if e.Name == ref || of == ref && !slices.Contains(keys, e.Domain+"/"+of) {
			if e.Name != ref {
				e.Name = of
			}
			keys, match = append(keys, e.Domain+"/"+e.Name), e
		}
	}
	switch len(keys) {
	case 0:
		if stray != nil {
			return DataProduct{}, fmt.Errorf("%w: %q in %s: %w", ErrNotFound, ref, r.dir, stray)
		}
		return DataProduct{}, fmt.Errorf("%w: %q in %s", ErrNotFound, ref, r.dir)
	case 1:
		return r.Get(match.Domain, match.Name)
	}
	return DataProduct{}, fmt.Errorf("%w: %q is in several domains: %s", ErrNotFound, ref, strings.Join(keys, ", "))
}
