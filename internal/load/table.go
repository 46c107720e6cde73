package load

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Print writes a report for people.
func (rep *Report) Print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%s  %s\n\n", rep.Scenario, rep.Options.URL)
	if rep.Interrupted {
		fmt.Fprint(t, "interrupted: what follows was measured until then\n\n")
	}
	rep.printCounts(t)
	rep.printLatency(t)
	rep.printCost(t)
	for _, e := range rep.Errors {
		fmt.Fprintf(t, "error\t%s × %s\t%s\n", e.Kind, Count(e.Count), e.Text)
	}
	for _, n := range rep.Notes {
		fmt.Fprintf(t, "note\t%s\n", n)
	}
	return t.Flush()
}

func (rep *Report) printCounts(t io.Writer) {
	row := func(what string, rate float64, parts ...string) {
		shown := Count(int64(rate))
		if rate < 10 {
			shown = strconv.FormatFloat(rate, 'f', 1, 64)
		}
		fmt.Fprintf(t, "%s\t%s\t%s/s\n", what, strings.Join(parts, ", "), shown)
	}
	of := func(n int64, what string) string { return Count(n) + " " + what }
	if c := rep.Connections; c != nil {
		row("connections", c.PerSecond, of(int64(c.Ready), "of "+Count(int64(c.Wanted))), of(int64(c.Failed), "failed"),
			of(int64(c.Lost), "lost later"), of(int64(c.Reopened), "reopened"))
	}
	if j := rep.Joins; j != nil {
		row("joins", j.PerSecond, of(j.Succeeded, "of "+Count(j.Sent)))
	}
	if q := rep.Requests; q != nil {
		row("requests", q.PerSecond, of(q.Accepted, "of "+Count(q.Sent)+" accepted"))
	}
	if c := rep.Clients; c != nil {
		row("client events", c.PerSecond, of(c.Sent, "sent"), of(c.Refused, "refused"))
	}
	for _, d := range []struct {
		what string
		*Deliveries
	}{{"deliveries", rep.Deliveries}, {"  of client events", rep.FromClients}, {"  of member_added", rep.Members}} {
		if d.Deliveries != nil {
			parts := []string{of(d.Received, "of "+Count(d.Expected)), of(d.Lost, "lost"), of(d.Repeated, "too many")}
			if d.BytesEach > 0 {
				parts = append(parts, of(int64(d.BytesEach), "bytes each"))
			}
			row(d.what, d.PerSecond, parts...)
		}
	}
}

// timed are the histograms in the order of a run.
var timed = []struct{ what, shown string }{
	{timeConnect, "connect and subscribe"}, {timeJoin, "join"}, {timeMember, "member_added"}, {timeRequest, "request"},
	{timeDelivery, "delivery"}, {timeLast, "to the last subscriber"}, {timeClient, "client event delivery"},
}

func (rep *Report) printLatency(t io.Writer) {
	if len(rep.Latency) == 0 {
		return
	}
	from := "from the send"
	if rep.LatencyFrom == "schedule" {
		from = "from when it was due"
	}
	fmt.Fprintf(t, "\nlatency, ms\tmin\tp50\tp90\tp99\tp99.9\tmax\t%s\n", from)
	for _, l := range timed {
		if p, ok := rep.Latency[l.what]; ok {
			fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", l.shown, p.Min, p.P50, p.P90, p.P99, p.P999, p.Max)
		}
	}
}

func (rep *Report) printCost(t io.Writer) {
	fmt.Fprintln(t)
	for _, p := range rep.Phases {
		fmt.Fprintf(t, "%s\t%.2f s", p.Name, p.Seconds)
		if rep.Server != nil {
			fmt.Fprintf(t, ", server CPU %.2f s", p.Server)
		}
		fmt.Fprintf(t, ", load maker CPU %.2f s\n", p.Maker)
	}
	s := rep.Server
	if s == nil {
		return
	}
	var costs []string
	for _, u := range []struct {
		what string
		us   float64
	}{
		{"connection", s.PerConnection}, {"join", s.PerJoin}, {"request", s.PerRequest}, {"event", s.PerEvent}, {"delivery", s.PerDelivery},
	} {
		if u.us > 0 {
			costs = append(costs, fmt.Sprintf("%.2f µs per %s", u.us, u.what))
		}
	}
	fmt.Fprintf(t, "server CPU\t%s\n", strings.Join(costs, ", "))
	fmt.Fprintf(t, "server memory\t%s KiB before, %s KiB after", Count(s.ResidentBefore>>10), Count(s.ResidentAfter>>10))
	if s.PerConnectionB > 0 {
		fmt.Fprintf(t, ": %s bytes per connection", Count(int64(s.PerConnectionB)))
	}
	fmt.Fprintln(t)
}

// Count writes a number with a comma between thousands.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
