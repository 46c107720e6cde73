// TLS with stock clients: pusher-js over wss, the server SDK over https, and what
// sends plain clients there.
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Server, freePort, newApp } from './harness.js'

/** Makes a certificate for localhost in a folder, and the authority that has signed it. */
function certificate(folder) {
  const openssl = (...args) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' })
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1']
  openssl('req', '-x509', ...key, '-subj', '/CN=test authority', '-keyout', 'ca-key.pem', '-out', 'ca.pem')
  openssl('req', '-x509', ...key, '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1',
    '-CA', 'ca.pem', '-CAkey', 'ca-key.pem', '-keyout', 'key.pem', '-out', 'cert.pem')
}

describe('TLS', () => {
  const app = newApp('1', { force_tls: true })
  let folder, server, wssPort

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'dunlin-tls-'))
    certificate(folder)
    wssPort = await freePort()
    server = await new Server(app)
      .serving({ tls: { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem'), port: wssPort } }).start()
  })
  after(async () => {
    await server?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  /** Runs secure-client.js, which trusts the authority. */
  async function talk(forceTLS) {
    const script = fileURLToPath(new URL('secure-client.js', import.meta.url))
    const order = { app, host: 'localhost', wsPort: server.port, wssPort, forceTLS }
    const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(order)],
      { env: { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') }, timeout: 30_000 })
    return JSON.parse(stdout)
  }

  test('pusher-js with forceTLS, and the SDK with useTLS', async () => {
    const { data, secure, error } = await talk(true)
    assert.equal(error, undefined)
    assert.deepEqual(data, { a: 1 })
    assert.ok(secure === true || String(secure).startsWith('wss://'), String(secure))
  })

  test('a plain pusher-js is sent to wss with 4000 (PROTOCOL 1.35)', async () => {
    const { data, secure, error } = await talk(false)
    assert.equal(error, undefined)
    assert.deepEqual(data, { a: 1 })
    assert.ok(secure === true || String(secure).startsWith('wss://'), String(secure))
  })
})
