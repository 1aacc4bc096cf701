import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { runPlugin } from "./plugin.ts";

/** A directory with one plugin that is a shell script. */
function scripted(script: string): { readonly dirs: readonly string[] } & Disposable {
  const dir = mkdtempSync(join(tmpdir(), "berth-plugin-"));
  writeFileSync(join(dir, "fake"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return { dirs: ["/nonexistent", dir], [Symbol.dispose]: () => rmSync(dir, { recursive: true }) };
}

const call = { command: "ADD" as const, containerId: "c1", netnsPath: "/n", config: { type: "fake", x: 1 } };

test("runPlugin: the configuration is on stdin, the parameters in the environment, the result on stdout", async () => {
  using plugin = scripted(
    'printf \'{"in":%s,"env":"%s %s %s %s"}\' "$(cat)" $CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME',
  );
  assert.deepEqual(await runPlugin({ ...call, dirs: plugin.dirs }), {
    in: { type: "fake", x: 1 },
    env: "ADD c1 /n eth0",
  });
});

test("runPlugin: an error object, plain text, and silence are told apart; a full range is ResourceExhausted", async () => {
  const fails = async (
    script: string,
    code: "FailedPrecondition" | "ResourceExhausted",
    text: RegExp,
  ): Promise<void> => {
    using plugin = scripted(script);
    await assert.rejects(runPlugin({ ...call, dirs: plugin.dirs }), (e) => isCode(e, code) && text.test(e.message));
  };
  await fails(
    'echo \'{"code":7,"msg":"no bridge","details":"modprobe"}\'; exit 1',
    "FailedPrecondition",
    /ADD: no bridge: modprobe$/,
  );
  await fails("echo broken >&2; exit 2", "FailedPrecondition", /broken/);
  await fails("exit 3", "FailedPrecondition", /ended with 3/);
  await fails('echo \'{"msg":"no IP addresses available in range set"}\'; exit 1', "ResourceExhausted", /no IP/);
});

test("runPlugin: a missing plugin is named with the places where it was looked for", async () => {
  await assert.rejects(
    runPlugin({ ...call, dirs: ["/nonexistent"] }),
    (e) => isCode(e, "FailedPrecondition") && /fake in \/nonexistent/.test(e.message),
  );
});

test("runPlugin: the signal ends it", async () => {
  using plugin = scripted("exec sleep 60");
  await assert.rejects(runPlugin({ ...call, dirs: plugin.dirs, signal: AbortSignal.timeout(50) }), {
    name: "TimeoutError",
  });
});
