package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"dunlin/internal/load"
	"dunlin/protocol"
)

// benchScenario is a subcommand of bench: a scenario and the flags it has.
type benchScenario struct {
	name, short string
	flags       []string
}

var benchScenarios = []benchScenario{
	{load.Connect, "Open connections, subscribe each, and hold them", []string{"connections", "channels", "per-connection", "rate", "hold"}},
	{load.Fanout, "Publish to one channel with many subscribers", []string{"connections", "slow-readers", "events", "rate", "publishers", "window", "size"}},
	{load.Channels, "Publish to many channels", []string{"connections", "channels", "per-connection", "events", "rate", "publishers", "window", "size"}},
	{load.ClientEvents, "Have clients send events to each other, in groups", []string{"connections", "group", "events", "rate", "window", "size"}},
	{load.Presence, "Have all clients join presence channels at once", []string{"connections", "channels", "rate"}},
	{load.Trigger, "Publish through the HTTP API to channels without subscribers", []string{"channels", "events", "rate", "publishers", "size"}},
	{load.Mixed, "Public channels, client events and presence at once, at given rates",
		[]string{"connections", "channels", "group", "events", "rate", "client-rate", "churn", "publishers", "size"}},
}

func (c *cli) benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Load a server of the Pusher protocol, and measure it",
		Long: "Load a server of the Pusher protocol, any server, and measure it.\n\n" +
			"Rates, losses and latencies are printed when the load ends, or is ended with\n" +
			"Ctrl-C; with --pid also what CPU and memory the server used. With --rate events\n" +
			"are evenly spaced and timed from when they were due, so that what a stalled\n" +
			"server held up counts (no coordinated omission).",
		Example: "  dunlin bench fanout --connections 1000 --events 2000 --pid $(pidof dunlin)\n" +
			"  dunlin bench fanout --rate 50 --duration 1m --json\n" +
			"  dunlin bench connect --url http://10.0.0.5:6001 --key app-key --connections 50000 --rate 2000",
		Args: cobra.NoArgs, // a scenario that there is not must not look like success
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, s := range benchScenarios {
		cmd.AddCommand(c.scenarioCommand(s))
	}
	return cmd
}

func (c *cli) scenarioCommand(s benchScenario) *cobra.Command {
	o := load.Defaults(s.name)
	b := &benchFlags{o: &o}
	cmd := &cobra.Command{
		Use:   s.name,
		Short: s.short,
		Args:  cobra.NoArgs,
		RunE: does(func(cmd *cobra.Command, _ []string) error {
			if err := refuseNothing(s.name, cmd.Flags()); err != nil {
				return err
			}
			if err := c.benchTarget(b); err != nil {
				return err
			}
			return c.bench(o, b.json)
		}),
	}
	b.define(cmd.Flags(), s.flags)
	return cmd
}

// benchFlags are the flags of one scenario. Those of load.Options are kept there.
type benchFlags struct {
	o       *load.Options
	secret  string
	sources []string
	json    bool
}

func (b *benchFlags) define(f *pflag.FlagSet, own []string) {
	o := b.o
	f.SortFlags = false
	f.StringVar(&o.URL, "url", o.URL, "the server, with its path prefix")
	f.StringVar(&o.AppID, "app-id", o.AppID, "id of the app, for the HTTP API")
	f.StringVar(&o.Key, "key", o.Key, "key of the app")
	f.StringVar(&b.secret, "secret", "app-secret", "secret of the app; also env:NAME or file:PATH")
	f.IntVar(&o.PID, "pid", 0, "process of the server on this machine: read its CPU and memory")
	for _, flag := range b.known() {
		for _, name := range own {
			if flag.name == name {
				flag.define(f)
			}
		}
	}
	f.DurationVar(&o.Duration, "duration", o.Duration, "longest time of what is measured, once all is set up")
	f.DurationVar(&o.Patience, "patience", o.Patience, "without any progress for so long, what is missing is lost")
	f.StringVar(&o.Channel, "channel", o.Channel, "channel, or the beginning of the channels' names")
	if own[0] == "connections" {
		f.BoolVar(&o.Compress, "compress", false, "offer permessage-deflate on the WebSocket connections")
		f.IntVar(&o.InFlight, "in-flight", o.InFlight, "connections being opened at a time")
		f.StringSliceVar(&b.sources, "source", nil, "addresses of this machine to connect from, for more connections than one has\nports (default: the system's choice; to loopback, as many of 127.0.0.0/8 as needed)")
	}
	f.BoolVar(&b.json, "json", false, "print JSON, and no progress")
}

