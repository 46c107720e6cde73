package httpapi

import (
	"slices"
	"strings"
	"testing"

	"dunlin/cluster"
)

// TestBatch: events in array order, published by one call.
//
// PROTOCOL 4.15, 5.30, 5.32, 5.33.
func TestBatch(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.expect(f.post("batch_events", `{"batch":[
		{"name":"e1","channel":"a","data":"1"},
		{"name":"e2","channel":"b","data":"2","socket_id":"1.2"},
		{"name":"e3","channel":"a","data":"3"},
		{"name":"e3","channel":"#server-to-user-1","data":"4"}]}`), 200, "{}")
	want := []string{
		`{"event":"e1","data":"1","channel":"a"}`, `{"event":"e2","data":"2","channel":"b"}`,
		`{"event":"e3","data":"3","channel":"a"}`, `{"event":"e3","data":"4","channel":"#server-to-user-1"}`,
	}
	if got := f.engine.events(); !slices.Equal(got, want) || len(f.engine.published) != 1 {
		t.Errorf("published %q in %d calls", got, len(f.engine.published))
	}
	f.expect(f.post("batch_events", `{"batch":[]}`), 200, "{}")
}

// TestBatchInfo: aligned by index, {} for events without info.
//
// PROTOCOL 5.24, 5.33.
func TestBatchInfo(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.engine.counts["3/a"] = cluster.ChannelInfo{Subscriptions: 1}
	f.expect(f.post("batch_events", `{"batch":[
		{"name":"e","channel":"a","data":"1","info":"subscription_count"},
		{"name":"e","channel":"a","data":"2"},
		{"name":"e","channel":"presence-b","data":"3","info":"user_count,subscription_count"},
		{"name":"e","channel":"a","data":"4","info":"user_count"}]}`), 200,
		`{"batch":[{"subscription_count":1},{},{"user_count":0,"subscription_count":0},{}]}`)
}

// TestBatchRejections: one bad event fails the whole batch.
//
// PROTOCOL 2.1, 2.28, 5.28, 5.30, 5.31, 5.34, 5.37; PITFALLS 1.
func TestBatchRejections(t *testing.T) {
	t.Parallel()
	f := start(t)
	const good = `{"name":"e","channel":"a","data":"d"}`
	batch := func(n int) string { return `{"batch":[` + strings.Repeat(good+",", n-1) + good + `]}` }
	for _, v := range []struct {
		name, body string
		status     int
		text       string
	}{
		{"PITFALLS 1 null", `null`, 400, "Invalid request body: expected a JSON object"},
		{"PITFALLS 1 {}", `{}`, 400, "Missing required parameter: batch"},
		{"PITFALLS 1 [null]", `{"batch":[null]}`, 400, "Expected batch parameter to be an array of objects"},
		{"[5]", `{"batch":[5]}`, 400, "Expected batch parameter to be an array of objects"},
		{"[[]]", `{"batch":[[]]}`, 400, "Expected batch parameter to be an array of objects"},
		{"no array", `{"batch":{}}`, 400, "Expected batch parameter to be an array"},
		{"null batch", `{"batch":null}`, 400, "Missing required parameter: batch"},
		{"no body", ``, 400, "Invalid request body: not valid JSON"},
		{"nesting bomb", `{"batch":` + strings.Repeat("[", 500_000), 400, "Invalid request body: not valid JSON"},
		{"5.30 11 events", batch(11), 400, "Batch too large (11 > 10)"},
		{"5.30 250 events", batch(250), 400, "Batch too large (250 > 10)"},
		{"5.28 no channel", `{"batch":[` + good + `,{"name":"e","data":"d"}]}`, 400, "Missing required parameter: channel"},
		{"5.28 channels", `{"batch":[{"name":"e","data":"d","channels":["a"]}]}`, 400, "Missing required parameter: channel"},
		{"5.28 no name", `{"batch":[` + good + `,{"channel":"a","data":"d"}]}`, 400, "Expected name parameter to be a string"},
		{"channel number", `{"batch":[{"name":"e","channel":5,"data":"d"}]}`, 400, "Expected channel parameter to be a string"},
		{"2.28 reserved", `{"batch":[` + good + `,{"name":"pusher:e","channel":"a","data":"d"}]}`, 400,
			"The 'pusher' namespace is reserved for internal usage"},
		{"2.1 channel name", `{"batch":[` + good + `,{"name":"e","channel":"a b","data":"d"}]}`, 400, "Invalid channel name: a b"},
		{"5.31 data", `{"batch":[` + good + `,{"name":"e","channel":"a","data":"` + strings.Repeat("x", 10241) + `"}]}`, 413, dataTooLarge},
		{"5.37 info", `{"batch":[` + good + `,{"name":"e","channel":"a","data":"d","info":"x"}]}`, 400,
			"info should be a comma separated list of attributes; not available here: x"},
	} {
		t.Run(v.name, func(t *testing.T) { f.refused(f.post("batch_events", v.body), v.status, v.text) })
	}
	f.expect(f.post("batch_events", batch(10)), 200, "{}")
	if n := len(f.engine.events()); n != 10 {
		t.Errorf("%d events", n)
	}
}
