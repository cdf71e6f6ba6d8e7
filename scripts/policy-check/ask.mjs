// Asks @cloud-copilot/iam-simulate about cases: node ask.mjs <CASES >ANSWERS. A case is a line of JSON as ctrl/policy's random_test.go
// writes it; an answer is one line: Allowed, ImplicitlyDenied or ExplicitlyDenied. A case that it refuses ends the run.
import { anonymousPrincipal, isConditionKeyArray, runSimulation, typeForContextKey } from '@cloud-copilot/iam-simulate'
import { createInterface } from 'node:readline'

const named = (name, policy) => (policy ? [{ name, policy }] : [])

// A key with several values is an array there, and of one only where AWS says so.
async function variables(keys) {
  const out = {}
  for (const [key, values] of Object.entries(keys)) {
    out[key] = isConditionKeyArray(await typeForContextKey(key)) ? values : values[0]
  }
  return out
}

async function ask(c) {
  const answer = await runSimulation(
    {
      request: {
        principal: c.principal || anonymousPrincipal,
        action: c.action,
        resource: { resource: c.resource, accountId: c.account },
        contextVariables: await variables(c.keys)
      },
      identityPolicies: named('identity', c.identity),
      resourcePolicy: c.resourcePolicy,
      vpcEndpointPolicies: c.endpoint && named('endpoint', c.endpoint),
      serviceControlPolicies: [],
      resourceControlPolicies: []
    },
    { simulationMode: 'Strict' }
  )
  const ignored = answer.result?.ignoredContextKeys ?? []
  if (answer.resultType !== 'single' || ignored.length > 0) {
    throw new Error(`${JSON.stringify(answer.errors ?? ignored)} to ${JSON.stringify(c)}`)
  }
  return answer.overallResult
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(await ask(JSON.parse(line)))
}
