package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (c *cli) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Read the configuration as serve would, and list every mistake",
		Example: "  dunlin check --config apps.yaml\n" +
			"  DUNLIN_APP_ID=1 DUNLIN_APP_KEY=k DUNLIN_APP_SECRET=file:/run/secrets/app dunlin check",
		Args: cobra.NoArgs,
		RunE: does(c.check),
	}
	configFlag(cmd)
	return cmd
}

func (c *cli) check(cmd *cobra.Command, _ []string) error {
	cfg, err := c.load(c.sources(cmd))
	if err != nil {
		return err
	}
	c.warn(cfg.Warnings)
	from := "the environment"
	if cfg.File != "" {
		from = cfg.File
	}
	_, err = fmt.Fprintf(c.stdout, "ok: %s: %s\n", from, counted(len(cfg.Apps), "app"))
	return err
}

// load loads a configuration. When that fails it prints the warnings, which may
// explain why.
func (c *cli) load(src sources) (*Config, error) {
	cfg, err := loadConfig(src)
	if err != nil {
		c.warn(src.env.strangers())
	}
	return cfg, err
}

func (c *cli) warn(warnings []string) {
	for _, w := range warnings {
		fmt.Fprintln(c.stderr, "warning:", w)
	}
}

func configFlag(cmd *cobra.Command) {
	cmd.Flags().StringP("config", "c", "", "configuration `FILE` (default: $"+envConfig+", else ./"+defaultFile+")")
}

// sources gathers what a command's configuration is made of.
func (c *cli) sources(cmd *cobra.Command) sources {
	src := sources{env: c.env, flags: map[string]string{}}
	src.file, _ = cmd.Flags().GetString("config")
	for _, s := range serverTable.list {
		if f := cmd.Flags().Lookup(s.flag); s.flag != "" && f != nil && f.Changed {
			src.flags[s.path] = f.Value.String()
		}
	}
	return src
}
