package main

import (
	"fmt"
	"os"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"dunlin/internal/load"
)

// showProgress returns what shows the progress of a load on a terminal, and what
// takes the bar away again. On anything but a terminal nothing is shown.
func showProgress(to *os.File) (show func(load.Progress), done func()) {
	if !term.IsTerminal(int(to.Fd())) {
		return nil, func() {}
	}
	const whole = 1000
	var bar *progressbar.ProgressBar
	phase := ""
	done = func() {
		if bar != nil {
			_ = bar.Clear() // a terminal that is gone shows nothing anyway
		}
	}
	return func(p load.Progress) {
		if p.Phase != phase {
			done()
			phase = p.Phase
			bar = progressbar.NewOptions(whole, progressbar.OptionSetWriter(to), progressbar.OptionSetWidth(30),
				progressbar.OptionSetElapsedTime(false), progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish())
		}
		bar.Describe(fmt.Sprintf("%s: %s %s, %s/s", p.Phase, load.Count(p.Done), p.What, load.Count(int64(p.Rate))))
		_ = bar.Set(min(int(p.Share*whole), whole-1)) // as above
	}, done
}
