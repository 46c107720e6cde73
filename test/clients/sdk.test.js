// The official Node server SDK against the HTTP API.
import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { Server, newApp } from './harness.js'
import {
  Backend, answer, collect, connected, messages, newClient, newSDK, refusal, settled, subscribed,
} from './support.js'

const tooLarge = 'The data content of this event exceeds the allowed maximum (10240 bytes). ' +
  'See https://pusher.com/docs/channels/server_api/http-api#publishing-events for more info\n'

describe('pusher server SDK', () => {
  const app = newApp('1001')
  let server, sdk, backend

  before(async () => {
    server = await new Server(app, newApp('1002'), newApp('1003', { enabled: false })).start()
    sdk = newSDK(server, app)
    backend = await new Backend(sdk).start()
  })
  after(async () => {
    await backend?.stop()
    await server?.stop()
  })

  const as = (t, user) => newClient(t, server, app, backend.as(user))

  describe('publishing', () => {
    test('trigger answers 200 and {} (PROTOCOL 5.20)', async () => {
      const response = await sdk.trigger('nobody-here', 'e', { a: 1 })
      assert.equal(response.status, 200)
      assert.match(response.headers.get('content-type'), /^application\/json/)
      assert.equal(await response.text(), '{}')
    })

    test('trigger on many channels reaches each once (PROTOCOL 5.21)', async (t) => {
      const client = newClient(t, server, app)
      for (const name of ['many-1', 'many-2']) await subscribed(client, name)
      const inbox = messages(client)
      await sdk.trigger(['many-1', 'many-2', 'many-3', 'many-1'], 'e', 'x')
      await sdk.trigger('many-1', 'e', 'marker')
      const seen = []
      for (let i = 0; i < 3; i++) seen.push((await inbox.next('event')).data)
      assert.deepEqual(seen.map(({ channel }) => channel).sort(), ['many-1', 'many-1', 'many-2'])
      assert.deepEqual(seen.filter(({ channel }) => channel === 'many-1').map(({ data }) => data), ['x', 'marker'])
    })

    test('trigger on 100 channels passes, more is 400 (PROTOCOL 5.29)', async () => {
      const names = Array.from({ length: 101 }, (_, i) => `hundred-${i}`)
      assert.deepEqual(await answer(sdk.trigger(names.slice(1), 'e', 'x')), {})
      const { status } = await refusal(sdk.post({ path: '/events', body: { name: 'e', data: 'x', channels: names } }))
      assert.equal(status, 400)
    })

    test('socket_id leaves one connection out (PROTOCOL 5.22)', async (t) => {
      const [left, right] = [newClient(t, server, app), newClient(t, server, app)]
      const [toLeft, toRight] = [collect(await subscribed(left, 'pair'), 'e'), collect(await subscribed(right, 'pair'), 'e')]
      await sdk.trigger('pair', 'e', 'not left', { socket_id: left.connection.socket_id })
      await sdk.trigger('pair', 'e', 'both', { socket_id: '1.1' })
      assert.equal((await toLeft.next('event')).data, 'both')
      assert.equal((await toRight.next('event')).data, 'not left')
      assert.equal((await toRight.next('event')).data, 'both')
    })

    test('trigger with info counts (PROTOCOL 5.23, 5.24)', async (t) => {
      await subscribed(newClient(t, server, app), 'counted')
      for (const user of ['ann', 'ann', 'ben']) await subscribed(as(t, user), 'presence-counted')
      assert.deepEqual(
        await answer(sdk.trigger(['counted', 'presence-counted', 'presence-empty'], 'e', 'x', { info: 'user_count,subscription_count' })),
        { channels: {
          counted: { subscription_count: 1 },
          'presence-counted': { user_count: 2, subscription_count: 3 },
          'presence-empty': { user_count: 0, subscription_count: 0 },
        } })
    })

    test('triggerBatch publishes in order (PROTOCOL 5.30, 5.32, 5.33)', async (t) => {
      const client = newClient(t, server, app)
      const inbox = collect(await subscribed(client, 'batched'), 'first', 'second', 'last')
      const excluded = client.connection.socket_id
      assert.deepEqual(await answer(sdk.triggerBatch([
        { channel: 'batched', name: 'first', data: { n: 1 } },
        { channel: 'batched', name: 'second', data: 'text' },
        { channel: 'batched', name: 'first', data: 'unseen', socket_id: excluded },
        { channel: 'elsewhere', name: 'first', data: 'unseen' },
        { channel: 'batched', name: 'last', data: {} },
      ])), {})
      assert.deepEqual([await inbox.next('1st'), await inbox.next('2nd'), await inbox.next('3rd')].map(({ name, data }) => [name, data]),
        [['first', { n: 1 }], ['second', 'text'], ['last', {}]])
    })

    test('triggerBatch with info answers by position (PROTOCOL 5.33)', async (t) => {
      await subscribed(newClient(t, server, app), 'batch-info')
      assert.deepEqual(await answer(sdk.triggerBatch([
        { channel: 'batch-info', name: 'e', data: 'x', info: 'subscription_count' },
        { channel: 'batch-info', name: 'e', data: 'x' },
        { channel: 'presence-batch-info', name: 'e', data: 'x', info: 'user_count,subscription_count' },
      ])), { batch: [{ subscription_count: 1 }, {}, { user_count: 0, subscription_count: 0 }] })
    })

    test('data of 10240 bytes passes, 10241 is 413 (PROTOCOL 5.18, 5.31)', async () => {
      assert.deepEqual(await answer(sdk.trigger('large', 'e', 'é'.repeat(5120))), {})
      assert.deepEqual(await refusal(sdk.trigger('large', 'e', 'é'.repeat(5120) + 'x')), { status: 413, body: tooLarge })
      assert.deepEqual(await refusal(sdk.triggerBatch([{ channel: 'large', name: 'e', data: 'x'.repeat(10241) }])),
        { status: 413, body: tooLarge })
    })

    test('a bad event fails its whole batch before anything is published (PROTOCOL 5.34)', async (t) => {
      const client = newClient(t, server, app)
      await subscribed(client, 'all-or-none')
      const inbox = messages(client)
      const { status } = await refusal(sdk.triggerBatch([
        { channel: 'all-or-none', name: 'e', data: 'unseen' },
        { channel: 'no spaces!', name: 'e', data: 'unseen' },
      ]))
      assert.equal(status, 400)
      await sdk.trigger('all-or-none', 'e', 'marker')
      assert.equal((await inbox.next('marker')).data.data, 'marker')
    })

    test('requests over one kept-alive connection (PROTOCOL 5.15)', async (t) => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      t.after(() => agent.destroy())
      let sockets = 0
      const create = agent.createConnection
      agent.createConnection = function (...args) {
        sockets++
        return create.apply(this, args)
      }
      const kept = newSDK(server, app, { agent })
      for (let i = 0; i < 5; i++) assert.deepEqual(await answer(kept.trigger('kept', 'e', 'x')), {})
      assert.deepEqual(await answer(kept.get({ path: '/channels/kept' })), { occupied: false })
      assert.equal(sockets, 1)
    })
  })

  describe('querying', () => {
    test('channels: occupied ones, by prefix, with counts (PROTOCOL 5.35, 5.38)', async (t) => {
      const client = as(t, 'ann')
      for (const name of ['list-a', 'list-b', 'presence-list']) await subscribed(client, name)
      const list = (params) => answer(sdk.get({ path: '/channels', params }))
      assert.deepEqual(await list({ filter_by_prefix: 'list-' }), { channels: { 'list-a': {}, 'list-b': {} } })
      assert.deepEqual(await list({ filter_by_prefix: 'presence-list', info: 'user_count' }),
        { channels: { 'presence-list': { user_count: 1 } } })
      assert.deepEqual(await list({ filter_by_prefix: 'none-' }), { channels: {} })
      const all = Object.keys((await list()).channels)
      assert.ok(['list-a', 'list-b', 'presence-list'].every((name) => all.includes(name)), String(all))
      client.disconnect()
    })

    test('channels of another app are not seen', async (t) => {
      await subscribed(newClient(t, server, app), 'mine')
      assert.deepEqual(await answer(newSDK(server, server.apps[1]).get({ path: '/channels' })), { channels: {} })
    })

    test('channel: occupied or not, with counts (PROTOCOL 5.40, 5.41, 5.44)', async (t) => {
      const client = as(t, 'ann')
      await subscribed(client, 'one')
      await subscribed(client, 'presence-one')
      const read = (name, info) => answer(sdk.get({ path: `/channels/${name}`, params: info && { info } }))
      assert.deepEqual(await read('one'), { occupied: true })
      assert.deepEqual(await read('one', 'subscription_count'), { occupied: true, subscription_count: 1 })
      assert.deepEqual(await read('presence-one', 'user_count,subscription_count'),
        { occupied: true, user_count: 1, subscription_count: 1 })
      assert.deepEqual(await read('never-seen'), { occupied: false })
      client.unsubscribe('one')
      await settled(client)
      assert.deepEqual(await read('one'), { occupied: false })
    })

    test('channel names with every allowed character (PROTOCOL 2.1, 5.11)', async (t) => {
      const name = 'Az0_-=@,.;9'
      await subscribed(newClient(t, server, app), name)
      assert.deepEqual(await answer(sdk.get({ path: `/channels/${name}` })), { occupied: true })
    })

    test('users: distinct, by id (PROTOCOL 5.45)', async (t) => {
      for (const user of ['ann', 'ben', 'ann']) await subscribed(as(t, user), 'presence-users')
      const { users } = await answer(sdk.get({ path: '/channels/presence-users/users' }))
      assert.deepEqual(users.map(({ id }) => id).sort(), ['ann', 'ben'])
      assert.deepEqual(await answer(sdk.get({ path: '/channels/presence-nobody/users' })), { users: [] })
    })
  })

  describe('refusals are plain text with their real status (PROTOCOL 5.60, 8.22)', () => {
    const event = { name: 'e', data: 'x', channels: ['c'] }
    const post = (path, body) => () => sdk.post({ path, body })
    const get = (path, params) => () => sdk.get({ path, params })
    const cases = [
      ['no name (5.28)', post('/events', { ...event, name: undefined }), 400, 'Expected name parameter to be a string\n'],
      ['a number for a name (5.28)', post('/events', { ...event, name: 5 }), 400, 'Expected name parameter to be a string\n'],
      ['a batch event without channel (5.28)', post('/batch_events', { batch: [{ name: 'e', data: 'x' }] }), 400,
        'Missing required parameter: channel\n'],
      ['eleven in a batch (5.30)', post('/batch_events', { batch: Array(11).fill({ name: 'e', data: 'x', channel: 'c' }) }), 400,
        'Batch too large (11 > 10)\n'],
      ['no channels (5.29)', post('/events', { ...event, channels: [] }), 400],
      ['channels of another type (PITFALLS 1)', post('/events', { ...event, channels: 'abc' }), 400],
      ['a number among channels (PITFALLS 1)', post('/events', { ...event, channels: [5] }), 400],
      ['null among channels (PITFALLS 1)', post('/events', { ...event, channels: [null] }), 400],
      ['null in a batch (PITFALLS 1)', post('/batch_events', { batch: [null] }), 400],
      ['an empty body (PITFALLS 1)', post('/events', {}), 400],
      ['a channel name with a space (2.1)', post('/events', { ...event, channels: ['a b'] }), 400],
      ['a reserved event name (2.28)', post('/events', { ...event, name: 'pusher:x' }), 400],
      ['two encrypted channels (2.55)', post('/events', { ...event, channels: ['private-encrypted-a', 'b'] }), 400],
      ['user_count without a presence prefix (5.36)', get('/channels', { info: 'user_count' }), 400,
        'user_count may only be requested for presence channels - please supply filter_by_prefix begining with presence-\n'],
      ['an unknown attribute (5.37)', get('/channels', { info: 'weight' }), 400, /info should be a comma separated list of attributes/],
      ['user_count of a public channel (5.42)', get('/channels/c', { info: 'user_count' }), 400,
        'Cannot retrieve the user count unless the channel is a presence channel\n'],
      ['users of a public channel (5.46)', get('/channels/c/users'), 400, 'Users can only be retrieved for presence channels\n'],
      ['users with info (5.47)', get('/channels/presence-c/users', { info: 'user_count' }), 400,
        /^The following query string parameters are extraneous: info/],
      ['an unknown path (5.60)', get('/nonsense'), 404],
    ]
    for (const [name, request, status, text] of cases) {
      test(name, async () => {
        const refused = await refusal(request())
        assert.equal(refused.status, status, refused.body)
        if (typeof text === 'string') assert.equal(refused.body, text)
        else if (text) assert.match(refused.body, text)
        assert.match(refused.body, /[^\n]\n$/)
      })
    }
  })

  describe('authentication (PROTOCOL 5.12)', () => {
    const other = (settings) => newSDK(server, { ...app, ...settings })

    test('wrong secret', async () => {
      const { status, body } = await refusal(other({ secret: 'wrong' }).trigger('c', 'e', 'x'))
      assert.equal(status, 401)
      assert.match(body, /^Invalid signature: you should have sent HmacSHA256Hex\("POST\\n\/apps\/1001\/events\\nauth_key=/)
    })

    test('unknown key', async () => {
      const { status, body } = await refusal(other({ key: 'nobody' }).trigger('c', 'e', 'x'))
      assert.equal(status, 401)
      assert.match(body, /nobody|Unknown auth_key/)
    })

    test('key of another app (5.13)', async () => {
      const { status } = await refusal(other({ id: '1002' }).trigger('c', 'e', 'x'))
      assert.ok(status === 401 || status === 404, `status ${status}`)
    })

    test('unknown app (5.60)', async () => {
      const { status } = await refusal(other({ id: '999' }).trigger('c', 'e', 'x'))
      assert.ok(status === 401 || status === 404, `status ${status}`)
    })

    test('disabled app (5.60, PITFALLS 22)', async () => {
      const { status } = await refusal(newSDK(server, server.apps[2]).trigger('c', 'e', 'x'))
      assert.equal(status, 403)
    })

    for (const [name, seconds, passes] of [['just slow enough', -598, true], ['too slow', -601, false], ['too fast', 601, false]]) {
      test(`a backend's clock is ${name} (5.8)`, async (t) => {
        const now = Date.now()
        t.mock.method(Date, 'now', () => now + seconds * 1000)
        const request = sdk.trigger('c', 'e', 'x') // is signed before this returns
        t.mock.restoreAll()
        if (passes) {
          assert.deepEqual(await answer(request), {})
        } else {
          const { status, body } = await refusal(request)
          assert.equal(status, 401)
          assert.match(body, /^Timestamp expired: Given timestamp \(.*\) not within 600s of server time \(.*\)\n$/)
        }
      })
    }
  })

  describe('signing for clients', () => {
    test('authorizeChannel is what the server verifies (PROTOCOL 2.13, 2.14)', async (t) => {
      const client = newClient(t, server, app)
      const { socket_id: id } = (await connected(client)).connection
      const plain = sdk.authorizeChannel(id, 'private-a')
      assert.deepEqual(Object.keys(plain), ['auth'])
      assert.match(plain.auth, /^1001-key:[0-9a-f]{64}$/)
      const member = sdk.authorizeChannel(id, 'presence-a', { user_id: 'ann', user_info: { n: 1 } })
      assert.equal(member.channel_data, '{"user_id":"ann","user_info":{"n":1}}')

      const inbox = messages(client)
      client.send_event('pusher:subscribe', { channel: 'private-a', ...plain })
      client.send_event('pusher:subscribe', { channel: 'presence-a', ...member })
      for (const name of ['private-a', 'presence-a']) {
        const { data } = await inbox.until(name, ({ data }) => data.channel === name)
        assert.equal(data.event, 'pusher_internal:subscription_succeeded')
      }
    })

    test('authenticateUser has the shape that clients send (PROTOCOL 4.1)', () => {
      const signed = newSDK(server, { id: '3', key: '278d425bdf160c739803', secret: '7ad3773142a6692b25b8' })
        .authenticateUser('1234.1234', { id: '12345' })
      assert.deepEqual(signed, {
        auth: '278d425bdf160c739803:4708d583dada6a56435fb8bc611c77c359a31eebde13337c16ab43aa6de336ba',
        user_data: '{"id":"12345"}',
      })
    })
  })
})
