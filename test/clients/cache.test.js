// pusher-js: cache channels.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Server, newApp } from './harness.js'
import { Backend, answer, collect, newClient, newSDK } from './support.js'

describe('pusher-js cache channels', () => {
  const app = newApp('app-id')
  let server, sdk, backend

  before(async () => {
    server = await new Server(app).start()
    sdk = newSDK(server, app)
    backend = await new Backend(sdk).start()
  })
  after(async () => {
    await backend?.stop()
    await server?.stop()
  })

  /** What a new subscriber of a channel sees first. */
  function firstSeen(t, name) {
    const channel = newClient(t, server, app, backend.as('ann')).subscribe(name)
    return collect(channel, 'pusher:subscription_succeeded', 'pusher:cache_miss', 'e')
  }

  for (const prefix of ['cache-', 'private-cache-', 'presence-cache-']) {
    test(`${prefix}: a miss, then the last event for whoever comes later (PROTOCOL 2.40, 2.41, 2.43)`, async (t) => {
      const early = firstSeen(t, prefix + 'x')
      assert.equal((await early.next('subscription')).name, 'pusher:subscription_succeeded')
      assert.equal((await early.next('cache miss')).name, 'pusher:cache_miss')
      await sdk.trigger(prefix + 'x', 'e', 'older')
      await sdk.trigger(prefix + 'x', 'e', { newest: true })
      assert.deepEqual([await early.next('event'), await early.next('event')].map(({ data }) => data), ['older', { newest: true }])

      const late = firstSeen(t, prefix + 'x')
      assert.equal((await late.next('subscription')).name, 'pusher:subscription_succeeded')
      assert.deepEqual((await late.next('cached event')).data, { newest: true })
    })
  }

  test('the API shows what is cached (PROTOCOL 2.48, 5.41)', async (t) => {
    await sdk.trigger('cache-shown', 'e', 'kept')
    await firstSeen(t, 'cache-shown').next('subscription')
    const { cache } = await answer(sdk.get({ path: '/channels/cache-shown', params: { info: 'cache' } }))
    assert.equal(cache.data, 'kept')
    assert.ok(cache.ttl > 0 && cache.ttl <= 1800, `ttl ${cache.ttl}`)
  })
})
