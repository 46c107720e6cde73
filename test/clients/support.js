// What the tests share: waiting with deadlines, stock clients pointed at a
// server, and a backend with an authorisation endpoint.
import { once } from 'node:events'
import { createServer } from 'node:http'
import Channels from 'pusher'
import Pusher from 'pusher-js'

/** How long anything expected may take. Generous, as machines are busy; nothing waits this long for nothing. */
export const deadline = 8_000

/** Rejects, naming what was waited for, if the promise does not settle in time. */
export async function within(what, promise, ms = deadline) {
  let timer
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`no ${what} within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

/** A queue of what happened. Nothing is missed between two waits. */
export class Inbox {
  #items = []
  #waiting = []

  put(item) {
    const take = this.#waiting.shift()
    if (take) take(item)
    else this.#items.push(item)
  }

  /** The next item. To show that something did not happen, cause a later one and see that it comes next. */
  next(what, ms = deadline) {
    if (this.#items.length > 0) return Promise.resolve(this.#items.shift())
    return within(what, new Promise((take) => this.#waiting.push(take)), ms)
  }

  /** The next item that matches; those before it are dropped. */
  async until(what, matches, ms = deadline) {
    for (;;) {
      const item = await this.next(what, ms)
      if (matches(item)) return item
    }
  }
}

/** Collects events of a pusher-js connection or channel as {name, data, meta}. */
export function collect(emitter, ...names) {
  const inbox = new Inbox()
  for (const name of names) {
    emitter.bind(name, (data, meta) => inbox.put({ name, data, meta }))
  }
  return inbox
}

/** Every message of a client's connection, as pusher-js decoded it. */
export const messages = (client) => collect(client.connection, 'message')

/** Waits until an emitter in a test's hands has a state; resolves at once if it does. */
export function connected(client) {
  if (client.connection.state === 'connected') return client
  return within('connection', new Promise((done, fail) => {
    client.connection.bind('connected', () => done(client))
    client.connection.bind('disconnected', () => fail(new Error('disconnected')))
  }))
}

/** Subscribes and waits for the server's answer. */
export async function subscribed(client, name) {
  const channel = client.subscribe(name)
  if (!channel.subscribed) {
    await within(`subscription to ${name}`, new Promise((done, fail) => {
      channel.bind('pusher:subscription_succeeded', done)
      channel.bind('pusher:subscription_error', (e) => fail(new Error(`${name}: ${JSON.stringify(e)}`)))
    }))
  }
  return channel
}

/**
 * Returns once the server has done everything that the client asked before: the
 * commands of a connection are processed in their order (PROTOCOL 2.24).
 */
export async function settled(client) {
  const pong = collect(client.connection, 'message')
  client.send_event('pusher:ping', {})
  await pong.until('pusher:pong', ({ data }) => data.event === 'pusher:pong')
}

/** What every page that uses a self-hosted server passes to pusher-js. */
export function pointedAt(server) {
  return {
    cluster: '',
    wsHost: server.host,
    wsPort: server.port,
    forceTLS: false,
    enabledTransports: ['ws'],
  }
}

/** A pusher-js client, disconnected when the test ends. */
export function newClient(t, server, app, options = {}) {
  const client = new Pusher(app.key, { ...pointedAt(server), ...options })
  t.after(() => client.disconnect())
  return client
}

/** The official server SDK for an app. */
export function newSDK(server, app, options = {}) {
  return new Channels({
    appId: app.id, key: app.key, secret: app.secret,
    host: server.host, port: server.port, useTLS: false,
    ...options,
  })
}

/** The server SDK's response as JSON. */
export async function answer(request) {
  try {
    return await (await request).json()
  } catch (error) {
    throw error.status ? new Error(`the server answered ${error.status}: ${error.body}`) : error
  }
}

/** The server SDK's error for a request that must fail. */
export async function refusal(request) {
  try {
    await request
  } catch (error) {
    return { status: error.status, body: error.body }
  }
  throw new Error('the server accepted what it must refuse')
}

/**
 * A backend with the endpoint that pusher-js and Echo ask for authorisation. The
 * user is whom the header x-user names, as a session cookie would; user
 * "stranger" is refused.
 */
export class Backend {
  constructor(sdk) {
    this.sdk = sdk
    this.http = createServer((request, response) => this.#serve(request, response))
  }

  async start() {
    this.http.listen(0, '127.0.0.1')
    await once(this.http, 'listening')
    this.endpoint = `http://127.0.0.1:${this.http.address().port}/broadcasting/auth`
    return this
  }

  stop() {
    this.http.closeAllConnections()
    this.http.close()
    return once(this.http, 'close')
  }

  /** The pusher-js option for a signed-in user of this backend. */
  as(user, info = { name: `Name of ${user}` }) {
    const headers = { 'x-user': user, 'x-info': JSON.stringify(info) }
    return { channelAuthorization: { transport: 'ajax', endpoint: this.endpoint, headers } }
  }

  async #serve(request, response) {
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    const form = new URLSearchParams(body)
    const user = request.headers['x-user']
    if (user === 'stranger') {
      response.writeHead(403, { 'content-type': 'text/plain' }).end('no')
      return
    }
    const channel = form.get('channel_name')
    const member = { user_id: user, user_info: JSON.parse(request.headers['x-info'] ?? 'null') }
    const signed = this.sdk.authorizeChannel(
      form.get('socket_id'), channel, channel.startsWith('presence-') ? member : undefined)
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(signed))
  }
}
