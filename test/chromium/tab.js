// A tab with a pusher-js in it, for tests of what only a browser shows.
import { Inbox, pointedAt } from '../clients/support.js'
import { scripts } from './site.js'

/**
 * Opens a page of a site in a browser context, and in it a client of the server. What
 * that says comes as {state}, {error} or {channel, event, data}, and stands in the page
 * for whoever looks at it. A reload makes the client anew.
 */
export async function openTab(context, site, server, app, { origin = site.origin, options, channels = [] } = {}) {
  const settings = { key: app.key, options: { ...pointedAt(server), ...options }, channels }
  const page = await context.newPage()
  const events = new Inbox()
  await page.exposeFunction('tell', (item) => events.put(item))
  await page.goto(origin + site.page([scripts.pusher, '/page/follow.js'], `
    globalThis.client = follow(${JSON.stringify(settings)}, (item) => {
      document.body.append(Object.assign(document.createElement('pre'), { textContent: JSON.stringify(item) }))
      tell(item)
    })`))
  return { page, events }
}

/** The next event of a tab by this name. */
export async function heard({ events }, event) {
  return (await events.until(event, (item) => item.event === event)).data
}

export function reached({ events }, state, ms) {
  return events.until(`state ${state}`, (item) => item.state === state, ms)
}
