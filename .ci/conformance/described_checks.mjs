// Whether bodies are as the description of Botpress's API says: `node described_checks.mjs FILE`, with a body in each line,
// {"method","path","body"}. DESCRIPTION is the folder of the unpacked package.
//
// The last part shows that the check can fail: each kind of body with a field more, and without each field that has to be there.

import { createReadStream } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const api = createRequire(`${process.env.DESCRIPTION}/`)("./dist/index.js");

// What we call. One that nobody has sent was not tried.
const CALLED = [
  "createIntegration",
  "updateIntegration",
  "validateIntegrationCreation",
  "validateIntegrationUpdate",
  "createIntegrationApiKey",
  "getOrCreateUser",
  "getOrCreateConversation",
  "getOrCreateMessage",
  "createEvent",
  "configureIntegration",
];

const operations = [api.runtime, api.admin].flatMap(({ state }) => Object.values(state.operations));

// "/v1/chat/users/{id}" as a pattern; a path without a hole is more exact than one with.
const pattern = ({ path }) => new RegExp(`^${path.replace(/\{[^}]+\}/g, "[^/]+")}$`);
const holes = ({ path }) => path.split("{").length;

function operationOf(method, path) {
  const fits = (one) => one.method === method.toLowerCase() && pattern(one).test(path);
  return operations.filter(fits).sort((a, b) => holes(a) - holes(b))[0];
}

const typeOf = (value) => {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
};

// Every place where a value is not as its schema says.
function problems(value, schema, at) {
  if (!schema || Object.keys(schema).length === 0) return [];
  if (value === null && schema.nullable) return [];
  const alternatives = schema.oneOf ?? schema.anyOf;
  if (alternatives) {
    const all = alternatives.map((one) => problems(value, one, at));
    return all.some((found) => found.length === 0) ? [] : all[0];
  }
  const parts = (schema.allOf ?? []).flatMap((one) => problems(value, one, at));
  const type = typeOf(value);
  if (schema.type && schema.type !== type && !(schema.type === "number" && type === "integer")) {
    return [...parts, `${at} is ${type}, not ${schema.type}`];
  }
  return [...parts, ...limits(value, schema, at), ...members(value, schema, at)];
}

function limits(value, schema, at) {
  const found = [];
  if (schema.enum && !schema.enum.includes(value)) found.push(`${at} is none of ${schema.enum.join(", ")}`);
  if (typeof value === "string") {
    const length = [...value].length;
    if (length < (schema.minLength ?? 0)) found.push(`${at} is shorter than ${schema.minLength}`);
    if (length > (schema.maxLength ?? Infinity)) found.push(`${at} is longer than ${schema.maxLength}`);
    if (schema.pattern && !new RegExp(schema.pattern, "u").test(value)) found.push(`${at} does not match ${schema.pattern}`);
  }
  if (Array.isArray(value) && value.length > (schema.maxItems ?? Infinity)) found.push(`${at} has too many items`);
  return found;
}

function members(value, schema, at) {
  if (Array.isArray(value)) return value.flatMap((item, index) => problems(item, schema.items, `${at}[${index}]`));
  if (typeOf(value) !== "object") return [];
  const found = (schema.required ?? []).filter((name) => !(name in value)).map((name) => `${at}.${name} is missing`);
  const others = schema.additionalProperties;
  for (const [name, member] of Object.entries(value)) {
    const own = schema.properties?.[name];
    if (own) found.push(...problems(member, own, `${at}.${name}`));
    else if (others === false) found.push(`${at}.${name} is not described`);
    else if (typeof others === "object") found.push(...problems(member, others, `${at}.${name}`));
  }
  return found;
}

const bodies = new Map();
const wrong = [];
for await (const line of createInterface({ input: createReadStream(process.argv[2]) })) {
  const { method, path, body } = JSON.parse(line);
  const operation = operationOf(method, path);
  if (!operation?.requestBody) {
    wrong.push(`${method} ${path} takes no body, or does not exist`);
    continue;
  }
  const { name, requestBody } = operation;
  bodies.set(name, [...(bodies.get(name) ?? []), body]);
  wrong.push(...problems(body, requestBody.schema, name));
}
for (const [name, sent] of bodies) console.log(`${String(sent.length).padStart(6)}  ${name}`);
wrong.push(...CALLED.filter((name) => !bodies.has(name)).map((name) => `${name} was not called`));

for (const [name, [body]] of bodies) {
  const { schema } = operations.find((one) => one.name === name).requestBody;
  const spoiled = [{ ...body, undescribed: true }];
  for (const required of schema.required ?? []) {
    const { [required]: _, ...rest } = body;
    spoiled.push(rest);
  }
  const passed = spoiled.filter((one) => problems(one, schema, name).length === 0);
  if (passed.length > 0) wrong.push(`${name}: ${passed.length} spoiled bodies would pass`);
}

for (const problem of new Set(wrong)) console.log(`FAILED  ${problem}`);
console.log(wrong.length === 0 ? "every body is as it is described" : `${wrong.length} problems`);
process.exit(wrong.length === 0 ? 0 : 1);
