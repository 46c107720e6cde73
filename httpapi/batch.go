package httpapi

import (
	"strconv"

	"dunlin/apps"
	"dunlin/cluster"
)

// postBatch publishes events in order, all or none (PROTOCOL 5c).
func (s *Server) postBatch(c *call) error {
	root, err := object(c.ctx.PostBody())
	if err != nil {
		return err
	}
	items, n, err := batchOf(root, c.app.Limits.EventsPerBatch)
	if err != nil {
		return err
	}
	list := make([]cluster.Publication, 0, n)
	asked := make([]bool, 0, n)
	items.each(func(_ string, item value) bool {
		var p cluster.Publication
		var info bool
		if p, info, err = s.batchEvent(c.app, item); err == nil {
			list, asked = append(list, p), append(asked, info)
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	return s.publishBatch(c, list, asked)
}

// batchOf returns the array of a batch's body and how long it is.
func batchOf(root value, limit int) (items value, n int, err error) {
	root.each(func(key string, item value) bool {
		if key == "batch" {
			items = item
		}
		return true
	})
	switch {
	case items.missing():
		return "", 0, badRequest("Missing required parameter: batch")
	case !items.isArray():
		return "", 0, badRequest("Expected batch parameter to be an array")
	}
	n = items.count()
	if limit > 0 && n > limit {
		return "", 0, badRequest("Batch too large (" + strconv.Itoa(n) + " > " + strconv.Itoa(limit) + ")")
	}
	return items, n, nil
}

// batchEvent judges one event of a batch.
func (s *Server) batchEvent(app *apps.App, item value) (p cluster.Publication, asked bool, err error) {
	if !item.isObject() {
		return p, false, badRequest("Expected batch parameter to be an array of objects")
	}
	var f fields
	f.read(item)
	if f.channel.missing() {
		return p, false, badRequest("Missing required parameter: channel")
	}
	e, err := newEvent(&f, &app.Limits)
	if err != nil {
		return p, false, err
	}
	name, err := eventChannel(f.channel, &app.Limits, true)
	if err != nil {
		return p, false, err
	}
	return s.publication(app, &e, name), e.asked, nil
}

func (s *Server) publishBatch(c *call, list []cluster.Publication, asked []bool) error {
	if len(list) == 0 {
		return answerEmpty(c)
	}
	receipts, err := s.publish(c, list)
	if err != nil {
		return err
	}
	for _, info := range asked {
		if info {
			return answerBatch(c, list, receipts)
		}
	}
	return answerEmpty(c)
}
