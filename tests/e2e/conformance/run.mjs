// Runs the public HTTP cache tests through a cache. node run.mjs BASE_URL [ID ...]
// Prints {"<id>": {"kind": "required|optimal|check", "suite": "...", "result": true | [name, message]}}.
import fetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import suites from 'http-cache-tests/tests/index.mjs'

const [base, ...ids] = process.argv.slice(2)
const wanted = suites
  .map(suite => ({ ...suite, tests: suite.tests.filter(t => t.browser_only !== true && (ids.length === 0 || ids.includes(t.id))) }))
  .filter(suite => suite.tests.length > 0)
await runTests(wanted, fetch, false, base)
const results = getResults()
const out = {}
for (const suite of wanted) {
  for (const test of suite.tests) out[test.id] = { kind: test.kind ?? 'required', suite: suite.id, result: results[test.id] }
}
console.log(JSON.stringify(out))
