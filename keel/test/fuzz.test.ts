import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { keel, skip, sleeping, stateDir } from "./harness.ts";

const FUZZ = resolve(import.meta.dirname, "../../test/fuzz/run.ts");

test("fuzz: bundles with changed documents: keel ends by itself, says why, and leaves nothing behind", { skip }, () => {
  const args = [FUZZ, "--target", "binary", "--rounds", "150", "--seed", "1"];
  const done = spawnSync(process.execPath, args, { encoding: "utf8" });
  assert.equal(done.status, 0, done.stdout + done.stderr);
});

test("fuzz: a state that a crash cut or changed is told, hides no other container, and can be removed", {
  skip,
}, () => {
  const broken = sleeping();
  const other = sleeping();
  const file = join(stateDir(broken.id), "state.json");
  const record = JSON.parse(readFileSync(file, "utf8")) as { pid: number; cgroups: string[] };
  for (const text of ["", "{", "null", "[]", '{"id":"x"}', '{"id":7,"pid":-1}', '{"id":"x","pid":0,"cgroups":[]}']) {
    writeFileSync(file, text);
    for (const command of ["state", "start", "kill", "delete", "pause", "ps"]) {
      const told = keel(command, broken.id);
      assert.equal(told.code, 1, `${command} with ${text}`);
      assert.match(told.err, /read the state of container .*: /, `${command} with ${text}`);
    }
    const list = keel("list", "-q");
    assert.match(list.out, new RegExp(`^${other.id}$`, "m"));
  }
  assert.equal(keel("delete", "--force", broken.id).code, 0);
  assert.equal(existsSync(stateDir(broken.id)), false);
  process.kill(record.pid, "SIGKILL");
  for (const path of record.cgroups)
    spawnSync("sh", ["-c", `until rmdir ${path} 2>/dev/null || [ ! -e ${path} ]; do sleep 0.01; done`]);
});
