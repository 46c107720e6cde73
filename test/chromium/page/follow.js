// In a page or a worker, as a script: a pusher-js, and everything that it says.

function follow({ key, options, channels }, tell) {
  const client = new Pusher(key, options)
  client.connection.bind('state_change', ({ current }) => tell({ state: current }))
  client.connection.bind('error', ({ data, error }) => tell({ error: data ?? error?.data }))
  for (const channel of channels) {
    client.subscribe(channel).bind_global((event, data) => tell({ channel, event, data }))
  }
  return client
}
