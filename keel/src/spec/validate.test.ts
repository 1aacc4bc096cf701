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
  const spec = JSON.parse(JSON.stringify(defaultSpec({ rootless: false, uid: 0, gid: 0, unified: true }))) as Loose;
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

test("validate: a field in another case is that field, as for runc, unless the field itself is there", () => {
  const spec = JSON.parse(JSON.stringify(defaultSpec({ rootless: false, uid: 0, gid: 0, unified: true }))) as Loose;
  delete (spec["process"] as Loose)["noNewPrivileges"];
  Object.assign(spec["process"] as object, { NoNewPrivileges: true, CWD: "relative" });
  Object.assign(spec["linux"] as object, { resources: { hugepageLimits: [{ pagesize: "2MB", limit: 1 }] } });
  const checked = validateSpec(spec) as unknown as Loose;
  assert.equal(checked["process"]?.["noNewPrivileges"], true);
  assert.equal(checked["process"]?.["cwd"], "/");
  assert.deepEqual(checked["linux"]?.["resources"]?.["hugepageLimits"]?.[0], { limit: 1, pageSize: "2MB" });
});

const cases: readonly [string, (spec: Loose) => void, RegExp][] = [
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
  [
    "a uid that the kernel reads as 'no change' and would leave root",
    (s) => Object.assign(s["process"] as object, { user: { uid: 4294967295, gid: 0 } }),
    /process\.user\.uid: must be an integer from 0 to 4294967294/,
  ],
  [
    "a gid that is 0 in 32 bits",
    (s) => Object.assign(s["process"] as object, { user: { uid: 1, gid: 4294967296 } }),
    /process\.user\.gid: must be an integer from 0 to 4294967294/,
  ],
  [
    "an errno that is 0 in 16 bits",
    (s) =>
      Object.assign(s["linux"] as object, { seccomp: { defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 65536 } }),
    /linux\.seccomp\.defaultErrnoRet: must be at most 65535/,
  ],
  [
    "a device number that is another one in 32 bits",
    (s) =>
      Object.assign(s["linux"] as object, { devices: [{ path: "/dev/x", type: "c", major: 4294967297, minor: 3 }] }),
    /linux\.devices\[0\]\.major: must be at most 4294967295/,
  ],
  [
    "a limit past 64 bits",
    (s) => Object.assign(s["linux"] as object, { resources: { memory: { limit: "99999999999999999999" } } }),
    /linux\.resources\.memory\.limit: must be a 64-bit integer/,
  ],
  [
    "a soft limit above the hard one",
    (s) =>
      Object.assign(s["process"] as object, { rlimits: [{ type: "RLIMIT_CORE", soft: -1, hard: "9007199254740993" }] }),
    /process\.rlimits\[0\]\.soft: must be at most hard/,
  ],
  [
    "mappings that overlap, are empty or too long",
    (s) => {
      const uidMappings = [
        { containerID: 0, hostID: 1000, size: 10 },
        { containerID: 9, hostID: 5000, size: 1 },
        { containerID: 20, hostID: 6000, size: 0 },
        { containerID: 30, hostID: 4294967290, size: 10 },
      ];
      Object.assign(s["linux"] as object, { uidMappings });
    },
    /linux\.uidMappings\[1\]: overlaps with linux\.uidMappings\[0\]; linux\.uidMappings\[2\]\.size: must be 1 or more; linux\.uidMappings\[3\]: must end before 4294967295, ends at 4294967300/,
  ],
  [
    "a host name past the kernel's limit",
    (s) => Object.assign(s, { hostname: "x".repeat(65) }),
    /hostname: must be at most 64 bytes, has 65/,
  ],
  [
    "the name of a method as a namespace",
    (s) => namespacesOf(s).push({ type: "constructor" }),
    /^invalid config\.json: linux\.namespaces\[6\]\.type: must be one of [^;]*, is "constructor"$/,
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
