// What only a browser shows: tabs that share a profile and end in every way that tabs
// do, a worker, and the script tags of a page.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Backend, newSDK } from '../clients/backend.js'
import { Server, newApp } from '../clients/harness.js'
import { Inbox, pointedAt } from '../clients/support.js'
import { launch } from './browser.js'
import { Site, scripts } from './site.js'
import { heard, openTab } from './tab.js'

describe('tabs', () => {
  const app = newApp('app-id', { subscription_count_events: true })
  let server, sdk, backend, site, browser

  before(async () => {
    server = await new Server(app).start()
    sdk = newSDK(server, app)
    backend = await new Backend(sdk).start()
    site = await new Site().start()
    browser = await launch()
  })
  after(async () => {
    await browser?.close()
    await site?.stop()
    await backend?.stop()
    await server?.stop()
  })

  /** A profile of its own for a user, as on a machine of its own. */
  async function profile(t, user) {
    const context = await browser.newContext()
    t.after(() => context.close())
    const options = backend.as(user)
    return { open: (...channels) => openTab(context, site, server, app, { options, channels }) }
  }

  /** A tab that is in a presence channel, and what that looked like when it came. */
  async function joined(user, channel) {
    const tab = await user.open(channel, 'counted')
    const { data: room } = await tab.events.until('snapshot', ({ data }) => data?.members)
    return { ...tab, room }
  }

  test('two tabs of one user are one member, until the second is closed (PROTOCOL 1.34, 2.36, 2.37, 2.51)', async (t) => {
    const [ann, watching] = [await profile(t, 'ann'), await profile(t, 'watcher')]
    const watcher = await joined(watching, 'presence-tabs')
    const tabs = [await joined(ann, 'presence-tabs'), await joined(ann, 'presence-tabs')]
    assert.deepEqual(tabs.map(({ room }) => [room.count, room.me.id]), [[2, 'ann'], [2, 'ann']])
    assert.equal((await heard(watcher, 'pusher:member_added')).id, 'ann')
    await watcher.events.until('three tabs', ({ data }) => data?.subscription_count === 3)

    await tabs[0].page.close()
    const seen = [await watcher.events.next('count')]
    await sdk.trigger('presence-tabs', 'marker', 1)
    seen.push(await watcher.events.next('marker'))
    assert.deepEqual(seen, [
      { channel: 'counted', event: 'pusher:subscription_count', data: { subscription_count: 2 } },
      { channel: 'presence-tabs', event: 'marker', data: 1 },
    ])
    await tabs[1].page.close()
    assert.equal((await heard(watcher, 'pusher:member_removed')).id, 'ann')
  })

  test('a tab that crashes is gone at once (PROTOCOL 2.37)', async (t) => {
    const [ann, watching] = [await profile(t, 'ann'), await profile(t, 'watcher')]
    const watcher = await joined(watching, 'presence-crash')
    const { page } = await joined(ann, 'presence-crash')
    // Nothing in the page runs any more: it is its process that ends.
    const devtools = await page.context().newCDPSession(page)
    devtools.send('Page.crash').catch(() => {})
    assert.equal((await heard(watcher, 'pusher:member_removed')).id, 'ann')
  })

  test('a reload leaves and joins again (PROTOCOL 2.36, 2.37)', async (t) => {
    const [ann, watching] = [await profile(t, 'ann'), await profile(t, 'watcher')]
    const watcher = await joined(watching, 'presence-reload')
    const tab = await joined(ann, 'presence-reload')
    assert.equal((await heard(watcher, 'pusher:member_added')).id, 'ann')
    const id = () => tab.page.evaluate(() => globalThis.client.connection.socket_id)
    const first = await id()
    await tab.page.reload()
    assert.equal((await heard(watcher, 'pusher:member_removed')).id, 'ann')
    assert.equal((await heard(watcher, 'pusher:member_added')).id, 'ann')
    const { data: room } = await tab.events.until('snapshot', ({ data }) => data?.members)
    assert.deepEqual([room.count, room.me.id], [2, 'ann'])
    assert.notEqual(await id(), first)
  })

  test('a worker connects with the build for workers (PROTOCOL 1.2)', async (t) => {
    const page = await browser.newPage()
    t.after(() => page.close())
    const events = new Inbox()
    await page.exposeFunction('tell', (item) => events.put(item))
    await page.goto(site.origin + site.page([]))
    await page.evaluate((settings) => {
      const worker = new Worker('/page/worker.js')
      worker.onmessage = ({ data }) => globalThis.tell(data)
      worker.postMessage(settings)
    }, { key: app.key, options: pointedAt(server), channels: ['news'] })
    await heard({ events }, 'pusher:subscription_succeeded')
    await sdk.trigger('news', 'headline', { to: 'a worker' })
    assert.deepEqual(await heard({ events }, 'headline'), { to: 'a worker' })
  })

  test('two script tags are enough for Echo (PROTOCOL 8.10)', async (t) => {
    const page = await browser.newPage()
    t.after(() => page.close())
    const events = new Inbox()
    await page.exposeFunction('tell', (item) => events.put(item))
    await page.goto(site.origin + site.page([scripts.pusher, scripts.echo]))
    const { host: wsHost, port: wsPort } = server
    await page.evaluate((settings) => {
      const { default: Echo } = globalThis.Echo
      const channel = new Echo(settings).channel('orders')
      channel.subscribed(() => globalThis.tell({ event: 'subscribed' }))
      channel.listen('OrderShipped', (data) => globalThis.tell({ event: 'shipped', data }))
    }, { broadcaster: 'reverb', key: app.key, wsHost, wsPort, forceTLS: false, enabledTransports: ['ws'] })
    await heard({ events }, 'subscribed')
    await sdk.trigger('orders', 'App\\Events\\OrderShipped', { id: 1 })
    assert.deepEqual(await heard({ events }, 'shipped'), { id: 1 })
  })
})
