import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { bundle, keel, keelDetached, skip, sleeping, state } from "./harness.ts";

const base = mkdtempSync(join(tmpdir(), "keel-pidfd-"));
after(() => rmSync(base, { recursive: true, force: true }));
const program = join(base, "receive");
const source = join(import.meta.dirname, "native/receive-fd.c");
const noReceiver: string | false =
  skip || (spawnSync("gcc", ["-O", "-o", program, source]).status === 0 ? false : "needs gcc");

/** Runs `send` with a socket's path, and returns what came out of that socket. */
async function received(name: string, send: (path: string) => void): Promise<string> {
  const path = join(base, name);
  const child = spawn(program, [path], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout.on("data", (data) => {
    text += data;
  });
  await once(child.stdout, "data");
  send(path);
  await once(child, "close");
  return text;
}

test("pidfd socket: create, exec and crun's annotation send a pidfd of the new process", {
  skip: noReceiver,
}, async () => {
  const made = bundle(["sleep", "1000"]);
  const created = await received("create", (path) => {
    assert.equal(keelDetached("create", "--pidfd-socket", path, "-b", made.dir, made.id).code, 0);
  });
  assert.match(created, new RegExp(`^Pid:\\t${state(made.id).pid}$`, "m"));
  keel("delete", "--force", made.id);
  const running = sleeping();
  const executed = await received("exec", (path) => {
    assert.equal(keel("exec", "--pidfd-socket", path, running.id, "true").code, 0);
  });
  assert.match(executed, /^pidfd$/m);
  const path = join(base, "annotation");
  const told = await received("annotation", () => {
    sleeping((spec) => {
      spec.annotations = { "run.oci.pidfd_receiver": path };
    });
  });
  assert.match(told, /^Pid:\t[1-9]/m);
});

test("pidfd socket: one that is not there fails the create, and leaves nothing", { skip }, () => {
  const made = bundle(["true"]);
  const told = keelDetached("create", "--pidfd-socket", "/nowhere/sock", "-b", made.dir, made.id);
  assert.equal(told.code, 1);
  assert.match(told.err, /connect to pidfd socket \/nowhere\/sock: no such file or directory/);
  assert.equal(state(made.id), undefined);
});
