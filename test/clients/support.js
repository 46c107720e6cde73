// What the tests share: waiting with deadlines, and stock clients pointed at a
// server. Everything here runs in a page as well (test/chromium); what only Node can
// do stands in harness.js and backend.js, and pages have their own forms of those.
import Pusher from 'pusher-js'

export { Backend, newSDK } from './backend.js'

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
