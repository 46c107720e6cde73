// pusher-js: connecting, subscribing, receiving.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Server, newApp } from './harness.js'
import {
  Backend, collect, connected, messages, newClient, newSDK, settled, subscribed,
} from './support.js'

describe('pusher-js', () => {
  const app = newApp('app-id')
  const masterKey = btoa('\x07'.repeat(32))
  let server, sdk, backend

  before(async () => {
    server = await new Server(app).start()
    sdk = newSDK(server, app, { encryptionMasterKeyBase64: masterKey })
    backend = await new Backend(sdk).start()
  })
  after(async () => {
    await backend?.stop()
    await server?.stop()
  })

  test('connects and gets a socket id (PROTOCOL 1.15-1.17)', async (t) => {
    const client = newClient(t, server, app)
    const states = collect(client.connection, 'state_change')
    await connected(client)
    assert.match(client.connection.socket_id, /^\d{1,10}\.\d{1,10}$/)
    const { data } = await states.until('state change', ({ data }) => data.current === 'connected')
    assert.deepEqual(data, { previous: 'connecting', current: 'connected' })
  })

  test('two connections have different socket ids (PROTOCOL 1.17)', async (t) => {
    const [a, b] = await Promise.all([1, 2].map(() => connected(newClient(t, server, app))))
    assert.notEqual(a.connection.socket_id, b.connection.socket_id)
  })

  test('a wrong key is refused for good with 4001 (PROTOCOL 1.3, 1.35, 8.6)', async (t) => {
    const client = newClient(t, server, { key: 'wrong-key' })
    const events = collect(client.connection, 'error', 'disconnected')
    const error = await events.next('error')
    assert.equal(error.name, 'error')
    assert.equal(error.data.error.data.code, 4001)
    assert.match(error.data.error.data.message, /^App key wrong-key not in this cluster/)
    assert.equal((await events.next('disconnected')).name, 'disconnected')
    assert.equal(client.connection.state, 'disconnected')
  })

  test('pings when idle and is answered (PROTOCOL 1.21)', async (t) => {
    const client = newClient(t, server, app, { activityTimeout: 100, pongTimeout: 5_000 })
    await connected(client)
    const id = client.connection.socket_id
    const inbox = messages(client)
    for (let i = 0; i < 3; i++) {
      assert.equal((await inbox.next('pong')).data.event, 'pusher:pong')
    }
    assert.equal(client.connection.state, 'connected')
    assert.equal(client.connection.socket_id, id)
  })

  test('public channel: subscribes and receives what the SDK triggers (PROTOCOL 2.7, 2.30)', async (t) => {
    const client = newClient(t, server, app)
    const channel = await subscribed(client, 'news')
    const inbox = collect(channel, 'headline')
    for (const data of [{ text: 'ä "quoted" \u2028 \\ 🐦', list: [1, null, true] }, [], 'plain text', { deep: { er: {} } }]) {
      await sdk.trigger('news', 'headline', data)
      assert.deepEqual((await inbox.next('headline')).data, data)
    }
  })

  test('events arrive in the order of their triggers (PROTOCOL 2.30)', async (t) => {
    const client = newClient(t, server, app)
    const inbox = collect(await subscribed(client, 'ordered'), 'n')
    for (let n = 0; n < 30; n++) await sdk.trigger('ordered', 'n', { n })
    for (let n = 0; n < 30; n++) assert.deepEqual((await inbox.next(`event ${n}`)).data, { n })
  })

  test('a channel whose name only contains private- is public (PITFALLS 5)', async (t) => {
    const channel = await subscribed(newClient(t, server, app), 'my-private-x')
    const inbox = collect(channel, 'e')
    await sdk.trigger('my-private-x', 'e', 1)
    assert.equal((await inbox.next('event')).data, 1)
  })

  test('private channel: authorised by the backend (PROTOCOL 2.13)', async (t) => {
    const client = newClient(t, server, app, backend.as('ann'))
    const inbox = collect(await subscribed(client, 'private-letters'), 'letter')
    await sdk.trigger('private-letters', 'letter', { dear: 'ann' })
    assert.deepEqual((await inbox.next('letter')).data, { dear: 'ann' })
  })

  test('private channel: a backend that refuses is a subscription error (PROTOCOL 2.20)', async (t) => {
    const client = newClient(t, server, app, backend.as('stranger'))
    const channel = client.subscribe('private-letters')
    const { data } = await collect(channel, 'pusher:subscription_error').next('subscription error')
    assert.equal(data.type, 'AuthError')
    assert.equal(data.status, 403)
    assert.equal(channel.subscribed, false)
  })

  test('private channel: a wrong signature is refused by the server (PROTOCOL 2.19, 2.21)', async (t) => {
    const forged = 'app-id-key:' + '0'.repeat(64)
    const client = newClient(t, server, app, {
      channelAuthorization: { customHandler: (_, callback) => callback(null, { auth: forged }) },
    })
    const errors = collect(client.connection, 'error')
    const channel = client.subscribe('private-letters')
    const refused = collect(channel, 'pusher:subscription_error')
    const { data } = await refused.next('subscription error')
    assert.deepEqual({ type: data.type, status: data.status }, { type: 'AuthError', status: 401 })
    const error = (await errors.next('pusher:error')).data.data
    assert.equal(error.code, null)
    assert.equal(error.message, 'Invalid signature: Expected HMAC SHA256 hex digest of ' +
      `${client.connection.socket_id}:private-letters, but got ${'0'.repeat(64)}`)
    assert.equal(client.connection.state, 'connected')
    assert.equal(channel.subscribed, false)
  })

  test('private channel: channel_data is signed too (PROTOCOL 2.14, PITFALLS 9)', async (t) => {
    const client = newClient(t, server, app, {
      channelAuthorization: {
        customHandler: ({ socketId, channelName }, callback) =>
          callback(null, sdk.authorizeChannel(socketId, channelName, { user_id: 'ann' })),
      },
    })
    await subscribed(client, 'private-with-data')
  })

  test('encrypted channel: the client decrypts, the wire carries ciphertext (PROTOCOL 2.17, 2.54)', async (t) => {
    const client = newClient(t, server, app, backend.as('ann'))
    const wire = messages(client)
    const inbox = collect(await subscribed(client, 'private-encrypted-vault'), 'secret')
    await sdk.trigger('private-encrypted-vault', 'secret', { combination: [1, 2, 3] })
    assert.deepEqual((await inbox.next('decrypted event')).data, { combination: [1, 2, 3] })
    const frame = await wire.until('frame', ({ data }) => data.event === 'secret')
    assert.deepEqual(Object.keys(frame.data.data).sort(), ['ciphertext', 'nonce'])
  })

  test('a second subscribe is an error and the first one stays (PROTOCOL 2.25)', async (t) => {
    const client = newClient(t, server, app)
    const inbox = collect(await subscribed(client, 'twice'), 'e', 'pusher:subscription_succeeded')
    const errors = collect(client.connection, 'error')
    client.send_event('pusher:subscribe', { auth: '', channel: 'twice' })
    assert.deepEqual((await errors.next('error')).data.data,
      { code: null, message: 'Existing subscription to channel twice' })
    await sdk.trigger('twice', 'e', 'still here')
    assert.deepEqual(await inbox.next('event'), { name: 'e', data: 'still here', meta: {} })
  })

  test('unsubscribe stops the events (PROTOCOL 2.27)', async (t) => {
    const client = newClient(t, server, app)
    await subscribed(client, 'gone')
    await subscribed(client, 'marker')
    client.unsubscribe('gone')
    await settled(client)
    const inbox = messages(client)
    await sdk.trigger('gone', 'e', 'unseen')
    await sdk.trigger('marker', 'e', 'seen')
    const { data } = await inbox.next('marker')
    assert.deepEqual([data.channel, data.data], ['marker', 'seen'])
  })

  test('subscribing again after unsubscribe works at once (PROTOCOL 2.24)', async (t) => {
    const client = newClient(t, server, app)
    await subscribed(client, 'again')
    client.unsubscribe('again')
    const inbox = collect(await subscribed(client, 'again'), 'e')
    await sdk.trigger('again', 'e', 'back')
    assert.equal((await inbox.next('event')).data, 'back')
  })

  test('an invalid channel name is an error and the connection stays (PROTOCOL 2.6)', async (t) => {
    const client = newClient(t, server, app)
    await connected(client)
    const errors = collect(client.connection, 'error')
    client.subscribe('no spaces!')
    const { data } = await errors.next('error')
    assert.equal(data.data.code, null)
    assert.match(data.data.message, /^Invalid channel name: no spaces!/)
    await subscribed(client, 'fine')
  })
})
