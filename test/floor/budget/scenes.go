//go:build linux

package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// medianOf is the median over the rounds of a figure of one scene.
func medianOf(all []Scene, server, pace, disturbance string, figure func(Scene) float64) float64 {
	var list []float64
	for _, s := range all {
		if s.Server == server && s.Pace == pace && s.Disturbance == disturbance {
			list = append(list, figure(s))
		}
	}
	return median(list)
}

func p50(s Scene) float64  { return s.P50 }
func p99(s Scene) float64  { return s.P99 }
func turn(s Scene) float64 { return s.Turn }
func rate(s Scene) float64 { return s.Rate }

// printScenes prints medians over the rounds, and how noisy the machine was.
func printScenes(w io.Writer, all []Scene) error {
	if err := printSingle(w, all); err != nil {
		return err
	}
	if err := printCoalesced(w, all); err != nil {
		return err
	}
	var list []Measurement
	for _, s := range all {
		list = append(list, Measurement{Others: s.Others})
	}
	return printNoise(w, list)
}

// printSingle compares with the idle server, and with the floor.
func printSingle(w io.Writer, all []Scene) error {
	calm := disturbances[0].name
	yards := [2]float64{medianOf(all, "dunlin", idle, calm, p50), medianOf(all, "limit", idle, calm, p50)}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "ms to the last of %d\tdunlin p50\tp99\tof idle p50\t\tlimit.c p50\tp99\tof idle p50\tp99, dunlin of limit.c\n", audience)
	fmt.Fprintf(t, "%s, %d events a second\t%.2f\t%.2f\t\t\t%.2f\t%.2f\n", idle, idleRate,
		yards[0], medianOf(all, "dunlin", idle, calm, p99), yards[1], medianOf(all, "limit", idle, calm, p99))
	fmt.Fprintf(t, "%s, %.0f a second\n", single, medianOf(all, "dunlin", single, calm, rate))
	for _, d := range disturbances {
		own, floor := medianOf(all, "dunlin", single, d.name, p99), medianOf(all, "limit", single, d.name, p99)
		verdict := Sum{Value: own / max(yards[0], 1e-9), Budget: bounded}.verdict()
		fmt.Fprintf(t, "  %s\t%.2f\t%.2f\t%s\t%s\t%.2f\t%.2f\t%s\t%s\n", d.name,
			medianOf(all, "dunlin", single, d.name, p50), own, times(own, yards[0]), verdict,
			medianOf(all, "limit", single, d.name, p50), floor, times(floor, yards[1]), times(own, floor))
	}
	return t.Flush()
}

// printCoalesced compares with turns of the loop.
func printCoalesced(w io.Writer, all []Scene) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "\n%s, %.0f a second\tdunlin p50\tp99\tCPU of a turn\tp99 in turns\n",
		coalesced, medianOf(all, "dunlin", coalesced, disturbances[0].name, rate))
	for _, d := range disturbances {
		own, took := medianOf(all, "dunlin", coalesced, d.name, p99), medianOf(all, "dunlin", coalesced, d.name, turn)
		fmt.Fprintf(t, "  %s\t%.2f\t%.2f\t%.2f\t%s\n", d.name, medianOf(all, "dunlin", coalesced, d.name, p50), own, took, times(own, took))
	}
	return t.Flush()
}

// times is a ratio, "" when there is none.
func times(a, b float64) string {
	if a == 0 || b == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f", a/b)
}
