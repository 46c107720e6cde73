// In a page: node:assert/strict, as far as the tests of clients use it.

class AssertionError extends Error {
  name = 'AssertionError'
}

function check(holds, message, actual, relation, expected) {
  if (holds) return
  const values = `${show(actual)} ${relation} ${show(expected)}`
  throw new AssertionError(message ? `${message}: ${values}` : values)
}

const show = (value) => (typeof value === 'string' ? JSON.stringify(value) : showObject(value))
const showObject = (value) => (value instanceof RegExp || value === undefined ? String(value) : JSON.stringify(value))

/** Equal in type, keys and values, all the way down: plain objects, arrays and what JSON has. */
function same(a, b) {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]))
}

export default {
  ok: (value, message) => check(value, message, value, 'is not', true),
  equal: (a, b, message) => check(Object.is(a, b), message, a, 'is not', b),
  notEqual: (a, b, message) => check(!Object.is(a, b), message, a, 'is', b),
  deepEqual: (a, b, message) => check(same(a, b), message, a, 'is not like', b),
  match: (text, pattern, message) => check(pattern.test(text), message, text, 'does not match', pattern),
}
