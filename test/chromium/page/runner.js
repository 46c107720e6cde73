// In a page: node:test, as far as the tests of clients use it. Suites are not nested.
// What happens goes to `report`, which the page is given: first everything that was
// declared, then each end as it comes.

const suites = []
let open // the suite whose body runs

export function describe(name, options, body = options) {
  open = { name, concurrent: options.concurrency === true, before: [], after: [], tests: [] }
  suites.push(open)
  body()
  open = undefined
}

export const before = (hook) => open.before.push(hook)
export const after = (hook) => open.after.push(hook)
export const test = (name, body) => open.tests.push({ name, body })

/** Runs the tests of a module. */
export async function run(module, report) {
  const broken = await problemOf([() => import(module)])
  if (broken) report({ broken })
  report({ declared: suites.map(({ name, tests }) => ({ name, tests: tests.map((each) => each.name) })) })
  for (const [at, suite] of suites.entries()) {
    const unready = await problemOf(suite.before)
    const one = async ({ body }, index) => {
      report({ suite: at, test: index, problem: unready ?? await problemOfTest(body) })
    }
    if (suite.concurrent) await Promise.all(suite.tests.map(one))
    else for (const [index, each] of suite.tests.entries()) await one(each, index)
    report({ suite: at, problem: await problemOf(suite.after) })
  }
}

async function problemOfTest(body) {
  const hooks = []
  const own = await problemOf([() => body({ after: (hook) => hooks.push(hook) })])
  const after = await problemOf(hooks)
  return own ?? after
}

/** Calls them all, one after the other, and returns the first thing that went wrong. */
async function problemOf(calls) {
  let first
  for (const call of calls) {
    try {
      await call()
    } catch (problem) {
      first ??= { message: String(problem?.message ?? problem), stack: problem?.stack }
    }
  }
  return first
}
