// A reporter for node --test: the end of every test on a line, in the words of
// `go test -json`, for internal/conformance.
import { basename } from 'node:path'

// test/chromium runs the files of this folder again, each as a test of its name.
const fileName = /^[\w-]+\.test\.js$/
const actions = { 'test:pass': 'pass', 'test:fail': 'fail' }

export default async function* ends(events) {
  let again // the file whose tests come now; reports are in the order of declaration
  for await (const { type, data } of events) {
    if (type !== 'test:start' && !(type in actions)) continue
    if (data.nesting > 0 && fileName.test(data.name)) again = type === 'test:start' ? data.name : undefined
    if (type === 'test:start') continue
    const action = data.skip || data.todo ? 'skip' : actions[type]
    yield `${JSON.stringify({ Action: action, Package: again ?? basename(data.file ?? data.name), Test: data.name })}\n`
  }
}
