// In a page: the servers of ../../clients/harness.js.
import { Remote, passOn } from './remote.js'

export function newApp(id, settings = {}) {
  return { id, key: `${id}-key`, secret: crypto.randomUUID(), settings }
}

export class Server extends Remote {
  constructor(...apps) {
    super('Server', ...apps)
    this.apps = apps
  }

  get url() {
    return `http://${this.host}:${this.port}`
  }
}
passOn(Server, { call: ['start', 'terminate', 'kill', 'restart', 'stop'] })
