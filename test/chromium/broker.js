// What pages have done for them in Node: servers, server SDKs and backends are made and
// called here; a page holds them by number (page/remote.js is the other end).
import { Backend, newSDK } from '../clients/backend.js'
import { Server } from '../clients/harness.js'

/** How each kind is made, and which of its fields the page wants to know. */
const kinds = {
  Server: { make: (...apps) => new Server(...apps), fields: ['host', 'port'] },
  Backend: { make: (sdk) => new Backend(sdk), fields: ['endpoint'] },
  SDK: { make: newSDK, fields: [] },
}

export class Broker {
  #held = []

  /** Does what a page asks, {make, args} or {of, call, args}, and answers in JSON. */
  async answer(text) {
    try {
      const ask = JSON.parse(text, (_, value) => (value?.remote === undefined ? value : this.#held[value.remote].object))
      if (ask.make) return JSON.stringify({ remote: this.#held.push(hold(ask)) - 1 })
      const { object, fields } = this.#held[ask.of]
      const value = await object[ask.call](...ask.args)
      return JSON.stringify({
        fields: Object.fromEntries(fields.map((name) => [name, object[name]])),
        ...(value === object ? { itself: true } : await said(value)),
      })
    } catch (problem) {
      const { message, stack, status, body } = problem
      return JSON.stringify({ problem: { message, stack, status, body } })
    }
  }

  /** Ends the servers that a page left behind: one that failed, crashed or was too late. */
  async close() {
    for (const { object } of this.#held) {
      if (object.child?.exitCode === null && object.child.signalCode === null) await object.kill()
      if (object.http?.listening) await object.stop()
    }
  }
}

function hold({ make, args }) {
  return { object: kinds[make].make(...args), fields: kinds[make].fields }
}

/** A value as a page gets it; the HTTP responses of a server SDK are made anew there. */
async function said(value) {
  if (typeof value?.text !== 'function') return { value }
  return { response: { status: value.status, headers: [...value.headers], body: await value.text() } }
}
