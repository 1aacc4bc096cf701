import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { findDocFaults } from "./check-docs.ts";

test("docs: a link to a missing file or heading and a record that is too long are reported, the rest passes", () => {
  const root = mkdtempSync(join(tmpdir(), "berth-docs-"));
  try {
    mkdirSync(join(root, "docs/decisions"), { recursive: true });
    const links = "[ok](docs/a.md) [ok](docs/a.md#two-words) [ok](#top) [web](https://example.org/x) [gone](docs/b.md)";
    writeFileSync(join(root, "README.md"), `# Top\n${links} [bad](docs/a.md#three)\n`);
    writeFileSync(join(root, "docs/a.md"), "# Two words\n```\n[not a link](nowhere)\n```\n[up](../README.md)\n");
    writeFileSync(join(root, "docs/decisions/0001-x.md"), "line\n".repeat(41));
    assert.deepEqual(findDocFaults(root), [
      "README.md: docs/a.md#three: no heading has this anchor",
      "README.md: docs/b.md: nothing is there",
      "docs/decisions/0001-x.md: 41 lines: at most 40 are allowed",
    ]);
  } finally {
    rmSync(root, { recursive: true });
  }
});
