// Command plot makes the pictures of docs/performance.md from what was measured:
//
//	go run ./test/plot -curve FILE -million FILE -out docs/img
//
// with the JSON of test/floor/curve.sh and of make bench-million.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"log"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

func main() {
	log.SetFlags(0)
	curve := flag.String("curve", "", "JSON `FILE` of test/floor/curve.sh")
	million := flag.String("million", "", "JSON `FILE` of make bench-million")
	out := flag.String("out", ".", "`FOLDER` for the pictures")
	flag.Parse()
	if err := run(*curve, *million, *out); err != nil {
		log.Fatal(err)
	}
}

func run(curve, million, out string) error {
	if curve == "" && million == "" {
		return errors.New("plot: nothing to draw: -curve or -million")
	}
	var list []picture
	for _, source := range []struct {
		file string
		read func([]byte) ([]picture, error)
	}{{curve, curvePictures}, {million, millionPictures}} {
		if source.file == "" {
			continue
		}
		text, err := os.ReadFile(source.file)
		if err != nil {
			return err
		}
		pictures, err := source.read(text)
		if err != nil {
			return fmt.Errorf("%s: %w", source.file, err)
		}
		list = append(list, pictures...)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, p := range list {
		if err := p.save(out); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// picture is lines over a logarithmic axis.
type picture struct {
	name, title, x, y string
	log               bool // the upright axis too; else it begins with 0
	lines             []line
}

type line struct {
	label  string
	dashed bool
	points plotter.XYs
}

// add appends a point; there is none where nothing was measured.
func (l *line) add(x int, y float64) {
	if y > 0 {
		l.points = append(l.points, plotter.XY{X: float64(x), Y: y})
	}
}

// colors can be told apart by most people (Okabe and Ito), and printed.
var colors = []color.Color{
	color.RGBA{R: 0, G: 114, B: 178, A: 255}, color.RGBA{R: 213, G: 94, B: 0, A: 255},
	color.RGBA{R: 0, G: 158, B: 115, A: 255}, color.RGBA{R: 204, G: 121, B: 167, A: 255},
}

const (
	width  = 17 * vg.Centimeter
	height = 10 * vg.Centimeter
)

func (p picture) save(dir string) error {
	c := plot.New()
	c.Title.Text, c.X.Label.Text, c.Y.Label.Text = p.title, p.x, p.y
	c.Title.Padding = vg.Points(8)
	for _, style := range []*font.Font{&c.Title.TextStyle.Font, &c.X.Label.TextStyle.Font, &c.Y.Label.TextStyle.Font,
		&c.X.Tick.Label.Font, &c.Y.Tick.Label.Font, &c.Legend.TextStyle.Font} {
		style.Variant = "Sans"
	}
	c.X.Scale, c.X.Tick.Marker = plot.LogScale{}, decades{}
	if p.log {
		c.Y.Scale, c.Y.Tick.Marker = plot.LogScale{}, decades{}
	}
	if !p.log {
		c.Y.Tick.Marker = steps{}
	}
	c.Add(plotter.NewGrid())
	c.Legend.Top, c.Legend.Left, c.Legend.Padding = true, true, vg.Points(2)
	drawn := 0
	for i, l := range p.lines {
		if len(l.points) == 0 {
			continue
		}
		curve, dots, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return err
		}
		curve.Color, curve.Width = colors[i%len(colors)], vg.Points(1.5)
		dots.Color, dots.Radius = curve.Color, vg.Points(2)
		if l.dashed {
			curve.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		}
		c.Add(curve, dots)
		c.Legend.Add(l.label, curve, dots)
		drawn++
	}
	if drawn == 0 {
		return errors.New("there are no points")
	}
	p.frame(c)
	return c.Save(width, height, filepath.Join(dir, p.name+".svg"))
}

// frame leaves room for the legend above the lines, and for the last label.
func (p picture) frame(c *plot.Plot) {
	c.X.Max *= math.Pow(c.X.Max/c.X.Min, 0.04)
	if p.log {
		low, high := math.Floor(math.Log10(c.Y.Min)), math.Ceil(math.Log10(c.Y.Max))
		c.Y.Min, c.Y.Max = math.Pow(10, low), math.Pow(10, high+(high-low)/3)
	} else {
		c.Y.Min, c.Y.Max = 0, 1.5*c.Y.Max
	}
}

// decades labels the powers of ten: 1, 10, 100, 1k …
type decades struct{}

// Ticks implements plot.Ticker.
func (decades) Ticks(least, most float64) (ticks []plot.Tick) {
	for v := math.Pow(10, math.Floor(math.Log10(least))); v <= most*1.001; v *= 10 {
		if v >= least*0.999 {
			ticks = append(ticks, plot.Tick{Value: v, Label: short(v)})
		}
		for i := 2.0; i < 10; i++ {
			if t := i * v; t >= least && t <= most {
				ticks = append(ticks, plot.Tick{Value: t})
			}
		}
	}
	return ticks
}

// steps are about five round numbers from 0.
type steps struct{}

// Ticks implements plot.Ticker.
func (steps) Ticks(_, most float64) (ticks []plot.Tick) {
	step := math.Pow(10, math.Floor(math.Log10(most)))
	for _, part := range []float64{1, 2, 5} {
		if most/(step/part) >= 4 {
			step /= part
			for i := range int(most/step) + 1 {
				ticks = append(ticks, plot.Tick{Value: float64(i) * step, Label: fmt.Sprintf("%.4g", float64(i)*step)})
			}
			return ticks
		}
	}
	return ticks
}

func short(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%gM", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%gk", v/1e3)
	}
	return fmt.Sprintf("%.4g", v)
}

// under says of what the figures are.
func under(title string, m machine) string {
	return fmt.Sprintf("%s\n%s, %d cores, Linux %s, %s", title, m.CPU, m.Cores, m.Kernel, m.Go)
}

type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// decode reads results.
func decode[T any](text []byte) (v T, err error) {
	err = json.Unmarshal(text, &v)
	return v, err
}
