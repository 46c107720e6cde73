// The examples of docs/getting-started.md, as they stand there but for the port.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { freePort, Server } from './harness.js'

const here = dirname(fileURLToPath(import.meta.url))
const page = readFileSync(join(here, '../../docs/getting-started.md'), 'utf8')

/** The example behind the mark "run: NAME". */
function example(name) {
  const found = page.match(new RegExp(`<!-- run: ${name} -->\n\`\`\`js\n([^]*?)\`\`\``))
  assert.ok(found, `there is no example ${name}`)
  return found[1]
}

describe('getting started', () => {
  const server = new Server({ id: 'app-id', key: 'app-key', secret: 'app-secret', settings: { client_events: true } })
  const files = []
  const running = []
  let authPort

  before(async () => {
    await server.start()
    authPort = await freePort()
  })
  after(async () => {
    running.forEach((child) => child.kill())
    files.forEach((file) => rmSync(file, { force: true }))
    await server.stop()
  })

  /** Runs an example beside the packages that it imports. */
  function run(name, more = '') {
    const file = join(here, `.example-${process.pid}-${name}.mjs`)
    files.push(file)
    writeFileSync(file, example(name).replaceAll('6001', server.port).replaceAll('3000', authPort) + more)
    const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] })
    running.push(child)
    return child
  }

  it('the page prints what the backend triggers', async () => {
    const client = run('page', "pusher.connection.bind('connected', () => {})\n" +
      "pusher.channel('my-channel').bind('pusher:subscription_succeeded', () => console.log('subscribed'))\n")
    let printed = ''
    client.stdout.on('data', (text) => { printed += text })
    const prints = async (text) => {
      while (!printed.includes(text)) await once(client.stdout, 'data')
    }
    await prints('subscribed\n')
    const [code] = await once(run('node'), 'exit')
    assert.equal(code, 0)
    await prints('world\n')
  })

  it('the endpoint lets a client into private and presence channels', async () => {
    run('auth')
    const client = run('page', `
      const signed = new Pusher('app-key', { ...pusher.config, wsHost: '127.0.0.1', wsPort: ${server.port}, forceTLS: false, enabledTransports: ['ws'], cluster: '',
        channelAuthorization: { endpoint: 'http://127.0.0.1:${authPort}/pusher/auth' } })
      for (const name of ['private-x', 'presence-x']) {
        const join = () => signed.subscribe(name)
          .bind('pusher:subscription_succeeded', (members) => console.log(name, members?.me?.info?.name ?? 'in'))
          .bind('pusher:subscription_error', () => { signed.unsubscribe(name); setTimeout(join, 50) }) // the endpoint is still starting
        join()
      }\n`)
    let printed = ''
    client.stdout.on('data', (text) => { printed += text })
    while (!printed.includes('private-x in\n') || !printed.includes('presence-x Ann\n')) await once(client.stdout, 'data')
  })
})
