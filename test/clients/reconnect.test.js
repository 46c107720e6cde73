// pusher-js: the server goes away and comes back on the same port.
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Server, newApp } from './harness.js'
import { Backend, Inbox, collect, newClient, newSDK, subscribed } from './support.js'

// A pusher-js whose attempt was refused lets the whole 15 s of that attempt pass
// before the next one (its SequentialStrategy without failFast).
const patience = 25_000

describe('pusher-js reconnects', { concurrency: true }, () => {
  /** A server of its own, and a client in three channels. */
  async function scene(t) {
    const app = newApp('app-id')
    const server = await new Server(app).start()
    t.after(() => server.stop())
    const sdk = newSDK(server, app)
    const backend = await new Backend(sdk).start()
    t.after(() => backend.stop())
    const client = newClient(t, server, app, backend.as('ann'))
    const channels = {}
    for (const name of ['news', 'private-letters', 'presence-room']) {
      channels[name] = await subscribed(client, name)
    }
    return { server, sdk, client, channels }
  }

  /** Has `restart` end and start the server, and sees that all is as it was. */
  async function comesBack({ sdk, client, channels }, restart) {
    const id = client.connection.socket_id
    const states = collect(client.connection, 'state_change')
    const restored = new Inbox()
    for (const channel of Object.values(channels)) {
      channel.bind('pusher:subscription_succeeded', () => restored.put(channel.name))
    }
    await restart()
    await states.until('loss of the connection', ({ data }) => data.current === 'connecting')
    await states.until('new connection', ({ data }) => data.current === 'connected', patience)
    assert.notEqual(client.connection.socket_id, id)

    const names = [await restored.next('1st'), await restored.next('2nd'), await restored.next('3rd')]
    assert.deepEqual(names.sort(), Object.keys(channels).sort())
    for (const [name, channel] of Object.entries(channels)) {
      const inbox = collect(channel, 'e')
      await sdk.trigger(name, 'e', { name })
      assert.deepEqual((await inbox.next(`event on ${name}`)).data, { name })
    }
    assert.equal(channels['presence-room'].members.count, 1)
    assert.equal(channels['presence-room'].members.me.id, 'ann')
  }

  test('after an orderly stop, which tells it 4200 (PROTOCOL 1.35)', async (t) => {
    const here = await scene(t)
    const closes = new Inbox()
    here.client.connection.connection.transport.bind('closed', (close) => closes.put(close))
    await comesBack(here, async () => {
      assert.equal(await here.server.terminate(), 0)
      const { code, reason } = await closes.next('close frame')
      assert.deepEqual({ code, reason }, { code: 4200, reason: 'Please reconnect immediately' })
      await here.server.restart()
    })
  })

  test('after a kill, a second later (PROTOCOL 1.37)', async (t) => {
    const here = await scene(t)
    await comesBack(here, async () => {
      await here.server.kill()
      await here.server.restart()
    })
  })

  test('but disconnect() is final until connect() (PROTOCOL 8.6)', async (t) => {
    const { server, client } = await scene(t)
    const states = collect(client.connection, 'state_change')
    client.disconnect()
    await server.terminate()
    await server.restart()
    client.connect()
    const seen = []
    for (let i = 0; i < 3; i++) seen.push((await states.next('state')).data.current)
    assert.deepEqual(seen, ['disconnected', 'connecting', 'connected'])
  })
})
