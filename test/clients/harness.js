// Starts the real dunlin binary on a free port with an apps.yaml of its own, and
// ends it by its own process id. Nothing of it outlives the test file.
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const binary = resolve(process.env.DUNLIN_BIN ?? join(here, '../../bin/dunlin'))
// Settings in the caller's environment would change the server's.
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(DUNLIN|SOKETI|REVERB)_/.test(name)))
/** The way to serve sockets that is tested, a value of server.transport. */
const transport = process.env.CLIENTS_TRANSPORT ?? 'auto'
const startDeadline = 10_000
const stopDeadline = 10_000

/** An app for a test. The secret is random, so that a leak of it into a log can be seen. */
export function newApp(id, settings = {}) {
  return { id, key: `${id}-key`, secret: randomBytes(16).toString('hex'), settings }
}

/** JSON is YAML. */
function configuration({ apps, folder, engine, settings }) {
  return JSON.stringify({
    server: { drain: '1s', transport, ...settings },
    ops: { enabled: false },
    engine,
    webhooks: { path: join(folder, 'webhooks.db') },
    apps: apps.map(({ id, key, secret, settings }) => ({ id, key, secret, ...settings })),
  })
}

/**
 * A free port below the range that systems give to outgoing connections: while a
 * server is down, its reconnecting clients could otherwise be given its port.
 */
export async function freePort() {
  for (;;) {
    const port = randomInt(10_000, 32_000)
    const probe = createServer()
    try {
      probe.listen(port, '127.0.0.1')
      await once(probe, 'listening')
    } catch {
      continue
    }
    probe.close()
    await once(probe, 'close')
    return port
  }
}

// A test file that fails early or is ended from outside takes its servers with it.
const running = new Set()
const folders = new Set()
process.on('exit', () => {
  running.forEach((child) => child.kill('SIGKILL'))
  folders.forEach((folder) => rmSync(folder, { recursive: true, force: true }))
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => process.exit(1))
}

export class Server {
  host = '127.0.0.1'
  output = ''
  engine = { type: 'memory' }
  settings = {}

  /** @param {ReturnType<typeof newApp>[]} apps */
  constructor(...apps) {
    this.apps = apps
    this.folder = mkdtempSync(join(tmpdir(), 'dunlin-clients-'))
    folders.add(this.folder)
    this.config = join(this.folder, 'apps.yaml')
    writeFileSync(this.config, configuration(this))
  }

  /** Makes it one of the nodes that share a Redis, before it starts. */
  sharing(redis) {
    this.engine = { type: 'redis', redis: { url: redis.url } }
    writeFileSync(this.config, configuration(this))
    return this
  }

  /** Gives it settings of its `server:` section, before it starts. */
  serving(settings) {
    this.settings = settings
    writeFileSync(this.config, configuration(this))
    return this
  }

  /**
   * Has nothing but variables of another server for its configuration, before it starts.
   * @param {(port: number) => Record<string, string>} variables
   */
  surrounded(variables) {
    this.variables = variables
    rmSync(this.config)
    return this
  }

  get url() {
    return `http://${this.host}:${this.port}`
  }

  /** Starts on a free port. Another program may take the port between probe and start: then try again. */
  async start() {
    for (let attempt = 1; ; attempt++) {
      this.port = await freePort()
      try {
        await this.#launch()
        return this
      } catch (problem) {
        if (attempt === 3 || !/in use/i.test(this.output)) throw problem
      }
    }
  }

  async #launch() {
    const own = this.variables?.(this.port)
    const args = ['serve', ...(own ? [] : ['--config', this.config, '--host', this.host, '--port', String(this.port)])]
    const env = own ? { ...environment, DUNLIN_SERVER_TRANSPORT: transport, ...own } : environment
    const child = spawn(binary, args, { env, cwd: this.folder, stdio: ['ignore', 'pipe', 'pipe'] })
    this.child = child
    running.add(child)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => { this.output += text })
    }
    this.ended = new Promise((done) => {
      child.on('error', (problem) => done(problem.message))
      child.on('close', (code, signal) => done(signal ?? code))
    }).finally(() => running.delete(child))
    let ended
    this.ended.then((how) => { ended = how })

    const until = Date.now() + startDeadline
    while (!(await this.#answers())) {
      if (ended !== undefined) throw new Error(`${binary} ended (${ended}) before it was ready:\n${this.output}`)
      if (Date.now() > until) {
        await this.kill()
        throw new Error(`${binary} was not ready within ${startDeadline} ms:\n${this.output}`)
      }
      await delay(20)
    }
  }

  async #answers() {
    try {
      const response = await fetch(`${this.url}/ready`, {
        headers: { connection: 'close' }, signal: AbortSignal.timeout(2_000),
      })
      await response.arrayBuffer()
      return response.ok
    } catch {
      return false
    }
  }

  /** Ends the process the way an operator does and returns its exit code. */
  async terminate() {
    this.child.kill('SIGTERM')
    const late = setTimeout(() => this.child.kill('SIGKILL'), stopDeadline)
    const how = await this.ended
    clearTimeout(late)
    return how
  }

  /** Ends the process without warning, as a crash would. */
  async kill() {
    this.child.kill('SIGKILL')
    return this.ended
  }

  /** Starts again on the same port. */
  restart() {
    return this.#launch()
  }

  /** Ends everything, and fails for what no server may ever do: panic, log an error, print a secret, refuse to stop. */
  async stop() {
    const how = await this.terminate()
    if (process.env.DUNLIN_SHOW_OUTPUT) console.error(this.output)
    const faults = []
    if (how !== 0) faults.push(`exit ${how} after SIGTERM`)
    if (/^(panic|fatal error):|"level":"ERROR"/m.test(this.output)) faults.push('a panic or an error')
    if (this.apps.some((app) => this.output.includes(app.secret))) faults.push('a secret in the output')
    if (faults.length > 0) throw new Error(`the server shows ${faults.join(', ')}:\n${this.output}`)
  }
}

/** What a command of the binary prints, with nothing but these variables for its configuration. */
export function command(args, variables = {}) {
  return execFileSync(binary, args, { env: { ...environment, ...variables }, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
}

/** A redis-server of a test's own, on a unix socket. */
export class Redis {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'dunlin-redis-'))
    folders.add(this.folder)
    this.socket = join(this.folder, 'redis.sock')
    this.url = `unix://${this.socket}`
  }

  async start() {
    const args = ['--port', '0', '--unixsocket', this.socket, '--dir', this.folder, '--save', '']
    const child = spawn('redis-server', args, { stdio: 'ignore' })
    this.child = child
    running.add(child)
    this.ended = new Promise((done) => {
      child.on('error', done)
      child.on('close', done)
    }).finally(() => running.delete(child))
    let ended = false
    this.ended.then(() => { ended = true })
    for (const until = Date.now() + startDeadline; !(await this.#answers()); await delay(10)) {
      if (ended || Date.now() > until) throw new Error('redis-server does not start')
    }
    return this
  }

  async #answers() {
    const probe = connect(this.socket)
    try {
      await once(probe, 'connect')
      return true
    } catch {
      return false
    } finally {
      probe.destroy()
    }
  }

  stop() {
    this.child.kill('SIGKILL')
    return this.ended
  }
}
