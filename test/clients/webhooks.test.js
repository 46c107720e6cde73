// The official Node server SDK as a consumer: what dunlin posts is what its
// webhook() takes, from events that a stock client causes.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, before, describe, test } from 'node:test'
import Channels from 'pusher'
import { Server, newApp } from './harness.js'
import { Backend, Inbox, newClient, newSDK, subscribed } from './support.js'

/** A backend that takes webhooks: each request goes into its inbox, and each event of it. */
class Consumer {
  requests = new Inbox()
  events = new Inbox()
  status = 200

  async start() {
    this.server = createServer((request, response) => {
      const parts = []
      request.on('data', (part) => parts.push(part)).on('end', () => {
        const received = { headers: request.headers, rawBody: Buffer.concat(parts).toString(), raw: request.rawHeaders, at: Date.now() }
        this.requests.put(received)
        if (this.status === 200) {
          for (const event of JSON.parse(received.rawBody).events) this.events.put(event)
        }
        response.writeHead(this.status).end()
      })
    }).listen(0, '127.0.0.1')
    await once(this.server, 'listening')
    return this
  }

  get url() {
    return `http://127.0.0.1:${this.server.address().port}/webhooks`
  }

  stop() {
    this.server.closeAllConnections()
    this.server.close()
  }
}

