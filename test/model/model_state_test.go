package model

import (
	"slices"
	"strings"
)

// model is what is true when everything that was done has had its effect.
type model struct {
	app   app
	round string
	seats map[string]*seat // open connections, by client
	rooms map[string]*room // by the channel's full name; never forgotten, for what they keep
}

// seat is a client's connection.
type seat struct {
	client, id string
	subs       map[string]string // full channel name → who it is there, "" where nobody asks
	user, info string            // signed in as; "" not signed in
	watch      []string
}

// room is a channel.
type room struct {
	kind    kind
	members []*member
	last    *frame // cached
}

// member is a user in a presence channel.
type member struct {
	user, data string // data as member_added has it, of the first connection
	info       string // user_info
	conns      int
}

// want is a frame that must come.
type want struct {
	frame
	group int  // those of one group may come in any order, where not 0
	after bool // not before the want in front of it, though the streams differ
}

// prediction is what an op must lead to.
type prediction struct {
	frames map[string][]want // by client
	closed map[string]int    // clients that the server closes, and the code
	left   []string          // clients that close
	status int               // of the API's answer; 0: it is not asked
	body   any               // of the answer as JSON; nil: any
	text   string            // of an answer that is no JSON; "": any
}

func newModel(a app, round string) *model {
	return &model{app: a, round: round, seats: map[string]*seat{}, rooms: map[string]*room{}}
}

func (m *model) sit(client, socketID string) {
	m.seats[client] = &seat{client: client, id: socketID, subs: map[string]string{}}
}

// full reports whether one more connection is refused, on whichever node.
func (m *model) full() bool {
	return m.app.connLimit > 0 && m.connections() >= m.app.connLimit
}

func (m *model) room(ch string) *room {
	r := m.rooms[ch]
	if r == nil {
		r = &room{kind: kindOf(ch)}
		m.rooms[ch] = r
	}
	return r
}

// in lists who is subscribed to a channel.
func (m *model) in(ch string) (seats []*seat) {
	for _, s := range m.seats {
		if _, ok := s.subs[ch]; ok {
			seats = append(seats, s)
		}
	}
	return seats
}

func (r *room) member(user string) *member {
	i := slices.IndexFunc(r.members, func(m *member) bool { return m.user == user })
	if i < 0 {
		return nil
	}
	return r.members[i]
}

// snapshot is the data of subscription_succeeded in canonical form.
func (r *room) snapshot() string {
	if !r.kind.presence {
		return "{}"
	}
	hash := map[string]any{}
	for _, m := range r.members {
		hash[m.user] = rawJSON(m.info)
	}
	return plainJSON(hash)
}

func (p *prediction) expect(s *seat, f frame) {
	p.frames[s.client] = append(p.frames[s.client], want{frame: f})
}

// then expects a frame after the one expected before it.
func (p *prediction) then(s *seat, f frame) {
	p.frames[s.client] = append(p.frames[s.client], want{frame: f, after: len(p.frames[s.client]) > 0})
}

// apply makes a client's op true and says what must come of it.
func (m *model) apply(o op) *prediction {
	p := &prediction{frames: map[string][]want{}, closed: map[string]int{}}
	s := m.seats[o.actor]
	switch o.verb {
	case "connect": // whoever acts is connected first
	case "close":
		p.left = append(p.left, o.actor)
		m.leaveAll(p, s, 0)
	case "subscribe":
		m.subscribe(p, s, o)
	case "unsubscribe":
		m.unsubscribe(p, s, fullName(m.round, o.ch))
	case "event":
		m.clientEvent(p, s, o)
	case "signin":
		m.signin(p, s, o)
	case "raw":
		if answer := rawMessages[o.how].answer; answer != "" {
			p.expect(s, errorFrame(answer))
		}
	default:
		m.call(p, o)
	}
	return p
}

// refusal is why a subscribe is refused. kind is that of pusher:subscription_error,
// "" where there is none.
type refusal struct{ kind, text string }

const (
	authError = "AuthError 401"
	tooMany   = "LimitReached 4004"
)

