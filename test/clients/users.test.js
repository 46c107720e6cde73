// pusher-js signed in as a user, and what the server SDK does with users.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Server, newApp } from './harness.js'
import { answer, collect, newClient, newSDK, settled, subscribed, within } from './support.js'

describe('pusher-js users', () => {
  const app = newApp('app-id')
  let server, sdk

  before(async () => {
    server = await new Server(app).start()
    sdk = newSDK(server, app)
  })
  after(() => server?.stop())

  /** A client whose backend says that it is this user. */
  function newUser(t, user) {
    return newClient(t, server, app, {
      userAuthentication: {
        customHandler: ({ socketId }, callback) => callback(null, sdk.authenticateUser(socketId, user)),
      },
      channelAuthorization: {
        customHandler: ({ socketId, channelName }, callback) => callback(null, sdk.authorizeChannel(socketId, channelName)),
      },
    })
  }

  async function signedIn(client) {
    const inbox = collect(client, 'pusher:signin_success')
    client.signin()
    await inbox.next('sign-in')
    await within('sign-in', client.user.signinDonePromise)
    return client
  }

  test('sign in and hear what is sent to the user (PROTOCOL 2.58, 4.1, 4.5, 4.15)', async (t) => {
    const tabs = [await signedIn(newUser(t, { id: 'ann' })), await signedIn(newUser(t, { id: 'ann' }))]
    const ben = await signedIn(newUser(t, { id: 'ben' }))
    const inboxes = [...tabs, ben].map(({ user }) => collect(user, 'note'))
    // The client joins its user's channel by itself; what it asks later is done later.
    for (const client of [...tabs, ben]) await settled(client)
    assert.deepEqual(await answer(sdk.sendToUser('ann', 'note', { n: 1 })), {})
    await sdk.sendToUser('ben', 'note', { n: 2 })
    await sdk.sendToUser('nobody', 'note', { n: 3 })
    const heard = []
    for (const inbox of inboxes) heard.push((await inbox.next('note')).data.n)
    assert.deepEqual(heard, [1, 1, 2])
  })

  test('a forged sign-in is an error, and the connection stays (PROTOCOL 4.6)', async (t) => {
    const client = newClient(t, server, app, {
      userAuthentication: {
        customHandler: (_, callback) => callback(null, { auth: `${app.key}:${'0'.repeat(64)}`, user_data: '{"id":"ann"}' }),
      },
    })
    const errors = collect(client.connection, 'error')
    client.signin()
    const { data } = await errors.until('error', ({ data }) => data.type === 'PusherError')
    assert.match(data.data.message, /^Invalid signature: Expected HMAC SHA256 hex digest of /)
    await settled(client)
    assert.equal(client.connection.state, 'connected')
  })

  test('a signed-in user is a presence member without channel_data (PROTOCOL 2.32)', async (t) => {
    const client = await signedIn(newUser(t, { id: 'ann', user_info: { name: 'Ann' } }))
    const room = await subscribed(client, 'presence-room')
    assert.deepEqual(room.members.me, { id: 'ann', info: { name: 'Ann' } })
  })

  test('terminateUserConnections ends them for good, and only theirs (PROTOCOL 4.20, 4.21)', async (t) => {
    const ann = await signedIn(newUser(t, { id: 'gone' }))
    const ben = await signedIn(newUser(t, { id: 'stays' }))
    const states = collect(ann.connection, 'disconnected')
    // pusher-js closes its socket once more, which in Node starts a timer of 30 s
    // that nothing ends and that would keep this process.
    const { socket } = ann.connection.connection.transport
    t.after(() => clearTimeout(socket._closeTimer))
    assert.deepEqual(await answer(sdk.terminateUserConnections('gone')), {})
    await states.next('disconnected')
    assert.deepEqual(await answer(sdk.terminateUserConnections('never-here')), {})
    await settled(ben)
    assert.equal(ben.connection.state, 'connected')
  })
})
