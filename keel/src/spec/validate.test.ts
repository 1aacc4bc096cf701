import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultSpec } from "./defaults.ts";
import { validateSpec } from "./validate.ts";

type Loose = { [key: string]: Loose } & Loose[];

function namespacesOf(spec: Loose): object[] {
  return (spec["linux"] as unknown as { readonly namespaces: object[] }).namespaces;
}

function broken(change: (spec: Loose) => void): string {
  const spec = JSON.parse(JSON.stringify(defaultSpec(false, 0, 0))) as Loose;
  change(spec);
  try {
    validateSpec(spec);
  } catch (error) {
    return (error as { message: string }).message;
  }
  return "accepted";
}

test("validate: the default spec is accepted", () => {
  assert.equal(
    broken(() => {}),
    "accepted",
  );
});

const cases: readonly [string, (spec: Loose) => void, RegExp][] = [
  ["no process", (s) => delete s["process"], /process: is required/],
  [
    "args of numbers",
    (s) => Object.assign(s["process"] as object, { args: [1] }),
    /process\.args\[0\]: must be a string/,
  ],
  ["empty args", (s) => Object.assign(s["process"] as object, { args: [] }), /process\.args: must name a program/],
  [
    "relative cwd",
    (s) => Object.assign(s["process"] as object, { cwd: "x" }),
    /process\.cwd: must be absolute, is "x"/,
  ],
  ["mounts no array", (s) => Object.assign(s, { mounts: {} }), /mounts: must be an array/],
  ["no root", (s) => delete s["root"], /root: is required/],
  ["namespace twice", (s) => namespacesOf(s).push({ type: "pid" }), /linux\.namespaces\[6\]\.type: pid is there twice/],
  ["unknown namespace", (s) => namespacesOf(s).push({ type: "net" }), /must be one of .*, is "net"/],
  [
    "unknown capability",
    (s) => Object.assign(s["process"] as object, { capabilities: { bounding: ["CAP_X"] } }),
    /unknown capability "CAP_X"/,
  ],
  [
    "host sysctl",
    (s) => Object.assign(s["linux"] as object, { sysctl: { "vm.swappiness": "1" } }),
    /is not namespaced/,
  ],
  [
    "sysctl climbing",
    (s) => Object.assign(s["linux"] as object, { sysctl: { "net/../vm/swappiness": "1" } }),
    /is not namespaced/,
  ],
  [
    "unified climbing",
    (s) => Object.assign(s["linux"] as object, { resources: { unified: { "../x": "1" } } }),
    /must be a file name/,
  ],
  [
    "rlimit twice",
    (s) =>
      Object.assign(s["process"] as object, {
        rlimits: [
          { type: "A", soft: 1, hard: 1 },
          { type: "A", soft: 1, hard: 1 },
        ],
      }),
    /is there twice/,
  ],
  ["NUL in a path", (s) => Object.assign(s["root"] as object, { path: "a\u0000b" }), /root\.path: must be a string/],
  [
    "hostname without uts",
    (s) => Object.assign(s, { linux: { namespaces: [{ type: "mount" }] } }),
    /hostname: needs a uts namespace/,
  ],
  [
    "uid too large",
    (s) => Object.assign(s["process"] as object, { user: { uid: 1e300, gid: 0 } }),
    /process\.user\.uid: must be an integer/,
  ],
];

for (const [name, change, expected] of cases) {
  test(`validate: ${name} is refused with its JSON path`, () => assert.match(broken(change), expected));
}

test("validate: null, arrays and scalars instead of a config are refused", () => {
  for (const value of [null, 1, "x", []])
    assert.throws(
      () => validateSpec(value),
      (e: { code?: string }) => e.code === "InvalidArgument",
    );
});
