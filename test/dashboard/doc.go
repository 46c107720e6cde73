// Package dashboard runs the queries of deploy/grafana against a real Prometheus
// that scrapes real nodes. Its test needs prometheus and redis-server, and is a
// lane of its own: go test -tags prometheus ./test/dashboard
package dashboard
