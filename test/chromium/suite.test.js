// The tests of test/clients again, as they are, with all that runs in them in a page of
// Chromium: pusher-js as the script that pages load, Echo on top of it. What they want
// of servers, backends and the server SDK is done in Node.
import { readFileSync, readdirSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { launch } from './browser.js'
import { Site, scripts } from './site.js'

const folder = new URL('../clients/', import.meta.url)
/**
 * These are about the server SDK, which no page loads, about what travels, which no page
 * sees (compression.test.js here does), and about programs of Node. Every other file runs
 * here.
 */
const notOfPages = ['sdk.test.js', 'webhooks.test.js', 'compression.test.js', 'docs.test.js', 'moving.test.js', 'tls.test.js']
const files = readdirSync(folder).filter((name) => name.endsWith('.test.js') && !notOfPages.includes(name))
// Its clients wait out what pusher-js waits; the others run meanwhile.
files.sort((a, b) => (b === 'reconnect.test.js') - (a === 'reconnect.test.js'))

describe('in a page of Chromium', { concurrency: 3 }, () => {
  let browser

  before(async () => { browser = await launch() })
  after(() => browser?.close())

  for (const file of files) {
    test(file, async (t) => {
      const site = await new Site().start()
      const page = await browser.newPage()
      try {
        const results = new Results()
        page.on('pageerror', (problem) => results.fail(problem))
        page.on('crash', () => results.fail(new Error('the page crashed')))
        await page.exposeFunction('report', (result) => results.take(result))
        await page.goto(site.origin + site.page(tagsFor(file), `
          import { run } from '/page/runner.js'
          run('/clients/${file}', report)`))
        for (const [at, suite] of (await results.declared).entries()) {
          await t.test(suite.name, async (t) => {
            for (const [index, name] of suite.tests.entries()) await t.test(name, () => results.end(at, index))
            await results.end(at)
          })
        }
      } finally {
        await page.close()
        await site.stop()
      }
    })
  }
})

/** Only one of pusher-js's builds can encrypt; a page loads it if it has to. */
function tagsFor(file) {
  const source = readFileSync(new URL(file, folder), 'utf8')
  const tags = [/encrypted/i.test(source) ? scripts.pusherWithEncryption : scripts.pusher]
  if (source.includes('laravel-echo')) tags.push(scripts.echo)
  return tags
}

/** What a page has reported, and promises of what it will. */
class Results {
  #ends = new Map()
  #failure

  constructor() {
    this.declared = this.#end('declared').promise
  }

  take({ declared, broken, suite, test, problem }) {
    if (broken) this.fail(Object.assign(new Error(), broken))
    else if (declared) this.#end('declared').done(declared)
    else if (problem) this.#end(`${suite}/${test}`).fail(Object.assign(new Error(), problem))
    else this.#end(`${suite}/${test}`).done()
  }

  /** The end of a test, or of a suite with its hooks. */
  end(suite, test) {
    return this.#end(`${suite}/${test}`).promise
  }

  /** What is not over yet will never be. */
  fail(problem) {
    this.#failure ??= problem
    for (const end of this.#ends.values()) end.fail(this.#failure)
  }

  #end(name) {
    if (!this.#ends.has(name)) {
      const end = {}
      end.promise = new Promise((done, fail) => Object.assign(end, { done, fail }))
      end.promise.catch(() => {}) // whoever waits for it will see
      if (this.#failure) end.fail(this.#failure)
      this.#ends.set(name, end)
    }
    return this.#ends.get(name)
  }
}
