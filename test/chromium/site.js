// The site that pages come from: the clients' browser builds from node_modules, the
// tests of test/clients as they are, and the modules that stand in for Node's.
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname } from 'node:path'
import { Broker } from './broker.js'

/** What the site shows, and nothing else. */
const folders = {
  '/clients/': new URL('../clients/', import.meta.url),
  '/modules/': new URL('../clients/node_modules/', import.meta.url),
  '/page/': new URL('page/', import.meta.url),
}

/** What a module of the tests means in a page. A stock client is the global that its script tag leaves. */
const imports = {
  'node:assert/strict': '/page/assert.js',
  'node:test': '/page/runner.js',
  'pusher-js': 'data:text/javascript,export default Pusher',
  'laravel-echo': 'data:text/javascript,export default Echo.default',
  '/clients/backend.js': '/page/backend.js',
  '/clients/harness.js': '/page/harness.js',
}

/** The script tags of stock clients. */
export const scripts = {
  pusher: '/modules/pusher-js/dist/web/pusher.js',
  pusherWithEncryption: '/modules/pusher-js/dist/web/pusher-with-encryption.js',
  pusherWorker: '/modules/pusher-js/dist/worker/pusher.worker.js',
  echo: '/modules/laravel-echo/dist/echo.iife.js',
}

const document = (tags, module) => `<!doctype html>
<html lang="en"><meta charset="utf-8"><link rel="icon" href="data:,"><title>dunlin</title>
${tags.map((src) => `<script src="${src}"></script>`).join('\n')}
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">${module}</script>
</html>`

export class Site {
  #pages = new Map()
  #broker = new Broker()

  constructor() {
    this.http = createServer((request, response) => {
      this.#serve(request, response).catch((problem) => response.writeHead(500).end(String(problem.stack)))
    })
  }

  async start() {
    this.http.listen(0, '127.0.0.1')
    await once(this.http, 'listening')
    this.port = this.http.address().port
    this.origin = `http://127.0.0.1:${this.port}`
    return this
  }

  /** Publishes a page with these script tags and this module; returns its path. */
  page(tags, module = '') {
    const path = `/${this.#pages.size + 1}.html`
    this.#pages.set(path, document(tags, module))
    return path
  }

  async stop() {
    this.http.closeAllConnections()
    this.http.close()
    await once(this.http, 'close')
    await this.#broker.close()
  }

  async #serve(request, response) {
    const { pathname } = new URL(request.url, this.origin)
    if (request.method === 'POST' && pathname === '/broker') {
      let text = ''
      for await (const chunk of request.setEncoding('utf8')) text += chunk
      response.writeHead(200, { 'content-type': 'application/json' }).end(await this.#broker.answer(text))
      return
    }
    const page = this.#pages.get(pathname) ?? await contentOf(pathname)
    const type = { '.html': 'text/html', '.js': 'text/javascript' }[extname(pathname)]
    if (page === undefined || !type) {
      response.writeHead(404).end()
      return
    }
    response.writeHead(200, { 'content-type': `${type}; charset=utf-8`, 'cache-control': 'no-store' }).end(page)
  }
}

/** A file below one of the folders. A URL has no way up from there: its parser has resolved every "..". */
async function contentOf(pathname) {
  const folder = Object.keys(folders).find((prefix) => pathname.startsWith(prefix))
  if (!folder) return undefined
  try {
    return await readFile(new URL(pathname.slice(folder.length), folders[folder]))
  } catch (problem) {
    if (problem.code === 'ENOENT') return undefined
    throw problem
  }
}