func (m *model) refusal(s *seat, o op) *refusal {
	ch, k := fullName(m.round, o.ch), kindOf(o.ch)
	_, subscribed := s.subs[ch]
	switch {
	case !k.own && badName(o.ch):
		return &refusal{"", "Invalid channel name: " + ch}
	case k.own && (s.user == "" || ch != toUser+s.user):
		return &refusal{"", "*"} // PROTOCOL 2.58
	case subscribed:
		return &refusal{"", "Existing subscription to channel " + ch}
	}
	if k.private {
		if text := o.refusalOf(m.app.key, o.toSign(s.id, ch), ch); text != "" {
			return &refusal{authError, text}
		}
	}
	if m.app.channelLimit > 0 && len(s.subs) >= m.app.channelLimit {
		return &refusal{tooMany, "*"}
	}
	if k.presence {
		return m.memberRefusal(s, o, m.room(ch))
	}
	return nil
}

func (m *model) memberRefusal(s *seat, o op, r *room) *refusal {
	who := m.memberOf(s, o)
	switch {
	case o.how == "own-data" && s.user == "", o.how == "no-user", o.how == "no-json", len(who.info) > maxMemberInfo:
		return &refusal{authError, "*"}
	case r.member(who.user) == nil && len(r.members) >= m.app.memLimit:
		return &refusal{tooMany, "*"}
	}
	return nil
}

// memberOf is who an op would be in a presence channel.
func (m *model) memberOf(s *seat, o op) *member {
	user, id, info := o.user, userID(o.user), userInfo(o.info)
	if o.how == "own-data" { // PROTOCOL 2.32
		user, id, info = s.user, quoted(s.user), s.info
	}
	if info == "" {
		info = "{}"
	}
	data, _ := canonical(`{"user_id":` + id + `,"user_info":` + info + `}`)
	return &member{user: user, data: data, info: info}
}

func (m *model) subscribe(p *prediction, s *seat, o op) {
	if r := m.refusal(s, o); r != nil {
		if r.kind != "" && m.app.refusals {
			p.expect(s, frame{event: evRefused, channel: fullName(m.round, o.ch), code: r.kind, data: r.text})
		}
		p.then(s, errorFrame(r.text))
		return
	}
	ch := fullName(m.round, o.ch)
	r := m.room(ch)
	who := ""
	if r.kind.presence {
		who = m.enter(p, r, ch, m.memberOf(s, o))
	}
	s.subs[ch] = who
	p.expect(s, succeededFrame(ch, r.snapshot()))
	if r.kind.cache {
		p.expect(s, r.cached(ch))
	}
	m.tellCount(p, ch)
}

// cached is what follows subscription_succeeded on a cache channel.
func (r *room) cached(ch string) frame {
	if r.last == nil {
		return frame{event: evMiss, channel: ch, data: "{}"}
	}
	return *r.last
}

// enter makes somebody a member, or a member's connection one more.
func (m *model) enter(p *prediction, r *room, ch string, who *member) string {
	if old := r.member(who.user); old != nil {
		old.conns++
		return who.user
	}
	who.conns = 1
	r.members = append(r.members, who)
	for _, other := range m.in(ch) {
		p.expect(other, frame{event: evAdded, channel: ch, data: who.data})
	}
	return who.user
}

// tellCount expects the count of subscriptions everywhere in a channel (PROTOCOL 2.50,
// 2.51).
func (m *model) tellCount(p *prediction, ch string) {
	k := m.room(ch).kind
	if !m.app.counts || k.presence || k.own {
		return
	}
	seats := m.in(ch)
	for _, s := range seats {
		p.expect(s, countFrame(ch, len(seats)))
	}
}

func (m *model) unsubscribe(p *prediction, s *seat, ch string) {
	if _, ok := s.subs[ch]; !ok {
		p.expect(s, errorFrame("No current subscription to channel "+ch+", or subscription in progress"))
		return
	}
	m.leave(p, s, ch, 0)
}

// leave ends a subscription. What several leavers of one group lead to may come in
// any order.
func (m *model) leave(p *prediction, s *seat, ch string, group int) {
	r, who := m.room(ch), s.subs[ch]
	delete(s.subs, ch)
	if r.kind.presence {
		gone := r.member(who)
		if gone.conns--; gone.conns == 0 {
			r.members = slices.DeleteFunc(r.members, func(m *member) bool { return m == gone })
			for _, other := range m.in(ch) {
				p.frames[other.client] = append(p.frames[other.client], want{frame: removedFrame(ch, who), group: group})
			}
		}
	}
	m.tellCount(p, ch)
}

