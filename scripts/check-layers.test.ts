import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { findLayerFaults } from "./check-layers.ts";

/** Lays out a tree with these files, runs the check on it, removes it. */
function faultsOf(files: Readonly<Record<string, string>>): string[] {
  const root = mkdtempSync(join(tmpdir(), "berth-layers-"));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
      const workspace = path.split(/\/(?:src|test)\//)[0] ?? "";
      writeFileSync(join(root, workspace, "package.json"), "{}");
    }
    return findLayerFaults(root);
  } finally {
    rmSync(root, { recursive: true });
  }
}

test("layers: imports that go down pass, in each form of statement", () => {
  const faults = faultsOf({
    "packages/engine/src/index.ts":
      'import { a } from "@berth/images";\nimport type { B } from "@berth/oci";\nexport {\n  c,\n  d,\n} from "@berth/base";\n',
    "packages/images/src/index.ts": 'import { readFile } from "node:fs/promises";\nexport { a } from "./a.ts";\n',
    "packages/images/test/pull.ts": 'import { start } from "../../../test/docker-registry.ts";\n',
    "keel/src/main.ts": 'import { x } from "@berth/protocol";\nimport type { Spec } from "@berth/oci";\n',
  });
  assert.deepEqual(faults, []);
});

test("layers: an import that goes up, sideways or into a package's files is reported with file and reason", () => {
  const faults = faultsOf({
    "packages/images/src/up.ts": 'import { run } from "@berth/engine";\n',
    "packages/content/src/side.ts": 'import type { R } from "@berth/registry";\n',
    "packages/tasks/src/deep.ts": 'const m = await import("@berth/base/src/error.ts");\n',
    "packages/state/src/out.ts": 'import { x } from "../../base/src/index.ts";\n',
    "packages/state/src/test.ts": 'import { y } from "../../../test/docker-registry.ts";\n',
    "packages/novel/src/index.ts": "export const a = 1;\n",
  });
  assert.deepEqual(faults, [
    "novel: package has no rank in scripts/layers.ts",
    "packages/content/src/side.ts: @berth/registry: rank 3 may not import rank 3",
    "packages/images/src/up.ts: @berth/engine: rank 5 may not import rank 6",
    "packages/state/src/out.ts: ../../base/src/index.ts: a relative import may not leave its workspace",
    "packages/state/src/test.ts: ../../../test/docker-registry.ts: a relative import may not leave its workspace",
    "packages/tasks/src/deep.ts: @berth/base/src/error.ts: import the package, not a file in it",
  ]);
});

test("layers: keel is an island, and pure packages import no module with effects", () => {
  const faults = faultsOf({
    "keel/src/a.ts": 'import { BerthError } from "@berth/base";\nimport { parse } from "@berth/oci";\n',
    "packages/engine/src/a.ts": 'import { create } from "@berth/keel";\n',
    "packages/oci/src/a.ts": 'import { readFileSync } from "node:fs";\n',
    "packages/oci/src/a.test.ts": 'import { test } from "node:test";\n',
  });
  assert.deepEqual(faults, [
    "keel/src/a.ts: @berth/base: keel may import only protocol and types of oci",
    "keel/src/a.ts: @berth/oci: keel may import only types of oci",
    "packages/engine/src/a.ts: @berth/keel: nobody imports keel: reach it by command line and socket",
    "packages/oci/src/a.ts: node:fs: oci is pure: it may import no module but ours",
  ]);
});
