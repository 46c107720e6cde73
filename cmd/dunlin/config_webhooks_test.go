package main

import (
	"strings"
	"testing"
	"time"

	"dunlin/apps"
	"dunlin/protocol"
)

// hooks loads an app with these webhooks.
func hooks(t *testing.T, list string) []apps.Webhook {
	t.Helper()
	return mustLoad(t, "apps: [{id: a, key: k, secret: s, webhooks: "+list+"}]\n", nil).Apps[0].Webhooks
}

func TestEndpointDefaults(t *testing.T) {
	t.Parallel()
	w := hooks(t, "[{url: 'https://user:pw@example.com/hook?token=x'}]")[0]
	if w.URL != "https://user:pw@example.com/hook?token=x" || w.Shown != "https://example.com/hook" || len(w.ID) != 8 ||
		w.Types != protocol.AllHooks || w.Batch != apps.DefaultBatch() || w.Flights != 1 || w.Prefix+w.Suffix != "" || len(w.Headers) != 0 {
		t.Errorf("got %+v", w)
	}
	for _, none := range []string{"[]", "null", ""} {
		if got := hooks(t, none); len(got) != 0 {
			t.Errorf("%s: %v", none, got)
		}
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	list := mustLoad(t, `
apps:
  - id: a
    key: k
    secret: s
    webhooks:
      - url: env:HOOK
        event_types: [channel_occupied, client_event]
        headers: {X-Token: env:TOKEN, X-Number: 7}
        filter: {channel_name_starts_with: presence-, channel_name_ends_with: -x}
        batching: {window: 1s, max_events: 7}
        concurrency: 3
      - {url: http://127.0.0.1/a, batching: {enabled: false}}
      - {url: http://127.0.0.1/a, event_types: all}
`, nil, "HOOK=https://example.com/?secret", "TOKEN=hush").Apps[0].Webhooks
	w := list[0]
	if w.URL != "https://example.com/?secret" || w.Types != protocol.HookOccupied|protocol.HookClientEvent || w.Prefix != "presence-" ||
		w.Suffix != "-x" || w.Batch != (apps.Batch{Events: 7, Window: time.Second}) || w.Flights != 3 {
		t.Errorf("got %+v", w)
	}
	if h := w.Headers; len(h) != 2 || h[0].Name != "X-Token" || h[0].Value.Reveal() != "hush" || h[1].Value.Reveal() != "7" {
		t.Errorf("headers %v", h)
	}
	if list[1].Batch.Events != 1 || list[2].Batch.Events != 50 || list[2].ID != list[1].ID+"-2" || list[1].ID == w.ID {
		t.Errorf("got %+v", list[1:])
	}
}

// An app says how its events are batched, and an endpoint what is different for it.
func TestBatchingOfTheApp(t *testing.T) {
	t.Parallel()
	second := time.Second
	for _, c := range []struct {
		app, endpoint string
		want          apps.Batch
	}{
		{"{}", "{}", apps.DefaultBatch()},
		{"{window: 1s, max_events: 9}", "{}", apps.Batch{Events: 9, Window: second}},
		{"{window: 1s, max_events: 9}", "{max_events: 3}", apps.Batch{Events: 3, Window: second}},
		{"{window: 1s, max_events: 9}", "{enabled: false}", apps.Batch{Events: 1}},
		{"{enabled: false}", "{}", apps.Batch{Events: 1}},
		{"{enabled: false, window: 1s}", "{enabled: true}", apps.Batch{Events: 50, Window: second}},
		{"{enabled: false}", "{enabled: true, window: 0s, max_events: 200}", apps.Batch{Events: 200}},
	} {
		text := "apps: [{id: a, key: k, secret: s, webhook_batching: " + c.app + ", webhooks: [{url: http://127.0.0.1/, batching: " + c.endpoint + "}]}]\n"
		if got := mustLoad(t, text, nil).Apps[0].Webhooks[0].Batch; got != c.want {
			t.Errorf("%s, %s: %+v", c.app, c.endpoint, got)
		}
	}
}

// One variable has the whole list, in JSON as Soketi's users have it, or in YAML.
func TestEndpointsFromTheEnvironment(t *testing.T) {
	t.Parallel()
	one := []string{"DUNLIN_APP_ID=a", "DUNLIN_APP_KEY=k", "DUNLIN_APP_SECRET=s"}
	for _, text := range []string{
		`[{"url": "http://127.0.0.1/h", "event_types": ["cache_miss"], "headers": {"X-A": "1"}, "filter": {"channel_name_starts_with": "a"}}]`,
		"[{url: http://127.0.0.1/h, event_types: [cache_miss], headers: {X-A: env:ONE}, filter: {channel_name_starts_with: a}}]",
	} {
		cfg, err := loadConfig(sources{env: surroundings(nil, append(one, "ONE=1", "DUNLIN_APP_WEBHOOKS="+text)...)})
		if err != nil {
			t.Fatal(err)
		}
		w := cfg.Apps[0].Webhooks[0]
		if w.Types != protocol.HookCacheMiss || w.Prefix != "a" || w.Headers[0].Value.Reveal() != "1" {
			t.Errorf("%s: %+v", text, w)
		}
	}
	for text, want := range map[string]string{
		`[{"url": "no"}, {}]`: "DUNLIN_APP_WEBHOOKS: [0].url: must be an http or https URL without a fragment, such as https://example.com/webhooks; [1]: url is missing",
		"{":                   "DUNLIN_APP_WEBHOOKS: must be a list of endpoints, in JSON or YAML",
		"http://127.0.0.1/":   `DUNLIN_APP_WEBHOOKS: must be a list of endpoints, not "http://127.0.0.1/"`,
	} {
		_, err := loadConfig(sources{env: surroundings(nil, append(one, "DUNLIN_APP_WEBHOOKS="+text)...)})
		if err == nil || strings.TrimSpace(err.Error()) != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
