// What a customer of the server runs: the official server SDK, and a backend with an
// authorisation endpoint.
import { once } from 'node:events'
import { createServer } from 'node:http'
import Channels from 'pusher'

/** The official server SDK for an app. */
export function newSDK(server, app, options = {}) {
  return new Channels({
    appId: app.id, key: app.key, secret: app.secret,
    host: server.host, port: server.port, useTLS: false,
    ...options,
  })
}

/**
 * A backend with the endpoint that pusher-js and Echo ask for authorisation. The
 * user is whom the header x-user names, as a session cookie would; user
 * "stranger" is refused. Pages of any origin may ask.
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
    response.setHeader('access-control-allow-origin', '*')
    if (request.method === 'OPTIONS') {
      response.writeHead(204, { 'access-control-allow-headers': '*' }).end()
      return
    }
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
