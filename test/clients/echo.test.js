// Laravel Echo with both of its Pusher broadcasters. In a page Echo takes Pusher
// from window; in Node it is given with Echo's option of that name.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import Echo from 'laravel-echo'
import Pusher from 'pusher-js'
import { Server, newApp } from './harness.js'
import {
  Backend, Inbox, answer, newSDK, pointedAt, settled, within,
} from './support.js'

for (const broadcaster of ['reverb', 'pusher']) {
  describe(`laravel-echo, broadcaster ${broadcaster} (PROTOCOL 8.10)`, () => {
    const app = newApp('app-id', { client_events: true })
    let server, sdk, backend

    before(async () => {
      server = await new Server(app).start()
      sdk = newSDK(server, app, { encryptionMasterKeyBase64: btoa('\x09'.repeat(32)) })
      backend = await new Backend(sdk).start()
    })
    after(async () => {
      await backend?.stop()
      await server?.stop()
    })

    /** An Echo as a Laravel page makes it, for a signed-in user. */
    function newEcho(t, user) {
      const { cluster, ...address } = pointedAt(server)
      const echo = new Echo({
        broadcaster,
        Pusher,
        key: app.key,
        ...address,
        ...(broadcaster === 'pusher' && { cluster }),
        authEndpoint: backend.endpoint,
        auth: { headers: { 'x-user': user, 'x-info': JSON.stringify({ id: user }) } },
      })
      t.after(() => echo.disconnect())
      return echo
    }

    /** Waits for Echo's own word that a channel is subscribed. */
    function ready(channel) {
      return within(`subscription to ${channel.name}`, new Promise((done, fail) => {
        channel.subscribed(done).error((error) => fail(new Error(JSON.stringify(error))))
      }))
    }

    /** Echo's callbacks as a queue. */
    function heard(listen) {
      const inbox = new Inbox()
      listen((data) => inbox.put(data))
      return inbox
    }

    test('listens on a public channel', async (t) => {
      const channel = newEcho(t).channel('orders')
      const inbox = heard((hear) => channel.listen('OrderShipped', hear))
      const dotted = heard((hear) => channel.listen('.order.packed', hear))
      await ready(channel)
      await sdk.trigger('orders', 'App\\Events\\OrderShipped', { id: 1 })
      assert.deepEqual(await inbox.next('event'), { id: 1 })
      await sdk.trigger('orders', 'order.packed', { id: 2 })
      assert.deepEqual(await dotted.next('event'), { id: 2 })
    })

    test('listens on a private channel, and hears notifications', async (t) => {
      const channel = newEcho(t, 'ann').private('App.Models.User.1')
      const inbox = heard((hear) => channel.listen('.letter', hear))
      const notifications = heard((hear) => channel.notification(hear))
      await ready(channel)
      await sdk.trigger('private-App.Models.User.1', 'letter', { dear: 'ann' })
      assert.deepEqual(await inbox.next('event'), { dear: 'ann' })
      await sdk.trigger('private-App.Models.User.1',
        'Illuminate\\Notifications\\Events\\BroadcastNotificationCreated', { type: 'Paid' })
      assert.deepEqual(await notifications.next('notification'), { type: 'Paid' })
    })

    test('listens on an encrypted private channel', async (t) => {
      const channel = newEcho(t, 'ann').encryptedPrivate('vault')
      const inbox = heard((hear) => channel.listen('.secret', hear))
      await ready(channel)
      await sdk.trigger('private-encrypted-vault', 'secret', { code: 42 })
      assert.deepEqual(await inbox.next('event'), { code: 42 })
    })

    test('a refused private channel calls error', async (t) => {
      const inbox = heard((hear) => newEcho(t, 'stranger').private('letters').error(hear))
      assert.equal((await inbox.next('error')).status, 403)
    })

    test('join: here, joining, leaving', async (t) => {
      const ann = newEcho(t, 'ann').join('room')
      const here = heard((hear) => ann.here(hear))
      const joining = heard((hear) => ann.joining(hear))
      const leaving = heard((hear) => ann.leaving(hear))
      assert.deepEqual(await here.next('here'), [{ id: 'ann' }])

      const benEcho = newEcho(t, 'ben')
      const hereBen = heard((hear) => benEcho.join('room').here(hear))
      assert.deepEqual((await hereBen.next('here')).map(({ id }) => id).sort(), ['ann', 'ben'])
      assert.deepEqual(await joining.next('joining'), { id: 'ben' })

      benEcho.leave('room')
      assert.deepEqual(await leaving.next('leaving'), { id: 'ben' })
    })

    test('whisper reaches the others only', async (t) => {
      const [ann, ben] = ['ann', 'ben'].map((user) => newEcho(t, user).private('chat'))
      await Promise.all([ready(ann), ready(ben)])
      const [toAnn, toBen] = [ann, ben].map((channel) => heard((hear) => {
        channel.listenForWhisper('typing', hear).listen('.marker', hear)
      }))
      ann.whisper('typing', { name: 'ann' })
      assert.deepEqual(await toBen.next('whisper'), { name: 'ann' })
      await sdk.trigger('private-chat', 'marker', 'later')
      assert.equal(await toAnn.next('marker'), 'later')
    })

    test('whisper on a presence channel', async (t) => {
      const [ann, ben] = ['ann', 'ben'].map((user) => newEcho(t, user).join('lounge'))
      await Promise.all([ready(ann), ready(ben)])
      const toBen = heard((hear) => ben.listenForWhisper('wave', hear))
      ann.whisper('wave', { hand: 'left' })
      assert.deepEqual(await toBen.next('whisper'), { hand: 'left' })
    })

    test('toOthers: the socket that Echo names is left out', async (t) => {
      const [mine, other] = [newEcho(t, 'ann'), newEcho(t, 'ann')]
      const channels = [mine, other].map((echo) => echo.private('board'))
      await Promise.all(channels.map(ready))
      const [toMe, toOther] = channels.map((channel) => heard((hear) => channel.listen('.note', hear)))
      await sdk.trigger('private-board', 'note', 'to others', { socket_id: mine.socketId() })
      await sdk.trigger('private-board', 'note', 'to all')
      assert.equal(await toMe.next('event'), 'to all')
      assert.deepEqual([await toOther.next('event'), await toOther.next('event')], ['to others', 'to all'])
    })

    test('leave gives up every form of a channel', async (t) => {
      const echo = newEcho(t, 'ann')
      const channels = [echo.channel('desk'), echo.private('desk'), echo.join('desk')]
      const inbox = heard((hear) => channels.forEach((channel) => channel.listen('.e', hear)))
      const kept = echo.channel('kept')
      kept.listen('.e', (data) => inbox.put(data))
      await Promise.all([...channels, kept].map(ready))

      echo.leave('desk')
      await settled(echo.connector.pusher)
      for (const name of ['desk', 'private-desk', 'presence-desk']) {
        assert.deepEqual(await answer(sdk.get({ path: `/channels/${name}` })), { occupied: false })
      }
      await sdk.trigger(['desk', 'private-desk', 'presence-desk'], 'e', 'unheard')
      await sdk.trigger('kept', 'e', 'heard')
      assert.equal(await inbox.next('event'), 'heard')
    })

    test('disconnect frees the presence seat', async (t) => {
      const ann = newEcho(t, 'ann').join('seat')
      await ready(ann)
      const leaving = heard((hear) => ann.leaving(hear))
      const ben = newEcho(t, 'ben')
      await ready(ben.join('seat'))
      ben.disconnect()
      assert.deepEqual(await leaving.next('leaving'), { id: 'ben' })
      assert.equal(ben.connectionStatus(), 'disconnected')
    })
  })
}
