package ops

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
)

// LogLevel is the body of PUT /admin/log, and the answer to it and to GET: "debug",
// "info", "warn" or "error".
type LogLevel struct {
	Level string `json:"level"`
}

// logAdmin changes what the server logs while it runs.
type logAdmin struct {
	level *slog.LevelVar
	log   *slog.Logger
}

func (a *logAdmin) get(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, http.StatusOK, LogLevel{strings.ToLower(a.level.Level().String())})
}

func (a *logAdmin) put(w http.ResponseWriter, r *http.Request) {
	var wanted LogLevel
	var level slog.Level
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxAdminBytes))
	d.DisallowUnknownFields()
	if d.Decode(&wanted) != nil || level.UnmarshalText([]byte(wanted.Level)) != nil {
		answer(w, http.StatusBadRequest, `the body must be {"level":"debug"}, or info, warn, error`)
		return
	}
	a.level.Set(level)
	a.log.Warn("the log's level was changed", "to", level.String())
	a.get(w, r)
}
