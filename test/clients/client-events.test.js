// pusher-js: client events.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Server, newApp } from './harness.js'
import {
  Backend, Inbox, collect, connected, newClient, newSDK, settled, subscribed,
} from './support.js'

describe('pusher-js client events', () => {
  const app = newApp('app-id', { client_events: true })
  const silent = newApp('silent')
  let server, sdk, backend

  before(async () => {
    server = await new Server(app, silent).start()
    sdk = newSDK(server, app)
    backend = await new Backend(sdk).start()
  })
  after(async () => {
    await backend?.stop()
    await server?.stop()
  })

  const as = (t, user) => newClient(t, server, app, backend.as(user))

  test('reach the other connection and not the sender (PROTOCOL 3.6)', async (t) => {
    const [ann, ben] = [await subscribed(as(t, 'ann'), 'private-chat'), await subscribed(as(t, 'ben'), 'private-chat')]
    const [toAnn, toBen] = [ann, ben].map((channel) => collect(channel, 'client-hi', 'marker'))
    ann.trigger('client-hi', { text: 'ä\n"' })
    assert.deepEqual(await toBen.next('client event'), { name: 'client-hi', data: { text: 'ä\n"' }, meta: {} })
    await sdk.trigger('private-chat', 'marker', 1)
    assert.equal((await toAnn.next('marker')).name, 'marker')
    assert.equal((await toBen.next('marker')).name, 'marker')
  })

  test('reach other tabs of the sending user (PROTOCOL 3.6)', async (t) => {
    const [first, second] = [await subscribed(as(t, 'ann'), 'presence-tabs'), await subscribed(as(t, 'ann'), 'presence-tabs')]
    const inbox = collect(second, 'client-hi')
    first.trigger('client-hi', 'x')
    assert.equal((await inbox.next('client event')).data, 'x')
  })

  test('carry user_id on presence channels, whatever the sender claims (PROTOCOL 3.9, PITFALLS 6)', async (t) => {
    const sender = as(t, 'ann')
    await subscribed(sender, 'presence-chat')
    const inbox = collect(await subscribed(as(t, 'ben'), 'presence-chat'), 'client-hi')
    sender.connection.send(JSON.stringify({ event: 'client-hi', channel: 'presence-chat', data: { n: 1 }, user_id: 'eve' }))
    assert.deepEqual(await inbox.next('client event'), { name: 'client-hi', data: { n: 1 }, meta: { user_id: 'ann' } })
  })

  test('data is a string on the wire (PROTOCOL 3.7, 3.8)', async (t) => {
    const sender = as(t, 'ann')
    await subscribed(sender, 'private-strings')
    const receiver = as(t, 'ben')
    await subscribed(receiver, 'private-strings')
    const raw = new Inbox()
    receiver.connection.connection.transport.bind('message', ({ data }) => raw.put(JSON.parse(data)))
    for (const [sent, received] of [[{ a: 1 }, '{"a":1}'], ['{"a":1}', '{"a":1}'], ['text', 'text'], [5, '5'], [null, 'null']]) {
      sender.connection.send(JSON.stringify({ event: 'client-hi', channel: 'private-strings', data: sent }))
      assert.equal((await raw.next('frame')).data, received)
    }
  })

  test('above ten a second are refused with 4301, each, and the connection stays (PROTOCOL 3.12)', async (t) => {
    const sender = as(t, 'ann')
    const channel = await subscribed(sender, 'private-flood')
    const receiver = as(t, 'ben')
    const outcome = new Inbox()
    ;(await subscribed(receiver, 'private-flood')).bind('client-n', () => outcome.put('delivered'))
    sender.connection.bind('error', ({ data }) => outcome.put(data))

    const counts = { delivered: 0, refused: 0 }
    for (let n = 0; n < 40; n++) channel.trigger('client-n', { n })
    for (let n = 0; n < 40; n++) {
      const item = await outcome.next(`outcome ${n}`)
      if (item === 'delivered') {
        counts.delivered++
      } else {
        assert.deepEqual(item, { code: 4301, message: 'Client event rejected due to rate limit' })
        counts.refused++
      }
    }
    assert.ok(counts.delivered >= 10 && counts.delivered < 20, JSON.stringify(counts))
    assert.equal(sender.connection.state, 'connected')
  })

  test('on public channels are refused (PROTOCOL 3.3, PITFALLS 6)', async (t) => {
    const sender = newClient(t, server, app)
    const channel = await subscribed(sender, 'open')
    const inbox = collect(await subscribed(newClient(t, server, app), 'open'), 'client-hi', 'marker')
    const errors = collect(sender.connection, 'error')
    channel.trigger('client-hi', {})
    assert.deepEqual((await errors.next('error')).data.data,
      { code: null, message: 'Client event rejected - only supported on private and presence channels' })
    await sdk.trigger('open', 'marker', 1)
    assert.equal((await inbox.next('marker')).name, 'marker')
  })

  test('without a subscription are refused (PROTOCOL 3.4)', async (t) => {
    const sender = newClient(t, server, app)
    await connected(sender)
    const errors = collect(sender.connection, 'error')
    sender.send_event('client-hi', {}, 'private-chat')
    assert.deepEqual((await errors.next('error')).data.data, {
      code: null,
      message: 'Cannot broadcast client event (connection not subscribed to channel private-chat)',
    })
  })

  test('over 10240 bytes are refused, 10240 pass (PROTOCOL 3.13)', async (t) => {
    const sender = as(t, 'ann')
    const channel = await subscribed(sender, 'private-large')
    const inbox = collect(await subscribed(as(t, 'ben'), 'private-large'), 'client-large')
    const errors = collect(sender.connection, 'error')
    channel.trigger('client-large', 'x'.repeat(10241))
    assert.match((await errors.next('error')).data.data.message, /exceeds the allowed maximum \(10240 bytes\)/)
    channel.trigger('client-large', 'x'.repeat(10240))
    assert.equal((await inbox.next('event')).data.length, 10240)
  })

  test('are refused when the app has them off (PROTOCOL 3.1)', async (t) => {
    const closed = await new Backend(newSDK(server, silent)).start()
    t.after(() => closed.stop())
    const client = newClient(t, server, silent, closed.as('ann'))
    const channel = await subscribed(client, 'private-chat')
    const errors = collect(client.connection, 'error')
    channel.trigger('client-hi', {})
    assert.match((await errors.next('error')).data.data.message, /^To send client events, you must enable this feature/)
  })

  test('nobody is disturbed by malformed messages (PROTOCOL 1.41, 1.42, PITFALLS 1, 3)', async (t) => {
    const rude = newClient(t, server, app)
    await connected(rude)
    const healthy = newClient(t, server, app)
    const inbox = collect(await subscribed(healthy, 'calm'), 'e')
    const errors = collect(rude.connection, 'error')
    for (const text of [
      '{', 'null', '[]', '{}', '{"event":5}', '{"event":"pusher:subscribe"}', '{"event":"pusher:subscribe","data":5}',
      '{"event":"pusher:subscribe","data":{"channel":5}}', '{"event":"pusher:signin"}', '{"event":"pusher:nonsense","data":{}}',
      '{"event":"client-hi"}',
    ]) {
      rude.connection.send(text)
      const { data } = await errors.next(`answer to ${text}`)
      assert.equal(data.data.code, null, text)
    }
    await settled(rude)
    await sdk.trigger('calm', 'e', 1)
    assert.equal((await inbox.next('event')).data, 1)
    assert.equal(rude.connection.state, 'connected')
  })
})
