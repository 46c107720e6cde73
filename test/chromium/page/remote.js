// In a page: objects that live in Node. See broker.js.

export class Remote {
  constructor(kind, ...args) {
    this.remote = now({ make: kind, args }).remote
  }

  /** How it goes as an argument of another one. */
  toJSON() {
    return { remote: this.remote }
  }

  async call(name, ...args) {
    const response = await fetch('/broker', { method: 'POST', body: JSON.stringify(this.#ask(name, args)) })
    return this.#take(await response.json())
  }

  /** A call that the page waits for, as tests have signatures from the server SDK at once. */
  callNow(name, ...args) {
    return this.#take(now(this.#ask(name, args)))
  }

  #ask(name, args) {
    // JSON would make null of them, and null is no default.
    while (args.length > 0 && args.at(-1) === undefined) args.pop()
    return { of: this.remote, call: name, args }
  }

  #take({ problem, fields, itself, response, value }) {
    if (problem) throw failure(problem)
    Object.assign(this, fields)
    if (itself) return this
    return response ? new Response(response.body, response) : value
  }
}

/** Methods that are nothing but calls. */
export function passOn(kind, { call = [], callNow = [] }) {
  for (const name of call) kind.prototype[name] = function (...args) { return this.call(name, ...args) }
  for (const name of callNow) kind.prototype[name] = function (...args) { return this.callNow(name, ...args) }
}

function now(ask) {
  const request = new XMLHttpRequest()
  request.open('POST', '/broker', false)
  request.send(JSON.stringify(ask))
  const answer = JSON.parse(request.responseText)
  if (answer.problem) throw failure(answer.problem)
  return answer
}

function failure({ message, ...more }) {
  return Object.assign(new Error(message), more)
}
