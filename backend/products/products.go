package products

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/backend/exit"
	"weir/backend/kafka"
	"weir/backend/mesh"
	"weir/config"
)

// Products is weir products.
func (f *Front) Products() *cobra.Command {
	c := &cobra.Command{Use: "products", Short: "List, show, register, lint, compare, draft and relate data products",
		Args: f.Known, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	folder := registryFlag(c)
	within := func(do func(cmd *cobra.Command, r *mesh.Registry, args []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			r, err := f.registry(*folder)
			if err != nil {
				return err
			}
			defer func() { _ = r.Close() }()
			return do(cmd, r, args)
		}
	}
	list := &cobra.Command{Use: "list [DOMAIN]", Short: "List the products of the registry", Args: cobra.MaximumNArgs(1),
		RunE: within(func(cmd *cobra.Command, r *mesh.Registry, args []string) error {
			entries, _, err := r.Scan()
			if err != nil {
				return err
			}
			return mesh.WriteList(f.Out, entries, append(args, "")[0])
		})}
	show := &cobra.Command{Use: "show PRODUCT", Short: "Show one product and its contract", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := f.product(*folder, args[0])
			if err != nil {
				return err
			}
			return mesh.WriteShow(f.Out, p)
		}}
	register := &cobra.Command{Use: "register FILE", Short: "Validate a product's file and put it into the registry", Args: cobra.ExactArgs(1)}
	replace := register.Flags().Bool("replace", false, "overwrite a product of the same name")
	register.RunE = within(func(cmd *cobra.Command, r *mesh.Registry, args []string) error {
		p, err := mesh.ReadProduct(args[0])
		if err != nil {
			return err
		}
		if err := r.Register(p, mesh.RegisterOptions{Replace: *replace, By: f.By()}); err != nil {
			return err
		}
		_, err = fmt.Fprintf(f.Out, "registered %s in %s\n", p.Key(), r.Dir())
		return err
	})
	show.ValidArgsFunction = f.completeProduct(folder, 1)
	list.ValidArgsFunction = f.completeNames(folder, 1, mesh.DomainNames)
	c.AddCommand(list, show, register, f.lintCommand(folder), f.diffCommand(folder), f.inferCommand(folder), f.relationsCommand(folder))
	return c
}

func (f *Front) lintCommand(folder *string) *cobra.Command {
	return &cobra.Command{Use: "lint [PRODUCT…]", Short: "Report what is wrong, missing or not understood in products, or in all of the registry (exit 1: something is)",
		ValidArgsFunction: f.completeProduct(folder, 0),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return f.lintRegistry(*folder)
			}
			code, err := mesh.LintCommand(f.Out, args, func(ref string) (mesh.DataProduct, error) { return f.product(*folder, ref) })
			if err != nil {
				return err
			}
			return exit.With(code)
		}}
}

func (f *Front) lintRegistry(folder string) error {
	r, err := f.registry(folder)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	code, err := mesh.LintRegistry(f.Out, r)
	if err != nil {
		return err
	}
	return exit.With(code)
}

func (f *Front) diffCommand(folder *string) *cobra.Command {
	c := &cobra.Command{Use: "diff OLD… NEW", Short: "Show what changed between versions of a product, and who is broken by each change",
		Example: "  weir products diff old.yaml new.yaml --compatibility BACKWARD", Args: cobra.MinimumNArgs(2), ValidArgsFunction: f.completeProduct(folder, 0)}
	mode := c.Flags().String("compatibility", "", "exit 1 unless NEW is compatible with the last OLD: BACKWARD, FORWARD or FULL; with every OLD: the same with _TRANSITIVE")
	complete(c, "compatibility", mesh.CompatibilityModes())
	c.RunE = func(_ *cobra.Command, args []string) error {
		code, err := mesh.DiffCommand(f.Out, args, *mode, func(ref string) (mesh.DataProduct, error) { return f.product(*folder, ref) })
		if err != nil {
			return err
		}
		return exit.With(code)
	}
	return c
}

func (f *Front) inferCommand(folder *string) *cobra.Command {
	c := &cobra.Command{Use: "infer [DOMAIN/NAME] TOPIC|FILE…", Short: "Draft a product from data, for a person to edit",
		Long: "Draft an ODCS contract from files, or from the newest records of a topic of the configured cluster. No consumer\n" +
			"group's offsets are touched.",
		Example: "  weir products infer commerce/orders orders.csv > orders.yaml\n  weir products infer commerce/user_events user_events --config weir.yaml",
		Args:    cobra.MinimumNArgs(1)}
	s := f.sources(c, folder)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		s.Files.Stdin = cmd.InOrStdin()
		return s.InferCommand(cmd.Context(), f.Out, args)
	}
	return c
}

func (f *Front) relationsCommand(folder *string) *cobra.Command {
	c := &cobra.Command{Use: "relations PRODUCT[=FILE,…]…", Short: "Find likely joins between products by the overlap of their values",
		Long: "Find columns whose values also occur in another product's, with the error of the estimate. The data come from files\n" +
			"(PRODUCT=FILE, or a FILE under its own name) or from a PRODUCT's topic in the configured cluster.",
		Example: "  weir products relations commerce/orders=orders.csv crm/users=users.parquet\n  weir products relations commerce/user_events crm/users=users.csv --format json",
		Args:    cobra.MinimumNArgs(1), ValidArgsFunction: f.completeProduct(folder, 0)}
	s := f.sources(c, folder)
	format := c.Flags().String("format", "text", "text, or json")
	complete(c, "format", []string{"text", "json"})
	c.RunE = func(cmd *cobra.Command, args []string) error {
		s.Files.Stdin = cmd.InOrStdin()
		return s.RelationsCommand(cmd.Context(), f.Out, args, *format)
	}
	return c
}

// sources are where a command's profiles come from, with the flags that bound them.
func (f *Front) sources(c *cobra.Command, folder *string) *mesh.Sources {
	s := &mesh.Sources{Find: func(ref string) (mesh.DataProduct, error) { return f.product(*folder, ref) }}
	s.Cluster = func() (kafka.Cluster, string, error) {
		c, err := config.LoadNamed(*f.Config)
		if err != nil {
			return kafka.Cluster{}, "", err
		}
		registry := ""
		if c.Mesh != nil {
			registry = c.Mesh.SchemaRegistry
		}
		cluster, err := kafka.NewCluster(c.Kafka)
		return cluster, registry, err
	}
	c.Flags().IntVar(&s.Topics.Records, "max-records", mesh.DefaultTopicRecords, "look at the newest `N` records of a topic")
	c.Flags().DurationVar(&s.Topics.For, "for", 30*time.Second, "look at a topic for no longer than `DURATION`")
	c.Flags().StringVar(&s.Files.Format, "as", "", "read every file as one of "+strings.Join(mesh.FileFormats(), ", "))
	complete(c, "as", mesh.FileFormats())
	return s
}
