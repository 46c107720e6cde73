// pusher-js on two nodes, the server SDK on a third: what one node does, and what the
// others see of it through Redis.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Redis, Server, newApp } from '../clients/harness.js'
import { Backend, Inbox, answer, collect, connected, newClient, newSDK, refusal, settled, subscribed, within } from '../clients/support.js'

const memberEvents = ['pusher:member_added', 'pusher:member_removed']

describe('three nodes on one Redis', () => {
  const app = newApp('app-id', { client_events: true, watchlist_events: true, subscription_count_events: true })
  const few = newApp('few', { limits: { connections: 2 } })
  const quick = newApp('quick', { client_events: true, client_events_local_first: true })
  let redis, nodes, a, b, sdk, backend

  before(async () => {
    redis = await new Redis().start()
    nodes = [1, 2, 3].map(() => new Server(app, few, quick).sharing(redis))
    await Promise.all(nodes.map((node) => node.start()))
    const [, , c] = nodes
    ;[a, b] = nodes
    sdk = newSDK(c, app)
    backend = await new Backend(sdk).start()
  })
  after(async () => {
    await backend?.stop()
    await Promise.all(nodes?.map((node) => node.stop()) ?? [])
    await redis?.stop()
  })

  const as = (t, node, user, info) => newClient(t, node, app, backend.as(user, info))
  const ids = (channel) => Object.keys(channel.members.members).sort()

  /** A client whose backend says that it is this user. */
  async function signedIn(t, node, user) {
    const client = newClient(t, node, app, {
      userAuthentication: {
        customHandler: ({ socketId }, callback) => callback(null, sdk.authenticateUser(socketId, user)),
      },
    })
    client.signin()
    await within('sign-in', client.user.signinDonePromise)
    await settled(client) // it joins its user's channel by itself
    return client
  }

  test('an event reaches the subscribers of all nodes, once and in one order (PITFALLS 16)', async (t) => {
    const inboxes = []
    for (const node of [a, b]) inboxes.push(collect(await subscribed(newClient(t, node, app), 'room'), 'n'))
    for (let n = 0; n < 20; n++) await sdk.trigger('room', 'n', n)
    for (const inbox of inboxes) {
      for (let n = 0; n < 20; n++) assert.equal((await inbox.next('event')).data, n)
    }
  })

  test('a user on two nodes is one member: added once, removed with the last (PROTOCOL 2.36, 2.37, PITFALLS 13)', async (t) => {
    const watcher = await subscribed(as(t, b, 'watcher'), 'presence-room')
    const changes = collect(watcher, ...memberEvents)
    const first = as(t, a, 'ann', { age: 7 })
    assert.deepEqual(ids(await subscribed(first, 'presence-room')), ['ann', 'watcher'])
    const { name, data } = await changes.next('ann')
    assert.deepEqual([name, data], ['pusher:member_added', { id: 'ann', info: { age: 7 } }])
    const second = as(t, b, 'ann', { age: 7 })
    const room = await subscribed(second, 'presence-room')
    assert.equal(room.members.count, 2)
    assert.deepEqual(room.members.get('watcher').info, { name: 'Name of watcher' })
    const info = await answer(sdk.get({ path: '/channels/presence-room', params: { info: 'user_count,subscription_count' } }))
    assert.equal(info.user_count, 2)
    first.disconnect()
    // What comes next shows that nothing came for ann's first tab.
    const ben = as(t, a, 'ben')
    await subscribed(ben, 'presence-room')
    assert.equal((await changes.next('ben')).data.id, 'ben')
    second.disconnect()
    const gone = await changes.next('ann gone')
    assert.deepEqual([gone.name, gone.data.id], ['pusher:member_removed', 'ann'])
    assert.deepEqual(ids(watcher), ['ben', 'watcher'])
  })

  test('client events reach the other node, with the user (PROTOCOL 3.6, 3.9)', async (t) => {
    const ann = await subscribed(as(t, a, 'ann'), 'presence-chat')
    const [toAnn, toBen] = [collect(ann, 'client-hi', 'marker'), collect(await subscribed(as(t, b, 'ben'), 'presence-chat'), 'client-hi', 'marker')]
    ann.trigger('client-hi', { n: 1 })
    assert.deepEqual(await toBen.next('client event'), { name: 'client-hi', data: { n: 1 }, meta: { user_id: 'ann' } })
    await sdk.trigger('presence-chat', 'marker', 1)
    assert.equal((await toAnn.next('marker')).name, 'marker')
    assert.equal((await toBen.next('marker')).name, 'marker')
  })

  test('socket_id excludes a connection of another node (PROTOCOL 5.9)', async (t) => {
    const sender = newClient(t, a, app)
    const inboxes = [await subscribed(sender, 'room-x'), await subscribed(newClient(t, b, app), 'room-x')].map((c) => collect(c, 'n'))
    await sdk.trigger('room-x', 'n', 'others', { socket_id: sender.connection.socket_id })
    await sdk.trigger('room-x', 'n', 'all')
    assert.equal((await inboxes[0].next('event')).data, 'all')
    assert.equal((await inboxes[1].next('event')).data, 'others')
    assert.equal((await inboxes[1].next('event')).data, 'all')
  })

  test('a cache channel has its last event on every node (PROTOCOL 2.40, 2.43)', async (t) => {
    await sdk.trigger('cache-x', 'e', { newest: true })
    for (const node of [a, b]) {
      const inbox = collect(newClient(t, node, app).subscribe('cache-x'), 'pusher:cache_miss', 'e')
      assert.deepEqual((await inbox.next('cached event')).data, { newest: true })
    }
  })

  test('subscription counts are of all nodes (PROTOCOL 2.51, 5.40)', async (t) => {
    const first = await subscribed(newClient(t, a, app), 'counted')
    const counts = collect(first, 'pusher:subscription_count')
    await subscribed(newClient(t, b, app), 'counted')
    await counts.until('two', ({ data }) => data.subscription_count === 2)
    const info = await answer(sdk.trigger('counted', 'e', 1, { info: 'subscription_count' }))
    assert.equal(info.channels.counted.subscription_count, 2)
  })

  test('a user hears what is sent to him on every node (PROTOCOL 4.15)', async (t) => {
    const inboxes = []
    for (const [node, id] of [[a, 'ann'], [b, 'ann'], [b, 'ben']]) {
      inboxes.push(collect((await signedIn(t, node, { id })).user, 'note'))
    }
    await sdk.sendToUser('ann', 'note', 1)
    await sdk.sendToUser('ben', 'note', 2)
    const heard = []
    for (const inbox of inboxes) heard.push((await inbox.next('note')).data)
    assert.deepEqual(heard, [1, 1, 2])
  })

  test('a watchlist follows users of another node (PROTOCOL 4.26)', async (t) => {
    const watcher = await signedIn(t, a, { id: 'zoe', watchlist: ['cy'] })
    const list = collect(watcher.user.watchlist, 'online', 'offline')
    const cy = await signedIn(t, b, { id: 'cy' })
    const on = await list.until('online', ({ name }) => name === 'online')
    assert.deepEqual(on.data.user_ids, ['cy'])
    cy.disconnect()
    assert.deepEqual((await list.next('offline')).name, 'offline')
  })

  test('terminateUserConnections ends a user on all nodes, and nobody else (PROTOCOL 4.20)', async (t) => {
    const gone = [await signedIn(t, a, { id: 'gone' }), await signedIn(t, b, { id: 'gone' })]
    const stays = await signedIn(t, b, { id: 'stays' })
    const ends = gone.map((client) => collect(client.connection, 'disconnected'))
    // pusher-js closes its socket once more, which in Node starts a timer of 30 s.
    const sockets = gone.map((client) => client.connection.connection.transport.socket)
    t.after(() => sockets.forEach((socket) => clearTimeout(socket._closeTimer)))
    await sdk.terminateUserConnections('gone')
    for (const end of ends) await end.next('disconnected')
    await settled(stays)
    assert.equal(stays.connection.state, 'connected')
  })

  test('client events that are local first reach this node and the other, once each (PROTOCOL 3.6)', async (t) => {
    const backend = await new Backend(newSDK(nodes[2], quick)).start()
    t.after(() => backend.stop())
    const join = (node, user) => subscribed(newClient(t, node, quick, backend.as(user)), 'private-chat')
    const sender = await join(a, 'ann')
    const inboxes = [await join(a, 'ben'), await join(b, 'cy')].map((channel) => collect(channel, 'client-n', 'marker'))
    for (let n = 0; n < 5; n++) sender.trigger('client-n', n)
    for (const inbox of inboxes) {
      for (let n = 0; n < 5; n++) assert.equal((await inbox.next('client event')).data, n)
    }
    await newSDK(nodes[2], quick).trigger('private-chat', 'marker', 1)
    for (const inbox of inboxes) assert.equal((await inbox.next('marker')).name, 'marker')
  })

  /** Connects to a node until that ends as wanted: nodes hear of each other's connections a moment later. */
  async function connectUntil(t, node, code) {
    for (;;) {
      const client = newClient(t, node, few)
      const outcome = new Inbox()
      client.connection.bind('connected', () => outcome.put(undefined))
      client.connection.bind('error', ({ error }) => outcome.put(error?.data?.code))
      if ((await outcome.next('outcome')) === code) return
      client.disconnect()
    }
  }

  test('limits.connections counts the connections of all nodes (PROTOCOL 1.35)', async (t) => {
    const onA = await connected(newClient(t, a, few))
    await connected(newClient(t, b, few))
    await within('refusal', connectUntil(t, nodes[2], 4004))
    onA.disconnect()
    await within('a free place', connectUntil(t, nodes[2], undefined))
    await within('refusal', connectUntil(t, a, 4004))
  })

  test('a forged request is refused by every node (PROTOCOL 5.2)', async () => {
    for (const node of nodes) {
      const forger = newSDK(node, { ...app, secret: 'wrong' })
      assert.equal((await refusal(forger.trigger('room', 'e', 1))).status, 401)
    }
  })
})
