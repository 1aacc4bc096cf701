import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { busyboxLayout, derive } from "./fixtures.ts";
import { ok, probe, Store, tool } from "./harness.ts";

const skip = probe("umoci");
const dir = mkdtempSync(join(tmpdir(), "berth-local-"));
const N = ["--network", "none"];
let layout = "";
let store: Store;

before(() => {
  if (skip) return;
  layout = busyboxLayout(dir);
  derive(layout, "busybox", "second", (root) => writeFileSync(join(root, "etc/second"), "x".repeat(50_000)));
  tool("umoci", "config", "--image", `${layout}:second`, "--config.label", "kind=second");
  store = new Store();
});

beforeEach(() => {
  if (!skip) ok(store.berth("load", "-q", "-i", layout));
});

after(async () => {
  if (!skip) await store[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

const t = (name: string, body: () => void | Promise<void>): void => void test(name, { skip, timeout: 120_000 }, body);

const names = (): readonly string[] =>
  ok(store.berth("images", "--format", "{{.Repository}}:{{.Tag}}"))
    .split("\n")
    .filter(Boolean)
    .sort();

t("history: newest first, one line a step, with the sizes of unpacked layers", () => {
  const out = ok(store.berth("history", "second"));
  assert.match(out, /^IMAGE +CREATED +CREATED BY +SIZE +COMMENT\n/);
  const id = ok(store.berth("images", "-q", "second")).trim();
  const rows = ok(store.berth("history", "--format", "{{.ID}} {{.Size}}", "second"))
    .trim()
    .split("\n");
  assert.equal(rows[0]?.split(" ")[0], id);
  assert.ok(rows.slice(1).every((row) => row.startsWith("<missing> ")));
  const sizes = ok(store.berth("history", "--human=false", "--format", "{{.Size}}", "second"))
    .trim()
    .split("\n");
  assert.ok(sizes.includes("50000"), sizes.join());
  assert.equal(ok(store.berth("history", "-q", "--no-trunc", "second")).split("\n")[0]?.length, 71);
  assert.equal(store.berth("history", "nosuch").code, 1);
});

t("images --tree: a shared layer stands once, above what is built on it", () => {
  const lines = ok(store.berth("images", "--tree")).trimEnd().split("\n");
  assert.equal(lines.length, 2, lines.join("\n"));
  assert.match(lines[0] ?? "", /^└─ [0-9a-f]{12} \S+ {2}busybox:latest$/);
  assert.match(lines[1] ?? "", /^ {3}└─ [0-9a-f]{12} \S+ {2}second:latest$/);
});

t("untag: several names, all names, and names of others; the image stays", () => {
  for (const name of ["a:1", "a:2", "a:3"]) ok(store.berth("tag", "second", name));
  assert.equal(ok(store.berth("untag", "second", "a:1", "a:2")), "Untagged: a:1\nUntagged: a:2\n");
  const foreign = store.berth("untag", "second", "a:3", "busybox");
  assert.equal(foreign.code, 1);
  assert.match(foreign.err, /untag image second: it has no name docker\.io\/library\/busybox:latest/);
  assert.ok(names().includes("a:3"));
  const id = ok(store.berth("images", "-q", "second")).trim();
  ok(store.berth("untag", "second"));
  assert.deepEqual(names(), ["<none>:<none>", "busybox:latest"]);
  assert.equal(ok(store.berth("run", "--rm", ...N, id, "echo", "there")), "there\n");
});

t("rmi: what a running container uses cannot be forced, what a stopped one uses can", () => {
  const id = ok(store.berth("run", "-d", ...N, "second", "sleep", "1000")).trim();
  assert.match(store.berth("rmi", "second").err, /a running container uses it\nhint: stop/);
  assert.equal(store.berth("rmi", "-f", "second").code, 1);
  ok(store.berth("stop", "-t", "0", id));
  assert.match(store.berth("rmi", "second").err, /a container uses it/);
  assert.match(ok(store.berth("rmi", "-f", "second")), /Untagged: second:latest\nDeleted: sha256:/);
  ok(store.berth("rm", id));
});

t("image prune: nameless images, with -a all unused, by filters; asks unless forced", () => {
  ok(store.berth("untag", "second"));
  const asked = store.berth("image", "prune");
  assert.equal(asked.code, 1);
  assert.match(asked.err, /nobody can be asked\nhint: give --force/);
  assert.match(ok(store.berth("image", "prune", "-f", "--filter", "label=other")), /^Total reclaimed space: 0B\n$/);
  const out = ok(store.berth("image", "prune", "-f"));
  assert.match(
    out,
    /^Deleted Images:\ndeleted: sha256:\w+\ndeleted: sha256:\w+\n\nTotal reclaimed space: [5-9]\d\.\d+kB\n$/,
  );
  assert.deepEqual(names(), ["busybox:latest"]);
  ok(store.berth("load", "-q", "-i", layout));
  const user = ok(store.berth("create", ...N, "busybox")).trim();
  assert.match(ok(store.berth("image", "prune", "-af", "--filter", "label!=kind")), /^Total reclaimed space: 0B/);
  assert.match(ok(store.berth("image", "prune", "-af")), /untagged: second:latest\n/);
  assert.deepEqual(names(), ["busybox:latest"]);
  assert.match(store.berth("image", "prune", "-f", "--filter", "odd=1").err, /invalid filter 'odd'\nhint: /);
  ok(store.berth("rm", user));
});

t("system df: shared layers count once; system prune frees what it says", () => {
  const field = (format: string): readonly string[] =>
    ok(store.berth("system", "df", "--format", format))
      .trim()
      .split("\n");
  assert.match(ok(store.berth("system", "df")), /^TYPE +TOTAL +ACTIVE +SIZE +RECLAIMABLE\nImages +2 +0 /);
  const [both] = field("{{.Size}}");
  ok(store.berth("tag", "second", "zzz"));
  assert.deepEqual(field("{{.Size}}")[0], both);
  const verbose = ok(store.berth("system", "df", "-v"));
  const rows = verbose.split("\n").filter((line) => /^(busybox|second) /.test(line));
  assert.equal(rows.length, 2, verbose);
  // Only the second has something of its own beside documents.
  const base = rows.find((row) => row.startsWith("busybox"))?.split(/ {2,}/);
  assert.ok(base !== undefined && /^\d{3,4}B$|^\d\.\d+kB$/.test(base[6] ?? ""), verbose);
  const id = ok(
    store.berth("run", ...N, "-d", "-v", "/data", "busybox", "sh", "-c", "head -c 100000 /dev/zero >/big"),
  ).trim();
  ok(store.berth("wait", id));
  assert.deepEqual(field("{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}").slice(1), [
    "Containers 1 0 100kB 100kB (100%)",
    "Local Volumes 1 1 0B 0B",
  ]);
  const out = ok(store.berth("system", "prune", "-f", "-a", "--volumes"));
  assert.match(out, new RegExp(`^Deleted Containers:\n${id}\n\nDeleted Volumes:\n\\w{64}\n\nDeleted Images:\n`));
  assert.deepEqual(field("{{.TotalCount}} {{.Size}}"), ["0 0B", "0 0B", "0 0B"]);
});
