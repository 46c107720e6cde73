package load

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"dunlin/protocol"
)

// Options say whom to load, with what and for how long. Fields that a scenario
// does not know are ignored, and those that are 0 take its default.
type Options struct {
	Scenario string `json:"-"`

	// The server
	URL     string           `json:"url"` // http or https, path prefix included
	AppID   string           `json:"app_id"`
	Key     string           `json:"key"`
	Secret  *protocol.Secret `json:"-"`
	PID     int              `json:"pid,omitempty"` // of its process on this machine, to read its CPU and memory
	Sources []netip.Addr     `json:"sources,omitempty"`

	// What is there
	Connections   int    `json:"connections,omitempty"`
	Channel       string `json:"channel,omitempty"`        // name, or its beginning where there are many
	Channels      int    `json:"channels,omitempty"`       // over which connections or events are spread
	PerConnection int    `json:"per_connection,omitempty"` // channels that each connection subscribes to
	Group         int    `json:"group,omitempty"`          // members of a channel in which clients send events
	SlowReaders   int    `json:"slow_readers,omitempty"`   // further subscribers that never read
	Compress      bool   `json:"compress,omitempty"`       // connections offer permessage-deflate

	// What happens
	Rate       float64 `json:"rate,omitempty"`        // a second, evenly spaced; 0: as fast as Window and answers allow
	ClientRate float64 `json:"client_rate,omitempty"` // Mixed: client events a second
	Churn      float64 `json:"churn,omitempty"`       // Mixed: presence members that reconnect, a second
	Publishers int     `json:"publishers,omitempty"`  // HTTP connections, each with one request under way
	Window     int     `json:"window,omitempty"`      // events not yet delivered to all; 0: any number
	Size       int     `json:"size,omitempty"`        // bytes of an event's data
	Fill       string  `json:"fill,omitempty"`        // what it is made of: FillX or FillJSON
	InFlight   int     `json:"in_flight,omitempty"`   // connections being opened at a time

	// When it ends: Events and Duration bound what is measured, whichever comes first
	Events   int           `json:"events,omitempty"`
	Duration time.Duration `json:"duration_ns,omitempty"`
	Hold     time.Duration `json:"hold_ns,omitempty"`     // Connect: how long all connections are held
	Patience time.Duration `json:"patience_ns,omitempty"` // without any progress, before what is missing is lost

	Progress func(Progress) `json:"-"` // called about ten times a second, on the loop; nil: never
}

// Progress is where a run is.
type Progress struct {
	Phase string  // connecting, publishing, …
	Share float64 // of the phase, 0..1
	Done  int64   // of What, since the phase began
	What  string  // deliveries, connections, …
	Rate  float64 // Done a second
}

// Bounds of what a caller may ask for.
const (
	maxConnections = 10_000_000
	maxEvents      = 50_000_000
	maxPublishers  = 10_000
	maxSize        = 10 << 20
)

// Defaults returns the defaults of a scenario: what the commands' flags show.
func Defaults(scenario string) Options {
	o := Options{
		Scenario: scenario, URL: "http://127.0.0.1:6001", AppID: "app-id", Key: "app-key", Channel: "bench",
		Size: 128, Fill: FillX, InFlight: 512, Duration: 30 * time.Second, Patience: 5 * time.Second,
	}
	switch scenario {
	case Connect:
		o.Connections, o.Channels, o.PerConnection, o.Hold = 5000, 1000, 1, 2*time.Second
	case Fanout:
		o.Connections, o.Events, o.Window, o.Publishers = 1000, 1000, 8, 1
	case Channels:
		o.Connections, o.Channels, o.PerConnection, o.Events, o.Publishers = 2000, 500, 1, 20_000, 16
	case ClientEvents:
		o.Connections, o.Group, o.Events, o.Window = 500, 10, 50_000, 2000
	case Presence:
		o.Connections, o.Channels = 1000, 10
	case Trigger:
		o.Channels, o.Events, o.Publishers, o.Duration = 1, 1_000_000, 16, 5*time.Second
	case Mixed:
		o.Connections, o.Channels, o.Group, o.Publishers = 1000, 50, 10, 16
		o.Rate, o.ClientRate, o.Churn, o.Events, o.Duration = 200, 100, 5, 1_000_000, 10*time.Second
	}
	return o
}

// withDefaults fills what no scenario can do without.
func (o Options) withDefaults() Options {
	d := Defaults(o.Scenario)
	fill(&o.URL, d.URL)
	fill(&o.AppID, d.AppID)
	fill(&o.Key, d.Key)
	fill(&o.Channel, d.Channel)
	fill(&o.Fill, d.Fill)
	for _, f := range []struct {
		to   *int
		from int
	}{
		{&o.Connections, d.Connections}, {&o.PerConnection, d.PerConnection}, {&o.Group, d.Group}, {&o.Size, d.Size},
		{&o.InFlight, d.InFlight}, {&o.Publishers, d.Publishers}, {&o.Events, d.Events},
	} {
		fill(f.to, f.from)
	}
	fill(&o.Duration, d.Duration)
	fill(&o.Patience, d.Patience)
	if o.Scenario != Connect { // there, 0 channels is to subscribe to none
		fill(&o.Channels, d.Channels)
	}
	if o.Rate > 0 { // an open loop does not wait for deliveries
		o.Window = 0
	}
	return o
}

func fill[T comparable](to *T, from T) {
	var zero T
	if *to == zero {
		*to = from
	}
}

// check holds o to its bounds.
func (o Options) check() error {
	for _, c := range []struct {
		flag       string
		is         float64
		least, top float64
	}{
		{"connections", float64(o.Connections), 0, maxConnections},
		{"slow-readers", float64(o.SlowReaders), 0, maxConnections},
		{"channels", float64(o.Channels), 0, maxConnections},
		{"per-connection", float64(o.PerConnection), 0, float64(max(o.Channels, 1))},
		{"group", float64(o.Group), 0, maxConnections},
		{"events", float64(o.Events), 0, maxEvents},
		{"publishers", float64(o.Publishers), 0, maxPublishers},
		{"window", float64(o.Window), 0, maxEvents},
		{"size", float64(o.Size), markSize, maxSize},
		{"in-flight", float64(o.InFlight), 1, maxConnections},
		{"rate", o.Rate, 0, 1e6},
		{"client-rate", o.ClientRate, 0, 1e6},
		{"churn", o.Churn, 0, 1e6},
		{"pid", float64(o.PID), 0, 1 << 31},
	} {
		if !(c.is >= c.least && c.is <= c.top) { // so that NaN is no value either
			return fmt.Errorf("--%s must be from %.0f to %.0f, not %v", c.flag, c.least, c.top, c.is)
		}
	}
	switch {
	case o.Secret == nil:
		return errors.New("--secret is missing")
	case o.Fill != FillX && o.Fill != FillJSON:
		return fmt.Errorf("--fill must be %s or %s, not %s", FillX, FillJSON, o.Fill)
	case o.Duration < 0 || o.Hold < 0 || o.Patience < 0:
		return errors.New("durations must not be negative")
	case o.Scenario == ClientEvents && o.Group < 2:
		return errors.New("--group must be at least 2: a client event goes to the others")
	}
	return nil
}

// files is how many descriptors a run may have open.
func (o Options) files() int {
	const own = 64 // the program's own, and the loop's
	n := o.Publishers + own
	if o.Scenario != Trigger {
		n += o.Connections + o.SlowReaders
	}
	return n
}
