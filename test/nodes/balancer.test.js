// HAProxy with the configuration of deploy/ in front of three nodes: what an operator
// sees of a rolling restart, and clients do not.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Redis, Server, freePort, newApp } from '../clients/harness.js'
import { Backend, answer, collect, connected, deadline, newClient, newSDK, subscribed, within } from '../clients/support.js'

const path = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url))
const file = path('deploy/haproxy.cfg')
// What is missing in CI is a failure (test/lanes.sh).
const skip = process.env.CI !== 'true' && spawnSync('haproxy', ['-v']).error ? 'there is no haproxy' : false

/** HAProxy on a free port; to pusher-js and the SDK it is the server. */
class Balancer {
  host = '127.0.0.1'

  async start(nodes) {
    this.port = await freePort()
    const env = { PATH: process.env.PATH, BIND: `127.0.0.1:${this.port}` }
    nodes.forEach((node, i) => { env[`NODE_${i + 1}`] = `127.0.0.1:${node.port}` })
    const checked = spawnSync('haproxy', ['-c', '-f', file], { env, encoding: 'utf8' })
    assert.equal(checked.status, 0, checked.stdout + checked.stderr)
    assert.doesNotMatch(checked.stderr, /WARNING|ALERT/)
    this.child = spawn('haproxy', ['-db', '-f', file], { env, stdio: 'ignore' })
    process.on('exit', () => this.child.kill('SIGKILL'))
    await this.#answers()
    return this
  }

  async #answers() {
    for (const until = Date.now() + deadline; Date.now() < until;) {
      const response = await fetch(`http://127.0.0.1:${this.port}/ready`).catch(() => undefined)
      await response?.arrayBuffer()
      if (response?.ok) return
    }
    throw new Error('the balancer does not answer')
  }

  async stop() {
    this.child.kill('SIGKILL')
    await once(this.child, 'close')
  }
}

describe('three nodes behind HAProxy', { skip }, () => {
  const app = newApp('app-id', { client_events: true })
  let redis, nodes, balancer, sdk, backend

  before(async () => {
    redis = await new Redis().start()
    nodes = [1, 2, 3].map(() => new Server(app).sharing(redis))
    await Promise.all(nodes.map((node) => node.start()))
    balancer = await new Balancer().start(nodes)
    sdk = newSDK(balancer, app)
    backend = await new Backend(sdk).start()
  })
  after(async () => {
    await backend?.stop()
    await balancer?.stop()
    await Promise.all(nodes?.map((node) => node.stop()) ?? [])
    await redis?.stop()
  })

  test('each node is stopped and started again; clients are back on the others and miss nothing after that', async (t) => {
    const users = Array.from({ length: 12 }, (_, i) => `user-${i}`)
    const clients = users.map((user) => newClient(t, balancer, app, backend.as(user)))
    const rooms = await Promise.all(clients.map((client) => subscribed(client, 'presence-room')))
    const inboxes = rooms.map((room) => collect(room, 'n'))
    for (const node of nodes) {
      assert.equal(await node.terminate(), 0)
      const [, had] = /"msg":"stopping","connections":(\d+)/.exec(node.output)
      assert.ok(had > 0, 'connections are spread over all nodes')
      await node.restart()
      await Promise.all(clients.map(connected))
      // pusher-js subscribes again by itself; whoever is in the room gets the event.
      await within('all members back', (async () => {
        for (;;) {
          const list = await answer(sdk.get({ path: '/channels/presence-room/users' })).catch(() => ({ users: [] }))
          if (list.users.length === users.length) return
        }
      })())
      await sdk.trigger('presence-room', 'n', node.port)
      for (const inbox of inboxes) await inbox.until('event', ({ data }) => data === node.port)
    }
    await within('one view of the members', (async () => {
      while (rooms.some((room) => room.members.count !== users.length)) await new Promise(setImmediate)
    })())
  })

  test('compose.yaml gives settings that there are, and names its own services', () => {
    const text = readFileSync(path('deploy/compose.yaml'), 'utf8')
    const settings = Object.fromEntries([...text.matchAll(/^ {4}(DUNLIN_\w+): (.*)$/gm)]
      .map(([, name, value]) => [name, value.replace(/^\$\{\w+:.(.*)\}$/, '$1')]))
    assert.ok(settings.DUNLIN_ENGINE_REDIS_URL)
    const checked = spawnSync(path('bin/dunlin'), ['check'], { env: settings, encoding: 'utf8', cwd: '/' })
    assert.equal(checked.status, 0, checked.stdout + checked.stderr)
    assert.doesNotMatch(checked.stderr, /DUNLIN_/)
    for (const [, name, port] of text.matchAll(/^ {6}NODE_\d: (\w+):(\d+)$/gm)) {
      assert.match(text, new RegExp(`^  ${name}: \\*node$`, 'm'))
      assert.equal(port, '6001')
    }
    for (const [, name] of readFileSync(file, 'utf8').matchAll(/\$\{(\w+)\}/g)) assert.match(text, new RegExp(`^ {6}${name}: `, 'm'))
  })
})
