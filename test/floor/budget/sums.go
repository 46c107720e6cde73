//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
)

// Sum is a row of the table over all rounds.
type Sum struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Ours   float64   `json:"ours"`            // median
	Floor  float64   `json:"floor,omitempty"` // median
	Ratios []float64 `json:"ratios,omitempty"`
	Value  float64   `json:"value"`            // what the budget bounds: the median ratio, or Ours
	Budget float64   `json:"budget,omitempty"` // 0: none
	Note   string    `json:"note,omitempty"`
}

// sums makes the table. A ratio is of one round; a round in which a measurement
// failed has none.
func sums(rows []row, measured []Measurement) (all []Sum) {
	for _, r := range rows {
		s := Sum{Name: r.name, Unit: r.ours.unit, Budget: r.budget, Note: r.note}
		var ours, floors []float64
		for round := range byRound(measured) {
			values := byRound(measured)[round]
			own, ok := values[r.ours.key()]
			if !ok {
				continue
			}
			ours = append(ours, own)
			if floor, ok := floorOf(r.floor, values); ok {
				floors = append(floors, floor)
				s.Ratios = append(s.Ratios, own/floor)
			}
		}
		if s.Ours, s.Floor = median(ours), median(floors); len(r.floor) > 0 {
			s.Value = median(s.Ratios)
		} else {
			s.Value = s.Ours
		}
		all = append(all, s)
	}
	return all
}

// byRound are the values of each round by their key.
func byRound(measured []Measurement) (rounds []map[string]float64) {
	for _, m := range measured {
		for len(rounds) < m.Round {
			rounds = append(rounds, map[string]float64{})
		}
		rounds[m.Round-1][m.Key] = m.Value
	}
	return rounds
}

// floorOf adds the parts of a floor up; ok is false when one is missing.
func floorOf(parts []part, values map[string]float64) (sum float64, ok bool) {
	for _, p := range parts {
		v, ok := values[p.key()]
		if !ok || v == 0 {
			return 0, false
		}
		sum += p.times * v
	}
	return sum, len(parts) > 0
}

// median returns 0 of nothing.
func median(list []float64) float64 {
	n := len(list)
	if n == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(list))
	return (s[(n-1)/2] + s[n/2]) / 2
}

// verdict says how a value stands to its budget.
func (s Sum) verdict() string {
	switch {
	case s.Value == 0:
		return "not measured"
	case s.Budget == 0:
		return ""
	case s.Value <= s.Budget:
		return "within"
	}
	return "over"
}

// printSums prints the table and how noisy the machine was.
func printSums(w io.Writer, all []Sum, measured []Measurement) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "medians\tdunlin\tfloor\tratio\tbudget\t\tratios of the rounds")
	for _, s := range all {
		ratio, floor, budget := "", "", fmt.Sprintf("%.3g", s.Budget)
		if len(s.Ratios) > 0 {
			ratio, floor = fmt.Sprintf("%.2f", s.Value), fmt.Sprintf("%.2f", s.Floor)
		}
		if s.Budget == 0 {
			budget = ""
		}
		fmt.Fprintf(t, "%s\t%.2f\t%s\t%s\t%s\t%s\t%.2f\t%s\n", s.Name, s.Ours, floor, ratio, budget, s.verdict(), s.Ratios, s.Note)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return printNoise(w, measured)
}

func printNoise(w io.Writer, measured []Measurement) error {
	quiet, loud := noise(measured)
	_, err := fmt.Fprintf(w, "\nOther programs used %.0f to %.0f %% of the cores meanwhile.\n", 100*quiet, 100*loud)
	return err
}

// noise is the least and the most that others used during a measurement.
func noise(measured []Measurement) (least, most float64) {
	if len(measured) == 0 {
		return 0, 0
	}
	least = math.Inf(1)
	for _, m := range measured {
		least, most = min(least, m.Others), max(most, m.Others)
	}
	return least, most
}
