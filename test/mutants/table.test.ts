import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { readDocument, renderDocument } from "./document.ts";
import { findTests } from "./names.ts";
import { ROWS } from "./table.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const names: ReadonlySet<string> = new Set(findTests(ROOT).keys());

test("mutants: every test that the table names is there", () => {
  const named = ROWS.flatMap(({ tests, weaken }) => [...tests, ...weaken.map((each) => each.test)]);
  assert.deepEqual(
    named.filter((name) => !names.has(name)),
    [],
  );
});

test("mutants: every piece of source to be replaced is there exactly once", () => {
  const edits = ROWS.flatMap(({ weaken }) => weaken.flatMap((each) => each.edits));
  const missing = edits.filter(({ file, search }) => readFileSync(join(ROOT, file), "utf8").split(search).length !== 2);
  assert.deepEqual(missing, [], "a guard was moved or changed: change test/mutants/table-*.ts with it");
});

test("mutants: every row has a test and a weakened build, and no name is there twice", () => {
  for (const { id, tests, weaken } of ROWS) assert.ok(tests.length > 0 && weaken.length > 0, id);
  const labels = ROWS.flatMap(({ id, weaken }) => weaken.map(({ name }) => `${id}: ${name}`));
  assert.equal(new Set(labels).size, labels.length);
});

test("mutants: docs/security-tests.md is what the table says", () => {
  assert.equal(readDocument(ROOT), renderDocument(ROOT), "run: npm run mutants -- --document");
});
