// Chromium as Debian packages it, or another one that CHROMIUM names. What it writes,
// its profile above all, is in folders of this process, and goes with it.
import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// The packages are those of test/clients, so that one lock file pins them all.
const { chromium } = createRequire(new URL('../clients/package.json', import.meta.url))('playwright-core')

/** Without these Chromium asks its maker's hosts at every start. */
const quiet = [
  '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync',
]

/** Hosts that pages may come from: names that nobody can own (RFC 2606), all of them here. */
const hosts = '--host-resolver-rules=MAP *.example 127.0.0.1'

export async function launch() {
  // Whatever profile it is given, Chromium also writes to the user's own folders.
  const home = mkdtempSync(join(tmpdir(), 'dunlin-chromium-'))
  const remove = () => rmSync(home, { recursive: true, force: true, maxRetries: 5 })
  try {
    return await chromium.launch({
      executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
      headless: true,
      // Its sandbox does not start as root, nor in most containers; the pages are our own.
      chromiumSandbox: false,
      args: [...quiet, hosts],
      env: { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_CACHE_HOME: home },
    })
  } finally {
    process.on('exit', remove) // after launch's own, which ends Chromium
  }
}
