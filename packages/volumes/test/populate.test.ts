import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { openState } from "@berth/state";
import { migrations, openVolumes } from "../src/index.ts";

const skip = process.getuid?.() === 0 ? false : "needs root";

function sh(script: string, cwd: string): string {
  const done = spawnSync("sh", ["-euc", script], { cwd, encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout;
}

test("populate: owners, set-id bits, hard links, links, devices and extended attributes are kept", {
  skip,
}, async () => {
  // Not the temporary directory, which may be a tmpfs without user attributes.
  const dir = mkdtempSync(join(process.cwd(), ".berth-populate-"));
  try {
    using state = openState(join(dir, "berth.db"), migrations);
    const volumes = openVolumes({ state, root: dir });
    const source = join(dir, "root/data");
    mkdirSync(source, { recursive: true });
    sh(
      "chown 33:50 .; chmod 1770 .; echo x >a; ln a b; chown 7:8 a; chmod 4711 a; ln -s /nowhere c; mknod d c 1 3; mkfifo e; mkdir -m 2700 f; touch -d @1000000000 f",
      source,
    );
    const withXattr = spawnSync("setfattr", ["-n", "user.berth", "-v", "1", join(source, "a")]).status === 0;
    const { path } = volumes.ensure("all");
    await volumes.populate("all", join(dir, "root"), "/data");
    const list = "find . -printf '%p %y %m %U %G %n %T@ %l\\n' | sort; stat -c '%n %t:%T' d";
    assert.equal(sh(list, path), sh(list, source));
    if (withXattr) assert.match(sh("getfattr -n user.berth a", path), /user\.berth="1"/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
