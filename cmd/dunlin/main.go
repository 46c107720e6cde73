// Command dunlin is a self-hosted server for the Pusher Channels protocol.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr, newEnvironment(os.Environ())))
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the command did not do what it was asked to
	exitUsage  = 2 // the command line is wrong
)

// cli is what the subcommands share.
type cli struct {
	stdout, stderr io.Writer
	env            *environment
}

// failure is the error of a command that ran, as opposed to a command line that
// is wrong.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// run is the whole program but for os.Exit.
func run(args []string, stdout, stderr io.Writer, env *environment) int {
	c := &cli{stdout: stdout, stderr: stderr, env: env}
	root := c.root()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	var list Mistakes
	switch {
	case errors.As(err, &list):
		fmt.Fprintln(stderr, list)
		fmt.Fprintln(stderr, counted(len(list), "mistake"))
	case errors.As(err, &failure{}):
		fmt.Fprintln(stderr, "dunlin:", err)
	default:
		fmt.Fprintln(stderr, "dunlin:", err)
		fmt.Fprintln(stderr, "Try dunlin --help")
		return exitUsage
	}
	return exitFailed
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "dunlin",
		Short:         "A self-hosted server for the Pusher Channels protocol",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	root.AddCommand(c.serveCommand(), c.checkCommand(),
		c.triggerCommand(), c.tailCommand(), c.channelsCommand(), c.usersCommand(), c.terminateCommand(),
		c.benchCommand(), c.webhooksCommand(), c.migrateCommand(), c.healthcheckCommand(), c.logCommand(), c.versionCommand())
	return root
}

// does makes a command's work a cobra function whose errors are failures.
func does(work func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if err := work(cmd, args); err != nil {
			return failure{err}
		}
		return nil
	}
}

// counted writes a number of things: "1 app", "2 apps".
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
