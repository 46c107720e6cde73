package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"dunlin/internal/client"
)

// tailLine is an event as dunlin tail prints it into a pipe.
type tailLine struct {
	Time    time.Time `json:"time"`
	Channel string    `json:"channel,omitempty"`
	Event   string    `json:"event"`
	UserID  string    `json:"user_id,omitempty"`
	Data    any       `json:"data"` // what JSON the event's text is, else the text
}

func newTailLine(e client.Event, at time.Time) tailLine {
	l := tailLine{Time: at.UTC(), Channel: e.Channel, Event: e.Name, UserID: e.UserID, Data: e.Text()}
	if text := []byte(e.Text()); json.Valid(text) {
		l.Data = json.RawMessage(text) // decoding would change large numbers
	}
	return l
}

// Colours of a terminal, by what they show.
const (
	colourTime    = "\x1b[2m"
	colourChannel = "\x1b[36m"
	colourEvent   = "\x1b[1m"
	colourOff     = "\x1b[0m"
)

// forPeople is an event as a line of a terminal.
func forPeople(e client.Event, at time.Time, colours bool) string {
	paint := func(colour, text string) string {
		if !colours || text == "" {
			return text
		}
		return colour + text + colourOff
	}
	var b strings.Builder
	fmt.Fprint(&b, paint(colourTime, at.Format(time.TimeOnly)), "  ", paint(colourChannel, printable(e.Channel)), "  ",
		paint(colourEvent, printable(e.Name)), "  ", printable(e.Text()))
	if e.UserID != "" {
		fmt.Fprint(&b, paint(colourTime, "  from "+printable(e.UserID)))
	}
	return b.String() + "\n"
}
