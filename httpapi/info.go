package httpapi

import (
	"strconv"
	"strings"

	"dunlin/cluster"
	"dunlin/protocol"
)

// attributes are what "info" may ask for, in the order of answers.
var attributes = [...]struct {
	name string
	want cluster.Info
}{
	{"user_count", cluster.WantUsers},
	{"subscription_count", cluster.WantSubscriptions},
	{"cache", cluster.WantCache},
}

// parseInfo reads a comma-separated list of attributes, of which only some are
// allowed (PROTOCOL 5.16, 5.37).
func parseInfo(list string, allowed cluster.Info) (want cluster.Info, err error) {
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		bit := attribute(item) & allowed
		if bit == 0 && item != "" {
			return 0, unknownInfo(item)
		}
		want |= bit
	}
	return want, nil
}

func attribute(name string) cluster.Info {
	for _, a := range attributes {
		if a.name == name {
			return a.want
		}
	}
	return 0
}

func unknownInfo(item string) error {
	return badRequest("info should be a comma separated list of attributes; not available here: " + cut(item))
}

// appendCounts appends "name":count members, separated from what precedes.
func appendCounts(b []byte, want cluster.Info, users, subscriptions int) []byte {
	if want&cluster.WantUsers != 0 {
		b = appendCount(b, "user_count", users)
	}
	if want&cluster.WantSubscriptions != 0 {
		b = appendCount(b, "subscription_count", subscriptions)
	}
	return b
}

func appendCount(b []byte, name string, n int) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(b, '"')
	b = append(b, name...)
	b = append(b, '"', ':')
	return strconv.AppendInt(b, int64(n), 10)
}

// appendReceipt appends what a publication answers, as an object. Engines give no
// receipts when nothing was wanted of any.
func appendReceipt(b []byte, list []cluster.Publication, receipts []cluster.Receipt, i int) []byte {
	b = append(b, '{')
	if i < len(receipts) {
		b = appendCounts(b, list[i].Want, receipts[i].Users, receipts[i].Subscriptions)
	}
	return append(b, '}')
}

// answerChannels answers a trigger that asked for info (PROTOCOL 5.23).
func answerChannels(c *call, list []cluster.Publication, receipts []cluster.Receipt) error {
	b := append(c.scratch[:0], `{"channels":{`...)
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(protocol.AppendString(b, list[i].Channel.Name), ':')
		b = appendReceipt(b, list, receipts, i)
	}
	c.scratch = append(b, "}}"...)
	return answer(c, c.scratch)
}

// answerBatch answers a batch of which some event asked for info (PROTOCOL 5.33).
func answerBatch(c *call, list []cluster.Publication, receipts []cluster.Receipt) error {
	b := append(c.scratch[:0], `{"batch":[`...)
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendReceipt(b, list, receipts, i)
	}
	c.scratch = append(b, "]}"...)
	return answer(c, c.scratch)
}
