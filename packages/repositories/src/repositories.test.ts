import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import * as content from "@berth/content";
import { type Digest, OCI_MANIFEST, parseStoredManifest } from "@berth/oci";
import { openState } from "@berth/state";
import { migrations, openRepositories } from "./index.ts";

const { digestOf } = content;

function scratch() {
  const root = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "berth-repositories-"));
  const state = openState(join(root, "berth.db"), [...content.migrations, ...migrations]);
  const blobs = content.openContent({ state, root });
  const repositories = openRepositories({ state, content: blobs });
  let uploads = 0;
  return {
    state,
    content: blobs,
    repositories,
    push: async (name: string, text: string): Promise<Digest> => {
      const upload = repositories.beginUpload(name, `upload-${uploads++}`);
      await upload.append([Buffer.from(text)] as never);
      await repositories.commitUpload(name, upload, digestOf(text));
      return digestOf(text);
    },
    put: (name: string, tags: readonly string[], layers: readonly Digest[], subject?: Digest): Digest => {
      const entry = (digest: Digest) => ({ mediaType: "x", digest, size: 1 });
      const bytes = Buffer.from(
        JSON.stringify({ schemaVersion: 2, layers: layers.map(entry), ...(subject && { subject: entry(subject) }) }),
      );
      const document = parseStoredManifest(bytes, "test", OCI_MANIFEST);
      repositories.putManifest(name, { bytes, digest: digestOf(bytes), document, tags });
      return digestOf(bytes);
    },
    /** As if so long had passed since anybody asked for a blob. */
    age: (ms: number) => state.db.prepare("UPDATE repository_blob SET used_at_ms = used_at_ms - ?").run(ms),
    [Symbol.dispose]() {
      state[Symbol.dispose]();
      rmSync(root, { recursive: true });
    },
  };
}

const DAY_MS = 86_400_000;

test("verify: manifests and named blobs without a file; not what was deleted, never came or may have expired", async () => {
  using s = scratch();
  const [named, deleted, lone] = await Promise.all(["named", "deleted", "lone"].map((text) => s.push("app", text)));
  const absent = digestOf("never came");
  const manifest = s.put("app", ["v1"], [named, deleted, absent] as Digest[]);
  assert.deepEqual(s.repositories.verify(), []);
  s.repositories.removeBlob("app", deleted as Digest);
  for (const digest of [named, deleted, lone, manifest]) s.content.discard(digest as Digest);
  assert.deepEqual(s.repositories.verify(), [
    { repository: "app", kind: "blob", digest: named },
    { repository: "app", kind: "manifest", digest: manifest },
  ]);
});

test("usedBlobs: what a manifest names and manifests themselves; others for a day since they were asked for", async () => {
  using s = scratch();
  const [named, fresh, asked, old] = await Promise.all(
    ["named", "fresh", "asked", "old"].map((text) => s.push("app", text)),
  );
  const manifest = s.put("app", ["v1"], [named as Digest]);
  assert.equal(s.repositories.usedBlobs().size, 5);
  s.age(DAY_MS - 1000);
  s.repositories.findBlob("app", asked as Digest);
  s.repositories.mountBlob("other", fresh as Digest, "app");
  s.age(2000);
  assert.deepEqual(s.repositories.usedBlobs(), new Set([manifest, named, asked, fresh]));
  assert.ok(!s.repositories.usedBlobs().has(old as Digest));
  s.repositories.removeTag("app", "v1");
  assert.ok(s.repositories.usedBlobs().has(manifest), "a manifest without a tag stays");
  s.repositories.removeManifest("app", manifest);
  assert.deepEqual(s.repositories.usedBlobs(), new Set([asked, fresh]));
});

test("a manifest keeps the blobs of its own repository only", async () => {
  using s = scratch();
  const layer = await s.push("one", "layer");
  s.put("two", ["v1"], [layer]);
  s.age(2 * DAY_MS);
  assert.ok(!s.repositories.usedBlobs().has(layer), "two names it, but it was never pushed there");
  s.put("one", ["v1"], [layer]);
  assert.ok(s.repositories.usedBlobs().has(layer));
});

test("findBlob: in its repository only, and not when the store has lost it", async () => {
  using s = scratch();
  const digest = await s.push("app", "text");
  assert.equal(s.repositories.findBlob("app", digest)?.sizeBytes, 4);
  assert.equal(s.repositories.findBlob("other", digest), undefined);
  s.content.discard(digest);
  assert.equal(s.repositories.findBlob("app", digest), undefined);
  assert.equal(s.repositories.mountBlob("other", digest, "app"), false);
  assert.equal(await s.push("app", "text"), digest);
  assert.equal(s.repositories.findBlob("app", digest)?.sizeBytes, 4);
});

test("tags move, and go with their manifest", () => {
  using s = scratch();
  const [one, two] = [s.put("app", ["v1", "v2"], []), s.put("app", ["v2"], [digestOf("x")])];
  assert.equal(s.repositories.findManifest("app", "v1")?.digest, one);
  assert.equal(s.repositories.findManifest("app", "v2")?.digest, two);
  assert.ok(s.repositories.removeManifest("app", two));
  assert.equal(s.repositories.findManifest("app", "v2"), undefined);
  assert.deepEqual(s.repositories.listTags("app", { limit: 10 }), { items: ["v1"], more: false });
  assert.equal(s.repositories.findManifest("other", one), undefined);
});

test("listReferrers: pages by digest, none of other repositories", () => {
  using s = scratch();
  const subject = digestOf("subject");
  const all = ["a", "b", "c"].map((text) => s.put("app", [], [digestOf(text)], subject)).sort();
  s.put("other", [], [], subject);
  const first = s.repositories.listReferrers("app", subject, { limit: 2 });
  assert.deepEqual([first.items.map((one) => one.digest), first.more], [all.slice(0, 2), true]);
  const rest = s.repositories.listReferrers("app", subject, { limit: 2, after: all[1] });
  assert.deepEqual([rest.items.map((one) => one.digest), rest.more], [all.slice(2), false]);
});
