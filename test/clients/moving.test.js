// docs/migrating.md, walked: the configuration of another server, unchanged, and the
// clients that were its own.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import Echo from 'laravel-echo'
import Pusher from 'pusher-js'
import { Server, command, newApp } from './harness.js'
import {
  Backend, Inbox, answer, collect, connected, newSDK, subscribed, within,
} from './support.js'

const app = newApp('1234')

/** The environment of a Soketi container. */
const soketi = (port) => ({
  SOKETI_HOST: '127.0.0.1',
  SOKETI_PORT: String(port),
  SOKETI_METRICS_ENABLED: 'false',
  SOKETI_DEFAULT_APP_ID: app.id,
  SOKETI_DEFAULT_APP_KEY: app.key,
  SOKETI_DEFAULT_APP_SECRET: app.secret,
  SOKETI_DEFAULT_APP_ENABLE_CLIENT_MESSAGES: 'true',
})

/** Ways to give dunlin the same configuration. Each returns a server. */
const ways = {
  'its environment': () => new Server(app).surrounded(soketi),
  'its JSON file': () => {
    const server = new Server(app)
    writeFileSync(server.config, JSON.stringify({
      'appManager.array.apps': [{ id: app.id, key: app.key, secret: app.secret, enableClientMessages: true }],
      metrics: { enabled: false },
    }))
    return server
  },
  'dunlin migrate': () => {
    const server = new Server(app)
    writeFileSync(server.config, command(['migrate', '--from', 'soketi'], soketi(6001)))
    return server
  },
}

for (const [way, make] of Object.entries(ways)) {
  describe(`moving from Soketi with ${way}`, () => {
    let server, sdk, backend

    before(async () => {
      server = await make().start()
      sdk = newSDK(server, app)
      backend = await new Backend(sdk).start()
    })
    after(async () => {
      await backend?.stop()
      await server?.stop()
    })

    /** The options of Soketi's documentation. */
    function client(t, user) {
      const pusher = new Pusher(app.key, {
        wsHost: server.host, wsPort: server.port, wssPort: server.port, forceTLS: false, encrypted: true,
        disableStats: true, enabledTransports: ['ws', 'wss'], cluster: '', ...backend.as(user),
      })
      t.after(() => pusher.disconnect())
      return pusher
    }

    test('client events and events of 100 KB pass, as they did', async (t) => {
      const [ann, bob] = [client(t, 'ann'), client(t, 'bob')]
      const [hers, his] = [await subscribed(ann, 'private-room'), await subscribed(bob, 'private-room')]
      const inbox = collect(his, 'client-hello', 'large')
      for (let i = 0; i < 15; i++) hers.trigger('client-hello', { i }) // more than the 10 a second of the hosted service
      for (let i = 0; i < 15; i++) assert.equal((await inbox.next('client event')).data.i, i)
      const large = 'x'.repeat(90 * 1024)
      await sdk.trigger('private-room', 'large', large)
      assert.equal((await inbox.next('large event')).data, large)
    })

    test('health checks answer', async () => {
      for (const path of ['/', '/ready', '/accept-traffic']) {
        const response = await fetch(server.url + path)
        const text = await response.text()
        assert.equal(response.status, 200, `${path}: ${text}`)
        if (path === '/') assert.match(text, /^OK/)
      }
    })

    test('channel names of 200 characters, and user_info of members', async (t) => {
      const name = `presence-${'n'.repeat(191)}`
      await subscribed(client(t, 'ann'), name)
      const { users } = await answer(sdk.get({ path: `/channels/${name}/users`, params: { with_user_info: '1' } }))
      assert.deepEqual(users, [{ id: 'ann', user_info: { name: 'Name of ann' } }])
    })
  })
}

describe('moving from Reverb with its environment', () => {
  let server, sdk, backend

  before(async () => {
    server = await new Server(app).surrounded((port) => ({
      REVERB_APP_ID: app.id,
      REVERB_APP_KEY: app.key,
      REVERB_APP_SECRET: app.secret,
      REVERB_SERVER_HOST: '127.0.0.1',
      REVERB_SERVER_PORT: String(port),
      REVERB_HOST: 'localhost',
      REVERB_PORT: String(port),
      REVERB_SCHEME: 'http',
    })).start()
    sdk = newSDK(server, app)
    backend = await new Backend(sdk).start()
  })
  after(async () => {
    await backend?.stop()
    await server?.stop()
  })

  test('its health check answers', async () => {
    assert.deepEqual(await (await fetch(`${server.url}/up`)).json(), { health: 'OK' })
  })

  test('Echo hears an event and a whisper, and Pulse sees the connections', async (t) => {
    const echo = (user) => {
      const e = new Echo({
        broadcaster: 'reverb', Pusher, key: app.key, wsHost: server.host, wsPort: server.port, wssPort: server.port,
        forceTLS: false, enabledTransports: ['ws', 'wss'], authEndpoint: backend.endpoint, auth: { headers: { 'x-user': user } },
      })
      t.after(() => e.disconnect())
      return e
    }
    const inbox = new Inbox()
    const join = (user) => {
      const channel = echo(user).private('orders')
      return within(`subscription of ${user}`, new Promise((done, fail) => {
        channel.subscribed(() => done(channel)).error((e) => fail(new Error(JSON.stringify(e))))
      }))
    }
    const [ann, bob] = [await join('ann'), await join('bob')]
    bob.listen('.shipped', (data) => inbox.put(data)).listenForWhisper('typing', (data) => inbox.put(data))
    ann.whisper('typing', { by: 'ann' })
    assert.deepEqual(await inbox.next('whisper'), { by: 'ann' })
    await sdk.trigger('private-orders', 'shipped', { id: 7 })
    assert.deepEqual(await inbox.next('event'), { id: 7 })
    assert.deepEqual(await answer(sdk.get({ path: '/connections' })), { connections: 2 })
  })
})

describe('moving from hosted Pusher', () => {
  let server

  before(async () => {
    server = await new Server(app).start()
  })
  after(() => server?.stop())

  test('only the host changes: pusher-js and the SDK are told where it is', async (t) => {
    const pusher = new Pusher(app.key, { cluster: 'eu', wsHost: server.host, wsPort: server.port, forceTLS: false })
    t.after(() => pusher.disconnect())
    await connected(pusher)
    const inbox = collect(await subscribed(pusher, 'my-channel'), 'my-event')
    await newSDK(server, app, { cluster: 'eu', host: server.host }).trigger('my-channel', 'my-event', { a: 1 })
    assert.deepEqual((await inbox.next('event')).data, { a: 1 })
  })
})