// leaveAll is the end of a connection (PROTOCOL 1.34).
func (m *model) leaveAll(p *prediction, s *seat, group int) {
	delete(m.seats, s.client)
	for ch := range s.subs {
		m.leave(p, s, ch, group)
	}
	if s.user != "" && !m.online(s.user) {
		m.tellWatchers(p, s.user, false)
	}
}

func (m *model) online(user string) bool {
	for _, s := range m.seats {
		if s.user == user {
			return true
		}
	}
	return false
}

// tellWatchers expects a change at everybody who watches a user.
func (m *model) tellWatchers(p *prediction, user string, online bool) {
	f := watchFrame(nil, []string{user})
	if online {
		f = watchFrame([]string{user}, nil)
	}
	for _, s := range m.seats {
		if slices.Contains(s.watch, user) {
			p.expect(s, f)
		}
	}
}

func (m *model) clientEvent(p *prediction, s *seat, o op) {
	ch, k := fullName(m.round, o.ch), kindOf(o.ch)
	_, subscribed := s.subs[ch]
	refused := ""
	switch {
	case o.how == "bad-name":
		refused = "*"
	case !m.app.clientEvents:
		refused = "To send client events, you must enable this feature in the Settings page of your dashboard."
	case o.how == "no-data":
		refused = "Invalid client event (must contain channel and data)"
	case !k.private:
		refused = "Client event rejected - only supported on private and presence channels"
	case !subscribed:
		refused = "Cannot broadcast client event (connection not subscribed to channel " + ch + ")"
	}
	if refused != "" {
		p.expect(s, errorFrame(refused))
		return
	}
	f := frame{event: "client-e", channel: ch, userID: s.subs[ch], data: o.eventData(0)}
	for _, other := range m.in(ch) {
		if other != s {
			p.expect(other, f)
		}
	}
}

func (m *model) signin(p *prediction, s *seat, o op) {
	data := o.userData()
	text := o.refusalOf(m.app.key, s.id+"::user::"+data, "")
	if o.how == "no-json" || o.how == "no-user" || o.how == "number" || text == "" && s.user != "" && s.user != o.user {
		text = "*"
	}
	if text != "" {
		p.expect(s, errorFrame(text))
		return
	}
	came := !m.online(o.user)
	s.user, s.info, s.watch = o.user, userInfo(o.info), nil
	p.expect(s, frame{event: evSignedIn, data: plainJSON(map[string]string{"user_data": data})})
	if came {
		m.tellWatchers(p, o.user, true)
	}
	if m.app.watchlists {
		m.watch(p, s, o.watched())
	}
}

// maxWatched is PROTOCOL 4.27's.
const maxWatched = 100

// watch gives a connection its watchlist and expects the first message about it.
func (m *model) watch(p *prediction, s *seat, users []string) {
	if len(users) > maxWatched {
		users = users[:maxWatched]
		p.then(s, frame{event: evError, code: "4302", data: "Watchlist limit exceeded. Only the first 100 user IDs are accepted."})
	}
	if len(users) == 0 {
		return
	}
	s.watch = users
	var online, offline []string
	for _, u := range users {
		if m.online(u) {
			online = append(online, u)
		} else {
			offline = append(offline, u)
		}
	}
	p.then(s, watchFrame(online, offline))
}

// terminate ends the connections of a user. They go one by one: what they hear of
// each other before their own end is not said.
func (m *model) terminate(p *prediction, user string) {
	const all = 1
	var ended []*seat
	for _, s := range m.seats {
		if s.user == user {
			ended = append(ended, s)
		}
	}
	for _, s := range ended {
		m.leaveAll(p, s, all)
	}
	for _, s := range ended {
		p.frames[s.client] = []want{{frame: frame{event: evError, code: "4009", data: "*"}}}
		p.closed[s.client] = 4009
	}
	p.status, p.body = 200, map[string]any{}
}

// prefixed reports whether a channel is one of the round, and begins with prefix.
func (m *model) prefixed(ch, prefix string) bool {
	return strings.HasPrefix(ch, prefix) && len(m.in(ch)) > 0 && !m.room(ch).kind.own
}
