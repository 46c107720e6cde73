package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"dunlin/ops"
)

func (c *cli) logCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log [debug|info|warn|error]",
		Short: "Show or change what a running server logs",
		Example: "  dunlin log\n" +
			"  dunlin log debug\n" +
			"  dunlin log info --url http://10.0.0.5:9601 --token env:ADMIN_TOKEN",
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"debug", "info", "warn", "error"},
		RunE: does(func(cmd *cobra.Command, args []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			var level ops.LogLevel
			if len(args) == 0 {
				err = admin.call(cmd.Context(), http.MethodGet, "/admin/log", nil, &level)
			} else {
				err = admin.call(cmd.Context(), http.MethodPut, "/admin/log", ops.LogLevel{Level: args[0]}, &level)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.stdout, level.Level)
			return err
		}),
	}
	adminFlags(cmd)
	return cmd
}
