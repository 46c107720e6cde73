// permessage-deflate with the WebSocket client of Node, seen on the wire.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import WebSocket from 'ws'
import { Server, newApp } from './harness.js'
import { Inbox, newSDK } from './support.js'
import { Tap } from './tap.js'

/** JSON as backends send it, of ten kilobytes. */
const orders = Array.from({ length: 100 }, (_, i) => ({
  id: 1000 + i, status: ['pending', 'shipped', 'delivered'][i % 3], total: (i * 37 % 1000) / 10, customer: `customer ${i * 7919 % 500}`, note: 'ä€😀',
}))

describe('compression', () => {
  const app = newApp('app-id', { client_events: true, limits: { event_bytes: 20_000 } })
  let server, sdk

  before(async () => {
    server = await new Server(app).serving({ compression: { enabled: true, min_bytes: '256B' } }).start()
    sdk = newSDK(server, app)
  })
  after(() => server?.stop())

  /** A raw client on a tap of its own, subscribed to a channel. */
  async function join(t, channel, options) {
    const tap = await new Tap(server).start()
    t.after(() => tap.stop())
    const ws = new WebSocket(`ws://${tap.host}:${tap.port}/app/${app.key}?protocol=7`, options)
    t.after(() => ws.terminate())
    const inbox = new Inbox()
    ws.on('message', (text) => inbox.put(JSON.parse(text)))
    ws.on('error', (error) => inbox.put({ event: 'error', data: error.message }))
    const { data } = await inbox.next('greeting')
    const { auth } = sdk.authorizeChannel(JSON.parse(data).socket_id, channel)
    ws.send(JSON.stringify({ event: 'pusher:subscribe', data: { channel, auth } }))
    assert.equal((await inbox.next('answer')).event, 'pusher_internal:subscription_succeeded')
    return { ws, inbox, wire: tap.wires[0] }
  }

  /** Publishes and returns what each client got, as text frames on the wire. */
  async function deliver(channel, data, ...clients) {
    await sdk.trigger(channel, 'orders', data)
    for (const { inbox } of clients) {
      assert.deepEqual(JSON.parse((await inbox.next('event')).data), data)
    }
    return clients.map(({ wire }) => wire.frames('down').at(-1))
  }

  test('is used by who offers it, for messages that are worth it (PROTOCOL 1.6)', async (t) => {
    const client = await join(t, 'private-orders')
    assert.equal(client.wire.header('up', 'Sec-WebSocket-Extensions'), 'permessage-deflate; client_max_window_bits')
    assert.equal(
      client.wire.header('down', 'Sec-WebSocket-Extensions'),
      'permessage-deflate;server_no_context_takeover;client_no_context_takeover',
    )
    const size = JSON.stringify(orders).length
    for (let i = 0; i < 3; i++) { // each is compressed on its own
      const [frame] = await deliver('private-orders', orders, client)
      assert.ok(frame.compressed && frame.size < size / 4, `${frame.size} bytes for ${size}`)
    }
    const [short] = await deliver('private-orders', { short: true }, client)
    assert.ok(!short.compressed)
  })

  test('leaves others as they are (PROTOCOL 1.6)', async (t) => {
    const [deflating, plain, narrow] = await Promise.all([
      join(t, 'private-mixed'),
      join(t, 'private-mixed', { perMessageDeflate: false }),
      join(t, 'private-mixed', { perMessageDeflate: { serverMaxWindowBits: 10 } }),
    ])
    assert.match(narrow.wire.header('up', 'Sec-WebSocket-Extensions'), /server_max_window_bits=10/)
    for (const { wire } of [plain, narrow]) assert.equal(wire.header('down', 'Sec-WebSocket-Extensions'), '')
    const frames = await deliver('private-mixed', orders, deflating, plain, narrow)
    assert.deepEqual(frames.map(({ compressed }) => compressed), [true, false, false])
  })

  test('of what clients send is undone for the others (PROTOCOL 1.6, 1.8)', async (t) => {
    const [sender, plain] = await Promise.all([
      join(t, 'private-talk', { perMessageDeflate: { threshold: 0 } }),
      join(t, 'private-talk', { perMessageDeflate: false }),
    ])
    const message = JSON.stringify({ event: 'client-orders', channel: 'private-talk', data: orders })
    sender.ws.send(message)
    assert.deepEqual(JSON.parse((await plain.inbox.next('event')).data), orders)
    for (let from = 0; from < message.length; from += 1000) { // fragments of one compressed message
      sender.ws.send(message.slice(from, from + 1000), { fin: from + 1000 >= message.length })
    }
    assert.deepEqual(JSON.parse((await plain.inbox.next('event')).data), orders)
    const sent = sender.wire.frames('up')
    assert.ok(sent.every(({ compressed }) => compressed))
    assert.ok(sent[1].size < message.length / 4)
  })
})
