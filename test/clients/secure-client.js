// A page's and a backend's part over TLS, in a process of its own: Node reads
// NODE_EXTRA_CA_CERTS at its start only. Prints what came of it as JSON.
import Pusher from 'pusher-js'
import { newSDK } from './backend.js'
import { collect, connected, subscribed } from './support.js'

const { app, host, wsPort, wssPort, forceTLS } = JSON.parse(process.argv[2])
const client = new Pusher(app.key, { cluster: '', wsHost: host, wsPort, wssPort, forceTLS, enabledTransports: ['ws', 'wss'] })
const talked = (async () => {
  await connected(client)
  const inbox = collect(await subscribed(client, 'my-channel'), 'my-event')
  const sdk = newSDK({ host, port: wssPort }, app, { useTLS: true })
  await sdk.trigger('my-channel', 'my-event', { a: 1 })
  const { data } = await inbox.next('event')
  return { data, secure: client.connection.connection.transport?.socket?.url ?? client.connection.usingTLS }
})().catch((error) => ({ error: error.message }))

console.log(JSON.stringify(await talked))
process.exit(0)
