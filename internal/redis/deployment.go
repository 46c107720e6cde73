package redis

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
)

// Deployment is all that nodes share: one Redis or several, and where in them the
// keys of a channel are.
type Deployment struct {
	Layout
	prefix  string
	clients []*Client
}

// defaultPrefix begins every key unless something else is wanted.
const defaultPrefix = "dunlin"

// clusterSlices suits a cluster: they are spread over its masters.
const clusterSlices = 16

// Connect opens a deployment; it does not connect yet. urls are one URL, see Open,
// or several with white space between: Redis servers that know nothing of each
// other, among which the slices are dealt out in turn. prefix begins every key;
// "": "dunlin". slices is how many parts there are; 0: one for each URL, 16 on a
// Redis Cluster.
//
// All three, and the order of the URLs, are the same on all nodes for ever: what was
// told to one Redis is not looked for in another.
func Connect(urls, prefix string, slices int) (*Deployment, error) {
	d := &Deployment{prefix: cmp.Or(prefix, defaultPrefix)}
	list := strings.Fields(urls)
	for _, one := range list {
		c, err := Open(one)
		if err != nil {
			return nil, errors.Join(err, d.Close())
		}
		d.clients = append(d.clients, c)
	}
	if len(list) == 0 {
		return nil, errors.New("no URL of a Redis was given")
	}
	if slices == 0 {
		if slices = len(list); d.clients[0].Sharded {
			slices *= clusterSlices
		}
	}
	if slices < len(list) {
		return nil, errors.Join(fmt.Errorf("%d slices can not be dealt out to %d Redis servers", slices, len(list)), d.Close())
	}
	var err error
	if d.Layout, err = NewLayout(d.prefix, slices); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

// Client reaches the Redis that has a slice.
func (d *Deployment) Client(slice int) *Client { return d.clients[slice%len(d.clients)] }

// Place is a key of the Redis that has a slice, and what it must hold: which one of
// how many it is, and how many slices there are. So another list of them is noticed,
// and another order. "" on a Redis Cluster, where no script could look at it.
func (d *Deployment) Place(slice int) (key, value string) {
	n := len(d.clients)
	if d.Client(slice).Sharded {
		return "", ""
	}
	return d.prefix + ":place", fmt.Sprintf("Redis %d of %d, %d slices", slice%n+1, n, d.Slices())
}

// Clients lists all of them. Read only.
func (d *Deployment) Clients() []*Client { return d.clients }

// Close closes all connections.
func (d *Deployment) Close() (err error) {
	for _, c := range d.clients {
		err = errors.Join(err, c.Close())
	}
	return err
}
