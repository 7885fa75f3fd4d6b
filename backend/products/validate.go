// Package products is the command line in front of data products: weir validate and weir products. What they do is done by
// backend/mesh.
package products

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"weir/backend/exit"
	"weir/backend/mesh"
	"weir/config"
)

// Front makes the commands. Its fields are looked at when one of them runs.
type Front struct {
	Config   *string   // the configuration file that a person named; empty: where config.Find finds it
	Out      io.Writer // standard output
	Terminal io.Writer // where progress is drawn and erased again; nil: nowhere
	By       func() string
	// Known refuses what is no command of a command's own.
	Known cobra.PositionalArgs
}

// Validate is weir validate.
func (f *Front) Validate() *cobra.Command {
	c := &cobra.Command{
		Use:   "validate PRODUCT FILE…",
		Short: "Check files against a product's contract (exit 0: it holds, 1: it is broken, 2: could not tell)",
		Long: "Check files, taken together as one data set, against a product's contract. PRODUCT is DOMAIN/NAME in the\n" +
			"registry, a name that only one domain has, or the path of a product's .yaml file, with #OBJECT behind it where it\n" +
			"has several schema objects. A FILE may be CSV, JSON Lines, JSON or Parquet, compressed with gzip or zstd or not, a\n" +
			"folder of them, or - for standard input.",
		Example: "  weir validate commerce/user_events events.csv\n  weir validate product.yaml part-*.jsonl --format json\n" +
			"  zcat events.gz | weir validate product.yaml - --as csv",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return couldNotTell(cmd, fmt.Errorf("expected a product and at least one file, such as weir validate commerce/user_events events.csv; found %q", args))
			}
			return nil
		},
	}
	c.SetFlagErrorFunc(couldNotTell)
	v := mesh.ValidateCommand{}
	c.Flags().StringVar(&v.Format, "format", "text", "one of "+strings.Join(mesh.Formats(), ", ")+"; json has the contract's own three keys, and the checks")
	c.Flags().BoolVar(&v.Each, "each", false, "judge each file alone; the exit code is the highest")
	c.Flags().StringVar(&v.Options.Format, "as", "", "read every file as one of "+strings.Join(mesh.FileFormats(), ", ")+" (default: by its name, else by its first bytes)")
	c.Flags().BoolVar(&v.Options.Unmasked, "unmask", false, "show the values of sensitive columns in samples")
	c.Flags().StringVar(&v.Lineage, "lineage", "", "report the validation as OpenLineage events to a `FILE` or URL")
	registry := registryFlag(c)
	complete(c, "format", mesh.Formats())
	complete(c, "as", mesh.FileFormats())
	c.ValidArgsFunction = f.completeProduct(registry, 1)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		code, err := f.validate(cmd, v, *registry, args)
		if err != nil {
			return couldNotTell(cmd, err)
		}
		return exit.With(code)
	}
	return c
}

// couldNotTell prints why a validation did not come about. Its exit code is not 1, which says that a contract is broken.
func couldNotTell(cmd *cobra.Command, err error) error {
	exit.Complain(cmd.ErrOrStderr(), err)
	return exit.Code(mesh.ExitUnknown)
}

func (f *Front) validate(cmd *cobra.Command, v mesh.ValidateCommand, registry string, args []string) (code int, err error) {
	if v.Product, err = f.product(registry, args[0]); err != nil {
		return 0, err
	}
	v.Files, v.Out, v.Options.Stdin = args[1:], f.Out, cmd.InOrStdin()
	v.Terminal = f.Terminal
	if c, err := config.LoadNamed(*f.Config); err == nil && c.Mesh != nil && c.Mesh.Lineage != nil && c.Mesh.Lineage.To == v.Lineage {
		v.Namespace, v.Token = c.Mesh.Lineage.Namespace, c.Mesh.Lineage.Token.Reveal
	}
	return v.Run(cmd.Context())
}

// complete lets the shell complete a flag's values.
func complete(c *cobra.Command, flag string, values []string) {
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completeProduct completes the first arguments, so many (0: all), as products of the registry or files, the others as files.
func (f *Front) completeProduct(folder *string, first int) cobra.CompletionFunc {
	return f.completeNames(folder, first, mesh.ProductNames)
}

func (f *Front) completeNames(folder *string, first int, names func(*mesh.Registry) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		r, err := f.registry(*folder)
		if err != nil || first > 0 && len(args) >= first {
			return nil, cobra.ShellCompDirectiveDefault
		}
		defer func() { _ = r.Close() }()
		return names(r), cobra.ShellCompDirectiveDefault
	}
}

func registryFlag(c *cobra.Command) *string {
	return c.PersistentFlags().String("registry", "", "the registry's `FOLDER` (default: the configuration's, else ./data-products)")
}

// product finds the product a person means: in the registry, or in a file of its own that needs none.
func (f *Front) product(registry, ref string) (mesh.DataProduct, error) {
	if mesh.IsFileRef(ref) {
		return mesh.ReadRef(ref)
	}
	r, err := f.registry(registry)
	if err != nil {
		return mesh.DataProduct{}, err
	}
	defer func() { _ = r.Close() }()
	return mesh.Find(r, ref)
}

func (f *Front) registry(folder string) (*mesh.Registry, error) {
	if folder == "" {
		folder = "data-products"
		if _, found := config.Find(); found || *f.Config != "" {
			c, err := config.LoadNamed(*f.Config)
			if err != nil {
				return nil, err
			}
			if c.Mesh != nil {
				folder = c.Mesh.Registry
			}
		}
	}
	return mesh.OpenRegistry(folder)
}
