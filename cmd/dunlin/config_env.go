package main

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// envConfig names the configuration file.
const envConfig = "DUNLIN_CONFIG"

// environment is what surrounds the process, as far as a configuration can refer
// to it.
type environment struct {
	vars     map[string]string
	readFile func(name string) ([]byte, error)
}

// newEnvironment takes variables in the form of os.Environ.
func newEnvironment(environ []string) *environment {
	e := &environment{vars: make(map[string]string, len(environ)), readFile: readFile}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			e.vars[name] = value
		}
	}
	return e
}

// maxFile bounds what is read: a configuration can name any file.
const maxFile = 16 << 20

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s: larger than 16MiB", name)
	}
	return data, err
}

// readings is what was read of files, and whether that went well.
type readings struct {
	names []string
	sum   [sha256.Size]byte
}

// recorder notes what is read.
type recorder struct {
	names []string
	sum   hash.Hash
}

// recorded is the same, with a recorder of the files that are read.
func (src sources) recorded() (sources, *recorder) {
	e := src.env
	r := &recorder{sum: sha256.New()}
	read := func(name string) ([]byte, error) {
		data, err := e.readFile(name)
		r.names = append(r.names, name)
		fmt.Fprintf(r.sum, "%q %v %d\n%s", name, err, len(data), data)
		return data, err
	}
	src.env = &environment{vars: e.vars, readFile: read}
	return src, r
}

func (r *recorder) readings() readings { return readings{r.names, [sha256.Size]byte(r.sum.Sum(nil))} }

// lookup returns a setting's variable. An empty one counts as not set, which is
// how compose files leave a variable out. So does what Kubernetes sets.
func (e *environment) lookup(name string) (string, bool) {
	text := e.vars[name]
	return text, text != "" && !kubernetes(name, text)
}

var (
	kubernetesURL  = regexp.MustCompile(`\A(tcp|udp|sctp)://`)
	kubernetesName = regexp.MustCompile(`_SERVICE_HOST\z|_SERVICE_PORT(_|\z)|_PORT_[0-9]+_(TCP|UDP|SCTP)`)
)

// kubernetes reports whether a variable is one of those that Kubernetes sets for a
// service named dunlin: DUNLIN_SERVICE_HOST, DUNLIN_PORT=tcp://10.0.0.1:6001.
func kubernetes(name, value string) bool {
	return kubernetesName.MatchString(name) || strings.HasSuffix(name, "_PORT") && kubernetesURL.MatchString(value)
}

// strangers warns of variables that look like settings and are none.
func (e *environment) strangers() (warnings []string) {
	known := append(append([]string{envConfig}, serverTable.variables()...), appTable.variables()...)
	for name, value := range e.vars {
		if !strings.HasPrefix(name, "DUNLIN_") || slices.Contains(known, name) || kubernetes(name, value) {
			continue
		}
		warning := name + ": no such setting"
		if n := nearest(name, known); n != "" {
			warning += "; did you mean " + n + "?"
		}
		warnings = append(warnings, warning)
	}
	slices.Sort(warnings)
	return warnings
}

func (t *table[T]) variables() (names []string) {
	for i := range t.list {
		names = append(names, t.list[i].env...)
	}
	return names
}

// setNames lists the variables of a table that are set.
func setNames[T any](t *table[T], e *environment) (names []string) {
	for _, name := range t.variables() {
		if _, ok := e.lookup(name); ok {
			names = append(names, name)
		}
	}
	return names
}

// layer is settings from one place: path → value.
type layer map[string]any

// envLayer reads the environment's settings. Of two variables for one setting the
// longer name counts.
func envLayer[T any](t *table[T], e *environment, bad *mistakes) layer {
	out := layer{}
	for i := range t.list {
		s := &t.list[i]
		for _, name := range slices.Backward(s.env) {
			if text, ok := e.lookup(name); ok {
				typedSetting(s, name, text, e, bad, out)
			}
		}
	}
	return out
}

// flagLayer reads the flags that were given.
func flagLayer[T any](t *table[T], src sources, bad *mistakes) layer {
	out := layer{}
	for i := range t.list {
		s := &t.list[i]
		if text, ok := src.flags[s.path]; ok {
			typedSetting(s, "--"+s.flag, text, src.env, bad, out)
		}
	}
	return out
}

func typedSetting[T any](s *setting[T], source, text string, e *environment, bad *mistakes, out layer) {
	v, err := s.read(typed(text, e.secretsFrom("")))
	if err != nil {
		bad.add(Spot{Source: source}, err.Error())
		return
	}
	out[s.path] = v
}

// overlay lays the server's settings over each other: flag, environment, file,
// default. Values went through their settings' checks before.
func overlay(cfg *Config, file, env, flags layer) {
	v := viper.New()
	for i := range serverTable.list {
		v.SetDefault(serverTable.list[i].path, serverTable.list[i].start)
	}
	// viper fails here only on names that nest into each other, which paths of one
	// table do not.
	_ = v.MergeConfigMap(file)
	_ = v.MergeConfigMap(env)
	for path, value := range flags {
		v.Set(path, value)
	}
	cfg.settings = layer{}
	serverTable.apply(cfg, func(path string) (any, bool) {
		cfg.settings[path] = v.Get(path)
		return cfg.settings[path], true
	})
}
