import "../testing.ts";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { MonitorConfig } from "@berth/protocol";

const { parseConfig } = await import("./config.ts");

const good: MonitorConfig = {
  id: "c1",
  bundle: "/b",
  runtime: ["/usr/bin/keel"],
  terminal: false,
  stdin: false,
  stdinOnce: false,
  logPath: "",
  exitPath: "/b/exit",
  socketPath: "/b/s",
  pidFile: "/b/pid",
  mounts: [],
  netnsPath: "",
  autoCreate: true,
  exitCommand: [],
};

function problem(change: object): string {
  try {
    parseConfig(JSON.stringify({ ...good, ...change }));
  } catch (e) {
    return (e as { message: string }).message;
  }
  return "";
}

test("config: a good one passes; each wrong field is named", () => {
  assert.deepEqual(parseConfig(JSON.stringify(good)), good);
  assert.match(problem({ terminal: "yes" }), /terminal: must be a boolean/);
  assert.match(problem({ runtime: [] }), /runtime: must not be empty/);
  assert.match(problem({ runtime: ["runc"] }), /"runc": must be an absolute path/);
  assert.match(problem({ mounts: [{ type: "x" }] }), /mounts\[0\]\.target: is required/);
  assert.match(problem({ mounts: undefined }), /mounts: is required/);
  assert.match(problem({ exitPath: "exit" }), /"exit": must be an absolute path/);
  assert.match(problem({ id: "../x" }), /id: must be/);
  assert.match(problem({ bundle: "/b\u0000" }), /bundle: must be a string/);
  assert.throws(() => parseConfig("{"), { message: /^parse monitor configuration: / });
  assert.throws(() => parseConfig("null"), { message: /is required/ });
});
