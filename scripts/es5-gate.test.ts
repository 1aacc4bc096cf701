import assert from "node:assert/strict";
import { test } from "node:test";
import { findEs5Faults } from "./es5-gate.ts";

const cases: readonly (readonly [string, string, readonly string[]])[] = [
  ["plain ES5 passes", "var a = [1]; function f(b) { return b.length + a[0]; } f({ console: 1 }.console);", []],
  ["let and arrow functions", "let a = () => 1;", ["1: arrow function is not lowered", "1: let is not lowered"]],
  ["a missing global", "\nnew Map();", ["2: Map does not exist"]],
  ["a local of a missing global's name passes", "function f(Map) { return Map; }", []],
  ["a missing method", "'a'.padStart(3);", ["1: method padStart does not exist"]],
  ["regular expression flags", "/a/u.test('a');", ['1: regular expression flags "u": only g, i and m exist']],
  [
    "what keel's engine is built without",
    "Math.sin(new Date());",
    ["1: Date does not exist", "1: Math.sin is left out"],
  ],
  ["operators", "a ?? b;", ["1: operator ?? is not lowered"]],
];

for (const [name, code, faults] of cases) {
  test(`ES5 gate: ${name}`, () => assert.deepEqual([...findEs5Faults(code)].sort(), [...faults].sort()));
}
