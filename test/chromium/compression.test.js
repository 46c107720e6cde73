// permessage-deflate, which Chromium offers by itself, seen on the wire.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { newSDK } from '../clients/backend.js'
import { Server, newApp } from '../clients/harness.js'
import { Tap } from '../clients/tap.js'
import { launch } from './browser.js'
import { Site } from './site.js'
import { heard, openTab } from './tab.js'

describe('compression', () => {
  const app = newApp('app-id')
  const data = Array.from({ length: 50 }, (_, i) => ({ id: 1000 + i, status: 'pending', note: `ä€😀 ${i}` }))
  let server, sdk, tap, site, browser

  before(async () => {
    server = await new Server(app).serving({ compression: { enabled: true } }).start()
    sdk = newSDK(server, app)
    tap = await new Tap(server).start()
    site = await new Site().start()
    browser = await launch()
  })
  after(async () => {
    await browser?.close()
    await site?.stop()
    await tap?.stop()
    await server?.stop()
  })

  test('is used by a page without its doing (PROTOCOL 1.6)', async (t) => {
    const context = await browser.newContext()
    t.after(() => context.close())
    const tab = await openTab(context, site, tap, app, { channels: ['orders'] })
    await tab.events.until('subscription', ({ channel }) => channel === 'orders')
    for (let i = 0; i < 3; i++) {
      await sdk.trigger('orders', 'update', data)
      assert.deepEqual(await heard(tab, 'update'), data)
    }
    const [wire] = tap.wires
    assert.match(wire.header('up', 'Sec-WebSocket-Extensions'), /^permessage-deflate/)
    assert.match(wire.header('down', 'Sec-WebSocket-Extensions'), /^permessage-deflate;/)
    const updates = wire.frames('down').slice(-3)
    const size = JSON.stringify(data).length
    assert.ok(updates.every((frame) => frame.compressed && frame.size < size / 3), JSON.stringify({ size, updates }))
    assert.ok(wire.frames('up').every(({ compressed }) => compressed), 'Chromium compresses what it sends')
    t.diagnostic(`${size} bytes of data travelled in ${updates.map((frame) => frame.size).join(', ')}`)
  })
})
