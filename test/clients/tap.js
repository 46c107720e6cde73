// A way to a server on which everything is written down, byte by byte.
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

export class Tap {
  host = '127.0.0.1'
  /** What went each way, of one connection after the other. */
  wires = []
  #sockets = new Set()

  constructor(server) {
    this.tcp = createServer((client) => this.#pass(client, connect(server.port, server.host)))
  }

  async start() {
    this.tcp.listen(0, this.host)
    await once(this.tcp, 'listening')
    this.port = this.tcp.address().port
    return this
  }

  #pass(client, server) {
    const wire = new Wire()
    this.wires.push(wire)
    for (const [from, to, way] of [[client, server, 'up'], [server, client, 'down']]) {
      this.#sockets.add(from)
      from.on('error', () => {}).on('close', () => { to.destroy(); this.#sockets.delete(from) })
      from.on('data', (bytes) => { wire[way] = Buffer.concat([wire[way], bytes]) })
      from.pipe(to)
    }
  }

  async stop() {
    this.#sockets.forEach((socket) => socket.destroy())
    this.tcp.close()
    await once(this.tcp, 'close')
  }
}

class Wire {
  up = Buffer.alloc(0)
  down = Buffer.alloc(0)

  /** The value of a header of the upgrade, '' without one. */
  header(way, name) {
    const head = this[way].toString('latin1').split('\r\n\r\n')[0]
    return head.match(new RegExp(`^${name}: *(.*)$`, 'im'))?.[1] ?? ''
  }

  /** The text frames behind the upgrade (RFC 6455 §5.2): whether each is compressed, and its size on the wire. */
  frames(way) {
    const list = []
    let bytes = this[way].subarray(this[way].indexOf('\r\n\r\n') + 4)
    while (bytes.length >= 2) {
      let [size, length] = [2, bytes[1] & 0x7f]
      if (length === 126) [size, length] = [4, bytes.readUInt16BE(2)]
      else if (length === 127) [size, length] = [10, Number(bytes.readBigUInt64BE(2))]
      size += (bytes[1] & 0x80 ? 4 : 0) + length
      if ((bytes[0] & 0x0f) === 1) list.push({ compressed: (bytes[0] & 0x40) !== 0, size })
      bytes = bytes.subarray(size)
    }
    return list
  }
}
