// In a page: what ../../clients/backend.js runs. Nothing is signed in a page.
import { Remote, passOn } from './remote.js'

class SDK extends Remote {}
passOn(SDK, {
  call: ['get', 'post', 'trigger', 'triggerBatch', 'sendToUser', 'terminateUserConnections'],
  callNow: ['authorizeChannel', 'authenticateUser'],
})

export function newSDK(server, app, options) {
  return new SDK('SDK', { host: server.host, port: server.port }, app, options)
}

export class Backend extends Remote {
  constructor(sdk) {
    super('Backend', sdk)
  }
}
passOn(Backend, { call: ['start', 'stop'], callNow: ['as'] })
