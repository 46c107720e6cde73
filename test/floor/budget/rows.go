//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// config is dunlin's: no limits that a load would run into, slow readers stay, any
// free port, and operators may see counters and profiles.
const config = `
server: {port: 0, drain: 0, max_pending_bytes: 64MiB}
ops: {port: 0, admin_token: ` + adminToken + `}
log: {level: info, format: json}
apps:
  - {id: app-id, key: app-key, secret: app-secret, client_events: true, limits: {client_events_per_second: 0, presence_members: 0}}
`

const adminToken = "operator-of-a-bench"

// measured is one server under one load.
type measured struct {
	server string // dunlin, or a floor with its arguments
	load   string // what follows "dunlin bench"
	field  string // of the report's server part
	unit   string
	once   bool // in the first round only: it does not move
}

// residentField is the one field that is not of CPU time.
const residentField = "resident_bytes_per_connection"

// key names a measurement: "limit fanout".
func (m measured) key() string {
	scenario, _, _ := strings.Cut(m.load, " ")
	return m.server + ", " + scenario + m.suffix()
}

// suffix tells two loads of one scenario apart.
func (m measured) suffix() string {
	switch {
	case strings.Contains(m.load, "--publishers 16 --window"):
		return " by 16"
	case strings.Contains(m.load, "--connections 18000"):
		return " 18,000"
	}
	return ""
}

// on is the same load on another server.
func (m measured) on(server string) measured {
	m.server = server
	return m
}

// row is one line of the budget table.
type row struct {
	name   string
	ours   measured
	floor  []part  // whose sum is compared with; none when the budget is absolute
	budget float64 // of the ratio, or of the value itself without a floor
	note   string
}

// part is a measurement that counts so many times.
type part struct {
	times float64
	measured
}

// rows is the budget table.
func (b *bench) rows() []row {
	n := func(count int) int {
		if b.quick {
			return count / 20
		}
		return count
	}
	fanout := measured{"dunlin", fmt.Sprintf("fanout --connections 1000 --window 8 --publishers 1 --events %d", n(500)), "cpu_us_per_delivery", "µs per delivery", false}
	many := measured{"dunlin", fmt.Sprintf("fanout --connections 1000 --publishers 16 --window 16 --events %d", n(2000)), "cpu_us_per_delivery", "µs per delivery", false}
	trigger := measured{"dunlin", fmt.Sprintf("trigger --publishers 16 --events %d --duration 1m", n(100_000)), "cpu_us_per_request", "µs per request", false}
	connect := measured{"dunlin", fmt.Sprintf("connect --connections %d --channels 1000 --hold 500ms", n(5000)), "cpu_us_per_connection", "µs per connection", false}
	held := measured{"dunlin", "connect --connections 18000 --channels 1000 --hold 2s", residentField, "bytes", true}
	talk := measured{"dunlin", fmt.Sprintf("client-events --connections 500 --group 10 --events %d", n(50_000)), "cpu_us_per_delivery", "µs per delivery", false}
	spread := measured{"dunlin", fmt.Sprintf("channels --connections 2000 --channels 500 --publishers 16 --events %d", n(20_000)), "cpu_us_per_event", "µs per event", false}
	limit, bare := part{1, fanout.on("limit")}, part{1, trigger.on("bare")}
	all := []row{
		{"fan-out to 1,000, one publisher", fanout, []part{limit}, 1.15, ""},
		{"fan-out to 1,000, 16 publishers", many, []part{{1, many.on("proto -coalesce")}}, 1.6, ""},
		{"signed POST, 16 connections", trigger, []part{bare}, 1.4, ""},
		{"connect and subscribe, 5,000", connect, []part{{1, connect.on("proto")}}, 1.3, ""},
		{"resident bytes per connection at 18,000", held, nil, 900, ""},
		{"client events, 500 in groups of 10", talk, []part{limit}, 1.3, "floor: limit's delivery"},
		{"2,000 in 500 channels, per event of 4", spread, nil, soketiSpread / 4, "budget: a quarter of Soketi's 276 µs, measured once"},
		{"  the same against its parts", spread, []part{bare, {4, limit.measured}}, soketiParts / 4, "floor: a bare request and 4 of limit's deliveries; budget: a quarter of what Soketi was of these"},
		{"  the same beside limit.c", spread, []part{{1, spread.on("limit")}}, 0, "floor: reads no HTTP, checks nothing"},
	}
	return slices.DeleteFunc(all, func(r row) bool { return !strings.Contains(r.name, b.only) })
}

// What Soketi 1.6.1 took for an event of 4 deliveries, when it was measured: in
// microseconds, and as a ratio to what its parts took on the same machine, a bare
// request of 25.5 and four deliveries of 8.5. The ratio goes with the machine.
const (
	soketiSpread = 276
	soketiParts  = soketiSpread / (25.5 + 4*8.5)
)

// needed lists the measurements that rows are made of, each once, ours beside its
// floor.
func needed(rows []row) (list []measured) {
	add := func(m measured) {
		if !slices.ContainsFunc(list, func(o measured) bool { return o.key() == m.key() }) {
			list = append(list, m)
		}
	}
	for _, r := range rows {
		add(r.ours)
		for _, p := range r.floor {
			add(p.measured)
		}
	}
	return list
}
