package channels

import (
	"sync"

	"dunlin/cluster"
)

// usage is what an app uses. It outlives changes of the app.
type usage struct {
	app string // its id

	mu sync.Mutex
	// Guarded by mu
	connections int  // on this node
	elsewhere   int  // on others, as the engine last said
	shared      bool // the engine is told of connections: the app limits them, or did
}

// enter counts a connection, unless those on all nodes are as many as limit allows
// already; 0: no limit.
func (u *usage) enter(engine cluster.Engine, limit int) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if limit > 0 && u.connections+u.elsewhere >= limit {
		return false
	}
	u.connections++
	u.shared = u.shared || limit > 0
	u.tell(engine)
	return true
}

// exit counts a connection less.
func (u *usage) exit(engine cluster.Engine) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.connections--
	u.tell(engine)
}

// tell is called with mu held, so that what is told last is what is true.
func (u *usage) tell(engine cluster.Engine) {
	if u.shared {
		engine.Connections(u.app, u.connections)
	}
}

// usages finds the usage of an app by its id. Apps are few: none is forgotten.
type usages struct{ byApp sync.Map }

func (u *usages) of(app string) *usage {
	if v, ok := u.byApp.Load(app); ok {
		return v.(*usage)
	}
	v, _ := u.byApp.LoadOrStore(app, &usage{app: app})
	return v.(*usage)
}

// Connections is how many an app has on this node.
func (h *Hub) Connections(app string) int {
	u := h.usage.of(app)
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.connections
}

// Begin has the engine, which was started, count the connections of the apps that
// limit them: so the first of this node is judged by what others have.
func (h *Hub) Begin() {
	for _, app := range h.apps.All() {
		if app.Limits.Connections > 0 {
			u := h.usage.of(app.ID)
			u.mu.Lock()
			u.shared = true
			u.tell(h.engine)
			u.mu.Unlock()
		}
	}
}

// Elsewhere implements cluster.Handler.
func (h *Hub) Elsewhere(app string, connections int) {
	u := h.usage.of(app)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.elsewhere = connections
}
