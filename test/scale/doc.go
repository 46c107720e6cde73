// Package scale is what several nodes on one Redis are like to an operator: they are
// restarted one after the other while clients are connected and events flow, and one
// is measured beside a node in memory.
//
//	go test -tags redis ./test/scale -v -clients 3000
//	go test -tags redis ./test/scale -run '^$' -bench . -benchtime 1x
package scale
