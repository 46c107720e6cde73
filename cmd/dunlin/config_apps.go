package main

import (
	"fmt"

	"dunlin/apps"
	"dunlin/protocol"
)

// rawApp is an app as it was given, without defaults.
type rawApp struct {
	values layer                     // settings that were given and are right
	spots  map[string]Spot           // settings that were given, right or wrong
	absent func(path string) Mistake // of a setting that must be given and was not
}

// collectApps makes the apps of the file and the one of the environment.
func collectApps(file *contents, env *environment, bad *mistakes) (list []*apps.App) {
	raws := file.apps
	if names := setNames(appTable, env); len(names) > 0 {
		raws = append(raws, envApp(env, names[0], bad))
	}
	ids, keys := map[any]Spot{}, map[any]Spot{}
	for _, raw := range raws {
		raw.unique("id", ids, bad)
		raw.unique("key", keys, bad)
		raw.complete(bad)
		list = append(list, raw.app())
	}
	return list
}

// envApp reads the app that the DUNLIN_APP_ variables give; set is one of them.
func envApp(env *environment, set string, bad *mistakes) rawApp {
	raw := rawApp{values: envLayer(appTable, env, bad), spots: map[string]Spot{}}
	for _, s := range appTable.list {
		if _, ok := env.lookup(s.env[0]); ok {
			raw.spots[s.path] = Spot{Source: s.env[0]}
		}
	}
	raw.absent = func(path string) Mistake {
		return Mistake{Spot{Source: appTable.byPath[path].env[0]}, "is not set, but " + set + " is"}
	}
	return raw
}

// unique checks that no app before has the same value.
func (raw rawApp) unique(path string, seen map[any]Spot, bad *mistakes) {
	value, ok := raw.values[path]
	if !ok {
		return
	}
	here := raw.spots[path]
	if first, taken := seen[value]; taken {
		bad.add(here, fmt.Sprintf("%q is taken; first by %s", value, first))
		return
	}
	seen[value] = here
}

// complete checks that what an app must have was given. A list of secrets stands
// for the secret.
func (raw rawApp) complete(bad *mistakes) {
	several, both := raw.spots["secrets"]
	for _, s := range appTable.list {
		_, ok := raw.spots[s.path]
		switch {
		case s.needed && !ok && !(s.path == "secret" && both):
			bad.list = append(bad.list, raw.absent(s.path))
		case s.path == "secret" && ok && both:
			bad.add(several, "give either secret or secrets, not both")
		}
	}
}

// app lays what was given over the defaults.
func (raw rawApp) app() *apps.App {
	var d appDraft
	appTable.apply(&d, func(path string) (any, bool) {
		v, ok := raw.values[path]
		return v, ok
	})
	if d.Secrets = d.secrets; len(d.Secrets) == 0 {
		d.Secrets = []*protocol.Secret{d.secret}
	}
	for i := range d.webhooks {
		d.Webhooks = append(d.Webhooks, d.webhooks[i].webhook(&d))
	}
	return &d.App
}
