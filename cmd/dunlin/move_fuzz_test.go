package main

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzMove reads whatever stands in a file as another server's configuration. It
// never panics, and what migrate prints of one without mistakes is read by check.
func FuzzMove(f *testing.F) {
	files, err := filepath.Glob("testdata/move/*.*")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, true)
		f.Add(data, false)
	}
	for _, text := range []string{
		`{"appManager": {"array": {"apps": {}}}}`, `{"appManager.array.apps": "[{\"id\": 1}]", "port": null}`, `{"port": [1], "database": []}`,
		`{"appManager.array.apps": [null, 1, [], {"webhooks": [null, {"filter": [null]}]}]}`, `{"port": 1, "port": 2}`, "SOKETI_PORT", "REVERB_APP_ID='",
		`SOKETI_DB_REDIS_SENTINELS=[{"host": {}}, 1]`, `{"adapter": {"driver": "redis"}, "database.redis": {"sentinels": [[]]}}`, "{}", "[", "&a {a: *a}",
	} {
		f.Add([]byte(text), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, soketi bool) {
		from := fromReverb
		if soketi {
			from = fromSoketi
		}
		files := map[string]string{"theirs": string(data)}
		code, stdout, _ := runCLI(files, nil, "migrate", "--from", from, "--config", "theirs")
		if code != exitOK {
			return
		}
		files["apps.yaml"] = stdout
		if code, _, stderr := runCLI(files, nil, "check", "--config", "apps.yaml"); code != exitOK {
			t.Errorf("check says %s of\n%s", stderr, stdout)
		}
	})
}
