// What only a browser shows: pages of other origins, what they may do and read, and how
// refusals look to them.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { newSDK } from '../clients/backend.js'
import { Server, newApp } from '../clients/harness.js'
import { launch } from './browser.js'
import { Site, scripts } from './site.js'
import { heard, openTab, reached } from './tab.js'

// A pusher-js whose attempt was refused lets the whole 15 s of that attempt pass
// before the next one (its SequentialStrategy without failFast).
const patience = 25_000

/** In a page: everything that a WebSocket shows until it is closed. */
function socketStory(url) {
  return new Promise((done) => {
    const story = { opened: false, messages: [] }
    const socket = new WebSocket(url)
    socket.onopen = () => { story.opened = true }
    socket.onmessage = ({ data }) => story.messages.push(JSON.parse(data))
    socket.onclose = ({ code, reason, wasClean }) => done({ ...story, code, reason, wasClean })
  })
}

describe('pages of any origin', { concurrency: 2 }, () => {
  const open = newApp('open')
  const shop = newApp('shop', { allowed_origins: ['shop.example', '*.shop.example'] })
  const disabled = newApp('disabled', { enabled: false })
  const full = newApp('full', { limits: { connections: 1 } })
  let server, site, browser

  before(async () => {
    server = await new Server(open, shop, disabled, full).start()
    site = await new Site().start()
    browser = await launch()
  })
  after(async () => {
    await browser?.close()
    await site?.stop()
    await server?.stop()
  })

  const from = (host) => `http://${host}:${site.port}`
  const address = (app) => `ws://${server.host}:${server.port}/app/${app.key}?protocol=7`

  async function context(t) {
    const made = await browser.newContext()
    t.after(() => made.close())
    return made
  }

  /** What a refused page is told: an error and a close that say the same, behind an upgrade that succeeds. */
  const refused = (code, message) => ({
    opened: true, messages: [{ event: 'pusher:error', data: { code, message } }], code, reason: message, wasClean: true,
  })

  test('the pages that allowed_origins names connect', async (t) => {
    for (const host of ['shop.example', 'eu.shop.example']) {
      await reached(await openTab(await context(t), site, server, shop, { origin: from(host) }), 'connected')
    }
  })

  test('pages of other hosts are refused with 4009, for good (PROTOCOL 1.3, 1.32)', async (t) => {
    for (const host of ['other.example', 'evilshop.example', 'shop.example.other.example']) {
      const tab = await openTab(await context(t), site, server, shop, { origin: from(host) })
      assert.deepEqual((await tab.events.until('error', ({ error }) => error)).error, { code: 4009, message: 'Origin not allowed' })
      await reached(tab, 'disconnected')
      assert.deepEqual(await tab.page.evaluate(socketStory, address(shop)), refused(4009, 'Origin not allowed'))
    }
  })

  test('a page that may not say where it is from is refused (PROTOCOL 1.3)', async (t) => {
    const page = await (await context(t)).newPage()
    await page.goto(from('shop.example') + site.page([]))
    await page.evaluate(() => new Promise((done) => {
      const frame = Object.assign(document.createElement('iframe'), { sandbox: 'allow-scripts', srcdoc: 'x', onload: done })
      document.body.append(frame)
    }))
    const [, frame] = page.frames()
    assert.equal(await frame.evaluate(() => globalThis.origin), 'null')
    assert.deepEqual(await frame.evaluate(socketStory, address(shop)), refused(4009, 'Origin not allowed'))
  })

  for (const [name, app, code, message] of [
    ['an unknown key', { key: 'nobody' }, 4001, 'App key nobody not in this cluster. Did you forget to specify the cluster?'],
    ['a disabled app', disabled, 4003, 'Application disabled'],
    ['an app with all its connections', full, 4004, 'Application is over connection quota'],
  ]) {
    test(`${name}: ${code} is what pusher-js sees, and it stays away (PROTOCOL 1.3, 1.32, 1.35)`, async (t) => {
      const here = await context(t)
      if (app === full) await reached(await openTab(here, site, server, full), 'connected')
      const tab = await openTab(here, site, server, app)
      assert.deepEqual((await tab.events.until('error', ({ error }) => error)).error, { code, message })
      await reached(tab, 'disconnected')
      assert.deepEqual(await tab.page.evaluate(socketStory, address(app)), refused(code, message))
      const { state, retrying } = await tab.page.evaluate(() => {
        const { connection } = globalThis.client
        return { state: connection.state, retrying: Boolean(connection.retryTimer) }
      })
      assert.deepEqual({ state, retrying }, { state: 'disconnected', retrying: false })
    })
  }

  test('without a server pusher-js is unavailable, and connected when it is back (PROTOCOL 1.37)', async (t) => {
    const app = newApp('away')
    const away = await new Server(app).start()
    t.after(() => away.stop())
    const tab = await openTab(await context(t), site, away, app, { options: { unavailableTimeout: 100 }, channels: ['news'] })
    await heard(tab, 'pusher:subscription_succeeded')
    await away.kill()
    await reached(tab, 'unavailable')
    await away.restart()
    await reached(tab, 'connected', patience)
    await heard(tab, 'pusher:subscription_succeeded')
  })

  describe('and the HTTP API', () => {
    const path = '/apps/open/events'
    const body = JSON.stringify({ name: 'e', channels: ['from-a-page'], data: '"hello"' })
    const headers = { 'content-type': 'application/json', 'x-pusher-library': 'a-page 1.0' }

    /** What a page gets for a request, or that its browser does not let it have the answer. */
    const request = (page, url, options) => page.evaluate(async ([url, options]) => {
      try {
        const response = await fetch(url, options)
        return { status: response.status, body: await response.text() }
      } catch (problem) {
        return { problem: problem.name }
      }
    }, [url, options])

    const signed = (method, at, sent) =>
      `${server.url}${at}?${newSDK(server, open).createSignedQueryString({ method, path: at, body: sent })}`

    test('a signed request of a page publishes, after its preflight (PROTOCOL 5.14, 5.20)', async (t) => {
      const tab = await openTab(await context(t), site, server, open, { origin: from('other.example'), channels: ['from-a-page'] })
      await heard(tab, 'pusher:subscription_succeeded')
      assert.deepEqual(await request(tab.page, signed('POST', path, body), { method: 'POST', headers, body }), { status: 200, body: '{}' })
      assert.equal(await heard(tab, 'e'), 'hello')
      assert.deepEqual(await request(tab.page, signed('GET', '/apps/open/channels')), { status: 200, body: '{"channels":{"from-a-page":{}}}' })
    })

    test('a page reads why it was refused (PROTOCOL 5.12, 5.60)', async (t) => {
      const page = await (await context(t)).newPage()
      await page.goto(from('other.example') + site.page([scripts.pusher]))
      assert.deepEqual(await request(page, server.url + path, { method: 'POST', headers, body }),
        { status: 401, body: 'Missing parameter: auth_key\n' })
      assert.equal((await request(page, `${server.url}/nowhere`)).status, 404)
      assert.equal((await request(page, `${server.url}/ready`)).status, 200)
    })

    test('a page cannot send cookies along', async (t) => {
      const page = await (await context(t)).newPage()
      await page.goto(from('other.example') + site.page([]))
      assert.deepEqual(await request(page, `${server.url}/ready`, { credentials: 'include' }), { problem: 'TypeError' })
    })
  })
})
