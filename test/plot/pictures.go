package main

// report is what the pictures show of a report of dunlin bench.
type report struct {
	Deliveries struct {
		PerSecond float64 `json:"per_second"`
		Lost      int64   `json:"lost"`
	} `json:"deliveries"`
	Latency struct {
		Last struct {
			P50 float64 `json:"p50"`
			P99 float64 `json:"p99"`
		} `json:"last_delivery"`
	} `json:"latency_ms"`
	Server struct {
		Delivery float64 `json:"cpu_us_per_delivery"`
	} `json:"server"`
}

// curvePictures are throughput and latency against subscribers.
func curvePictures(text []byte) ([]picture, error) {
	results, err := decode[struct {
		Machine machine
		Points  []struct {
			Subscribers int
			Most        report
			One         report `json:"one_publisher"`
			Paced       report
		}
	}](text)
	if err != nil {
		return nil, err
	}
	const x = "subscribers of one channel"
	throughput := picture{name: "throughput", title: under("Deliveries a second, server on one core", results.Machine), x: x, y: "deliveries a second", log: true,
		lines: []line{{label: "16 publishers: events of a turn leave together"}, {label: "one event at a time"}}}
	cost := picture{name: "cost", title: under("Server CPU per delivery", results.Machine), x: x, y: "µs", log: true,
		lines: []line{{label: "16 publishers: events of a turn leave together"}, {label: "one event at a time"}}}
	latency := picture{name: "latency", title: under("From the publish to the last subscriber, evenly spaced", results.Machine), x: x, y: "ms", log: true,
		lines: []line{{label: "p50"}, {label: "p99", dashed: true}}}
	for _, p := range results.Points {
		for i, r := range []report{p.Most, p.One} {
			throughput.lines[i].add(p.Subscribers, r.Deliveries.PerSecond)
			cost.lines[i].add(p.Subscribers, r.Server.Delivery)
		}
		latency.lines[0].add(p.Subscribers, p.Paced.Latency.Last.P50)
		latency.lines[1].add(p.Subscribers, p.Paced.Latency.Last.P99)
	}
	return []picture{throughput, cost, latency}, nil
}

type spread struct{ P50, P99, Max float64 }

// millionPictures are what connections cost, by how many there are.
func millionPictures(text []byte) ([]picture, error) {
	results, err := decode[struct {
		Machine machine
		Sizes   []struct {
			Connections int
			Own         bool    `json:"channel_each"`
			Heap        float64 `json:"heap_bytes"`
			Resident    float64 `json:"resident_bytes"`
			Delivery    float64 `json:"delivery_cpu_us"`
			Cold        float64 `json:"cold_cpu_us"`
			Quiet       struct{ Turns spread }
			Collecting  struct{ Turns spread }
		}
	}](text)
	if err != nil {
		return nil, err
	}
	const x = "connections, idle but for the thousand that are published to"
	memory := picture{name: "million-memory", title: under("Memory of a connection and its subscription", results.Machine), x: x, y: "bytes",
		lines: []line{{label: "resident, a thousand share a channel"}, {label: "resident, a channel each"},
			{label: "reachable, a thousand share a channel", dashed: true}, {label: "reachable, a channel each", dashed: true}}}
	cost := picture{name: "million-delivery", title: under("CPU per delivery without the kernel's part", results.Machine), x: x, y: "µs",
		lines: []line{{label: "always the same thousand of n, n/1000 channels"}, {label: "the same, n channels", dashed: true},
			{label: "all channels in turn: nothing is in the CPU's caches"}}}
	turns := picture{name: "million-turns", title: under("Turns of a loop that serves events to a thousand", results.Machine), x: x, y: "µs", log: true,
		lines: []line{{label: "p50"}, {label: "p99", dashed: true}, {label: "p50 while the collector runs"}, {label: "p99 while the collector runs", dashed: true}}}
	for _, s := range results.Sizes {
		shape := 0
		if s.Own {
			shape = 1
		}
		memory.lines[shape].add(s.Connections, s.Resident)
		memory.lines[2+shape].add(s.Connections, s.Heap)
		cost.lines[shape].add(s.Connections, s.Delivery)
		cost.lines[2].add(s.Connections, s.Cold)
		if !s.Own {
			for i, v := range []float64{s.Quiet.Turns.P50, s.Quiet.Turns.P99, s.Collecting.Turns.P50, s.Collecting.Turns.P99} {
				turns.lines[i].add(s.Connections, v)
			}
		}
	}
	return []picture{memory, cost, turns}, nil
}