describe('the Node server SDK takes webhooks', () => {
  let consumer, server, app, sdk, backend

  before(async () => {
    consumer = await new Consumer().start()
    app = newApp('app-id', {
      client_events: true,
      subscription_count_events: true,
      webhooks: [{ url: consumer.url, headers: { 'X-Own': 'mine' }, batching: { enabled: false } }],
    })
    server = await new Server(app).start()
    sdk = newSDK(server, app)
    backend = await new Backend(sdk).start()
  })
  after(async () => {
    await backend?.stop()
    await server?.stop()
    consumer?.stop()
  })

  /** The next request, taken by the SDK, with its one event. */
  async function next(what) {
    const request = await consumer.requests.next(what)
    const hook = sdk.webhook(request)
    assert.equal(hook.isValid(), true, `webhook() refuses ${request.rawBody}`)
    assert.ok(Math.abs(hook.getTime() - request.at) < 60_000, `time_ms is ${hook.getData().time_ms}`)
    assert.equal(hook.getEvents().length, 1)
    await consumer.events.next(what)
    return { ...request, hook, event: hook.getEvents()[0] }
  }

  test('every type of event, as the documentation has it (PROTOCOL 6.1, 6.2, 6.9–6.16)', async (t) => {
    const ann = newClient(t, server, app, backend.as('ann'))
    const room = await subscribed(ann, 'presence-room')
    const occupied = await next('channel_occupied')
    assert.deepEqual(occupied.event, { name: 'channel_occupied', channel: 'presence-room' })
    assert.equal(occupied.headers['content-type'], 'application/json')
    assert.equal(occupied.headers['x-own'], 'mine')
    for (const name of ['X-Pusher-Key', 'X-Pusher-Signature', 'Content-Type', 'X-Dunlin-Delivery-Id']) {
      assert.ok(occupied.raw.includes(name), `${name} is not in canonical case: ${occupied.raw}`)
    }
    assert.deepEqual((await next('member_added')).event, { name: 'member_added', channel: 'presence-room', user_id: 'ann' })

    room.trigger('client-hello', { text: 'grüße "alle"' })
    assert.deepEqual((await next('client_event')).event, {
      name: 'client_event', channel: 'presence-room', event: 'client-hello',
      data: JSON.stringify({ text: 'grüße "alle"' }), socket_id: ann.connection.socket_id, user_id: 'ann',
    })

    await subscribed(ann, 'cache-news')
    const three = []
    for (let i = 0; i < 3; i++) three.push((await next('an event of the cache channel')).event)
    three.sort((a, b) => a.name.localeCompare(b.name))
    assert.deepEqual(three, [
      { name: 'cache_miss', channel: 'cache-news' },
      { name: 'channel_occupied', channel: 'cache-news' },
      { name: 'subscription_count', channel: 'cache-news', subscription_count: 1 },
    ])

    ann.unsubscribe('cache-news')
    assert.deepEqual((await next('subscription_count')).event, { name: 'subscription_count', channel: 'cache-news', subscription_count: 0 })
    assert.deepEqual((await next('channel_vacated')).event, { name: 'channel_vacated', channel: 'cache-news' })
    ann.disconnect()
    assert.deepEqual((await next('member_removed')).event, { name: 'member_removed', channel: 'presence-room', user_id: 'ann' })
    assert.deepEqual((await next('channel_vacated')).event, { name: 'channel_vacated', channel: 'presence-room' })
  })

  test('a reload sends nothing (PROTOCOL 6.7, PITFALLS 21)', async (t) => {
    const page = newClient(t, server, app, backend.as('ben'))
    await subscribed(page, 'presence-page')
    await next('channel_occupied')
    await next('member_added')
    page.disconnect()
    const again = newClient(t, server, app, backend.as('ben'))
    await subscribed(again, 'presence-page')
    // A channel that is left after the page was: its end comes after what the page's would be.
    await subscribed(again, 'private-later')
    assert.equal((await next('private-later')).event.channel, 'private-later')
    assert.equal((await next('its count')).event.name, 'subscription_count')
    again.unsubscribe('private-later')
    assert.equal((await next('its count')).event.name, 'subscription_count')
    assert.deepEqual((await next('its end')).event, { name: 'channel_vacated', channel: 'private-later' })
    again.unsubscribe('presence-page')
    assert.equal((await next('the page is gone')).event.name, 'member_removed')
    assert.equal((await next('the page is gone')).event.name, 'channel_vacated')
  })

  test('a failure is repeated with the same body, signature and id (PROTOCOL 6.5)', async (t) => {
    consumer.status = 503
    const client = newClient(t, server, app, backend.as('cid'))
    await subscribed(client, 'private-flaky')
    const first = await consumer.requests.next('the first attempt')
    consumer.status = 200
    const second = await next('the second attempt')
    assert.equal(second.rawBody, first.rawBody)
    for (const name of ['x-pusher-signature', 'x-dunlin-delivery-id', 'x-dunlin-event-ids']) {
      assert.equal(second.headers[name], first.headers[name], name)
    }
    assert.deepEqual([first.headers['x-dunlin-attempt'], second.headers['x-dunlin-attempt']], ['1', '2'])
    await next('subscription_count')
  })

  test('another secret is refused', async (t) => {
    const client = newClient(t, server, app, backend.as('dan'))
    await subscribed(client, 'private-forged')
    const request = await consumer.requests.until('channel_occupied', ({ rawBody }) => rawBody.includes('private-forged'))
    const stranger = new Channels({ appId: app.id, key: app.key, secret: 'another', host: '127.0.0.1' })
    assert.equal(stranger.webhook(request).isValid(), false)
    assert.equal(sdk.webhook(request).isValid(), true)
    assert.equal(sdk.webhook({ ...request, rawBody: request.rawBody.replace('forged', 'xxxxxx') }).isValid(), false)
  })

  test('while the secret is changed, the oldest signs, and who has both takes it (PROTOCOL 6.2)', async (t) => {
    const changing = newApp('changing', { secret: undefined, webhooks: [{ url: consumer.url, event_types: ['channel_occupied'] }] })
    changing.settings.secrets = ['the-new-secret', changing.secret]
    const other = await new Server(changing).start()
    t.after(() => other.stop())
    await subscribed(newClient(t, other, changing), 'room')
    const request = await consumer.requests.until('channel_occupied', ({ headers }) => headers['x-pusher-key'] === changing.key)
    assert.equal(newSDK(other, changing).webhook(request).isValid(), true)
    const renewed = new Channels({ appId: changing.id, key: changing.key, secret: 'the-new-secret', host: '127.0.0.1' })
    assert.equal(renewed.webhook(request).isValid(), false)
    assert.equal(renewed.webhook(request).isValid({ key: changing.key, secret: changing.secret }), true)
  })
})
