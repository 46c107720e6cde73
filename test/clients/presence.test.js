// pusher-js: presence channels.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Server, newApp } from './harness.js'
import { Backend, answer, collect, connected, newClient, newSDK, settled, subscribed } from './support.js'

const memberEvents = ['pusher:member_added', 'pusher:member_removed']

describe('pusher-js presence', () => {
  const app = newApp('app-id', { limits: { presence_members: 3 } })
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

  const as = (t, user, info) => newClient(t, server, app, backend.as(user, info))
  const ids = (channel) => Object.keys(channel.members.members).sort()

  test('the joiner is in its own snapshot (PROTOCOL 2.33, 2.34)', async (t) => {
    const room = await subscribed(as(t, 'ann', { age: 7 }), 'presence-alone')
    assert.equal(room.members.count, 1)
    assert.deepEqual(room.members.me, { id: 'ann', info: { age: 7 } })
    assert.deepEqual(ids(room), ['ann'])
  })

  test('a user without user_info is an empty object (PROTOCOL 2.34)', async (t) => {
    const room = await subscribed(as(t, 'ann', null), 'presence-bare')
    assert.deepEqual(room.members.me, { id: 'ann', info: {} })
  })

  test('a numeric user id is one user with its text (PROTOCOL 2.35)', async (t) => {
    const authorised = (id) => ({
      channelAuthorization: {
        customHandler: ({ socketId, channelName }, callback) =>
          callback(null, sdk.authorizeChannel(socketId, channelName, { user_id: id })),
      },
    })
    const first = await subscribed(newClient(t, server, app, authorised(10)), 'presence-numbers')
    const changes = collect(first, ...memberEvents)
    const second = await subscribed(newClient(t, server, app, authorised('10')), 'presence-numbers')
    assert.equal(second.members.count, 1)
    await subscribed(newClient(t, server, app, authorised(11)), 'presence-numbers')
    const change = await changes.next('member_added')
    assert.deepEqual([change.name, change.data.id], ['pusher:member_added', 11])
  })

  test('two tabs are one member: added once, removed with the last (PROTOCOL 2.36, 2.37)', async (t) => {
    const watcher = await subscribed(as(t, 'watcher'), 'presence-room')
    const changes = collect(watcher, ...memberEvents)

    const firstTab = as(t, 'ann')
    const first = await subscribed(firstTab, 'presence-room')
    assert.deepEqual(await changes.next('first tab'),
      { name: 'pusher:member_added', data: { id: 'ann', info: { name: 'Name of ann' } }, meta: undefined })
    assert.equal(watcher.members.count, 2)

    const secondTab = as(t, 'ann')
    const second = await subscribed(secondTab, 'presence-room')
    const changesAtFirst = collect(first, ...memberEvents)
    assert.equal(second.members.count, 2)
    assert.deepEqual(ids(second), ['ann', 'watcher'])

    // That the second tab was no event shows in the next one being ben's.
    const ben = as(t, 'ben')
    await subscribed(ben, 'presence-room')
    for (const inbox of [changes, changesAtFirst]) assert.equal((await inbox.next('ben')).data.id, 'ben')
    assert.deepEqual([watcher.members.count, first.members.count], [3, 3])

    firstTab.unsubscribe('presence-room')
    await settled(firstTab)
    ben.unsubscribe('presence-room')
    const left = await changes.next('ben leaving')
    assert.deepEqual([left.name, left.data.id], ['pusher:member_removed', 'ben'])

    secondTab.disconnect()
    const last = await changes.next('last tab leaving')
    assert.deepEqual([last.name, last.data.id], ['pusher:member_removed', 'ann'])
    assert.deepEqual(ids(watcher), ['watcher'])
    assert.equal(watcher.members.count, 1)
  })

  test('the joiner itself gets no member_added (PROTOCOL 2.36)', async (t) => {
    const client = as(t, 'ann')
    const changes = collect(client.subscribe('presence-self'), 'pusher:subscription_succeeded', ...memberEvents)
    assert.equal((await changes.next('subscription')).name, 'pusher:subscription_succeeded')
    await subscribed(as(t, 'ben'), 'presence-self')
    assert.equal((await changes.next('ben')).data.id, 'ben')
  })

  test('at the member limit a second tab is welcome, another user is not (PROTOCOL 2.39a, PITFALLS 7)', async (t) => {
    for (const user of ['ann', 'ben', 'cid']) await subscribed(as(t, user), 'presence-full')
    const tab = await subscribed(as(t, 'ann'), 'presence-full')
    assert.equal(tab.members.count, 3)

    const dan = as(t, 'dan')
    const errors = collect(dan.connection, 'error')
    const refused = collect(dan.subscribe('presence-full'), 'pusher:subscription_error')
    assert.equal((await refused.next('subscription error')).data.type, 'LimitReached')
    assert.equal((await errors.next('error')).data.data.code, null)
    assert.equal(dan.connection.state, 'connected')
  })

  test('presence needs a member (PROTOCOL 2.31, PITFALLS 8)', async (t) => {
    const client = newClient(t, server, app)
    await connected(client)
    const errors = collect(client.connection, 'error')
    const { auth } = sdk.authorizeChannel(client.connection.socket_id, 'presence-room')
    client.send_event('pusher:subscribe', { channel: 'presence-room', auth })
    assert.equal((await errors.next('error')).data.data.code, null)
    await settled(client)
    assert.equal(client.connection.state, 'connected')
  })

  test('the API sees the same members (PROTOCOL 5.38, 5.45)', async (t) => {
    for (const user of ['ann', 'ann', 'ben']) await subscribed(as(t, user), 'presence-counted')
    const { users } = await answer(sdk.get({ path: '/channels/presence-counted/users' }))
    assert.deepEqual(users.map(({ id }) => id).sort(), ['ann', 'ben'])
    assert.deepEqual(
      await answer(sdk.get({ path: '/channels/presence-counted', params: { info: 'user_count,subscription_count' } })),
      { occupied: true, user_count: 2, subscription_count: 3 })
    assert.deepEqual(
      await answer(sdk.get({ path: '/channels', params: { filter_by_prefix: 'presence-cou', info: 'user_count' } })),
      { channels: { 'presence-counted': { user_count: 2 } } })
  })
})