// benchFlag is a flag that some scenarios have.
type benchFlag struct {
	name   string
	define func(*pflag.FlagSet)
}

func (b *benchFlags) known() []benchFlag {
	o := b.o
	whole := func(name string, to *int, usage string) benchFlag {
		return benchFlag{name, func(f *pflag.FlagSet) { f.IntVar(to, name, *to, usage) }}
	}
	number := func(name string, to *float64, usage string) benchFlag {
		return benchFlag{name, func(f *pflag.FlagSet) { f.Float64Var(to, name, *to, usage) }}
	}
	return []benchFlag{
		whole("connections", &o.Connections, "WebSocket connections"),
		whole("slow-readers", &o.SlowReaders, "further subscribers that read nothing; what they miss is not counted"),
		whole("channels", &o.Channels, "channels over which it is spread"),
		whole("per-connection", &o.PerConnection, "channels that each connection subscribes to"),
		whole("group", &o.Group, "clients on each channel in which they send events"),
		whole("events", &o.Events, "most events that are sent"),
		number("rate", &o.Rate, "a second, evenly spaced and timed from when each was due; 0: as fast as answers and\nthe window allow"),
		number("client-rate", &o.ClientRate, "client events a second, of all clients together"),
		number("churn", &o.Churn, "members of presence channels that reconnect, a second"),
		whole("publishers", &o.Publishers, "HTTP connections, each with one request under way"),
		whole("window", &o.Window, "events under way, that not all have got; 0: any number. Not with --rate"),
		{"size", func(f *pflag.FlagSet) {
			f.IntVar(&o.Size, "size", o.Size, "bytes of an event's data")
			f.StringVar(&o.Fill, "fill", o.Fill, "what it is made of: x, or json, which compresses as JSON does")
		}},
		{"hold", func(f *pflag.FlagSet) {
			f.DurationVar(&o.Hold, "hold", o.Hold, "how long all connections are held before memory is read")
		}},
	}
}

// refuseNothing refuses flags that were given as 0 or empty where load.Options takes
// that for its default: it would not be what was asked for.
func refuseNothing(scenario string, f *pflag.FlagSet) error {
	names := []string{"url", "app-id", "key", "channel", "connections", "per-connection", "group", "events", "publishers", "size", "in-flight",
		"duration", "patience"}
	if scenario != load.Connect { // there it is to subscribe to none
		names = append(names, "channels")
	}
	for _, name := range names {
		if flag := f.Lookup(name); flag != nil && flag.Changed {
			switch flag.Value.String() {
			case "":
				return fmt.Errorf("--%s must not be empty", name)
			case "0", "0s":
				return fmt.Errorf("--%s must be more than 0", name)
			}
		}
	}
	return nil
}

// benchTarget reads what flags give as text.
func (c *cli) benchTarget(b *benchFlags) error {
	text, err := c.env.secretsFrom(".")(b.secret)
	if err != nil {
		return fmt.Errorf("--secret: %w", err)
	}
	b.o.Secret = protocol.NewSecret(text)
	for _, s := range b.sources {
		ip, err := netip.ParseAddr(strings.TrimSpace(s))
		if err != nil {
			return fmt.Errorf("--source: %w", err)
		}
		b.o.Sources = append(b.o.Sources, ip)
	}
	return nil
}

// benchProcs is the least that the load maker is content with: its loop's thread
// holds a P while it waits in a system call, and publishers must not wait for it.
const benchProcs = 4

// bench makes the load and prints the report.
func (c *cli) bench(o load.Options, asJSON bool) error {
	ctx, stop := untilSignal()
	defer stop()
	if before := runtime.GOMAXPROCS(0); before < benchProcs {
		defer runtime.GOMAXPROCS(before)
		runtime.GOMAXPROCS(benchProcs)
	}
	done := func() {}
	if f, ok := c.stderr.(*os.File); ok && !asJSON {
		o.Progress, done = showProgress(f)
	}
	report, err := load.Run(ctx, o)
	done()
	if err != nil {
		return err
	}
	if !asJSON {
		return report.Print(c.stdout)
	}
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	return e.Encode(report)
}
