import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { BerthError, isCode } from "@berth/base";
import {
  type Descriptor,
  type Digest,
  INDEX_TYPES,
  type Index,
  OCI_CONFIG,
  OCI_MANIFEST,
  type Platform,
  parseManifest,
  parsePlatform,
  type Searched,
  searchIndex,
} from "./index.ts";

const INDEX = INDEX_TYPES[0] ?? "";
const HOST: Platform = { os: "linux", architecture: "amd64" };
const platform = (text: string): Platform => parsePlatform(text, HOST);

/** Documents by digest; `asked` are those that were read. */
class Tree {
  readonly kept = new Map<string, Buffer>();
  readonly names = new Map<string, string>();
  readonly configs = new Map<string, Platform | undefined>();
  readonly asked: string[] = [];

  #put(value: object, mediaType: string, name: string, of?: string): Descriptor {
    const bytes = Buffer.from(JSON.stringify(value));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}` as Digest;
    this.kept.set(digest, bytes);
    this.names.set(digest, name);
    return { mediaType, digest, size: bytes.length, ...(of === undefined ? {} : { platform: platform(of) }) };
  }

  /** @param of what the index says; @param config what only the configuration says */
  image(name: string, of?: string, config?: string): Descriptor {
    const empty = { mediaType: OCI_CONFIG, digest: `sha256:${"0".repeat(64)}`, size: 2 };
    const value = { schemaVersion: 2, mediaType: OCI_MANIFEST, config: empty, layers: [], annotations: { name } };
    const entry = this.#put(value, OCI_MANIFEST, name, of);
    this.configs.set(name, config === undefined ? undefined : platform(config));
    return entry;
  }

  index(name: string, manifests: readonly Descriptor[], of?: string): Descriptor {
    return this.#put({ schemaVersion: 2, mediaType: INDEX, manifests, annotations: { name } }, INDEX, name, of);
  }

  /** Names of the documents on the way, without the root; undefined: nothing. */
  async search(root: Descriptor, want: string): Promise<readonly (string | undefined)[] | undefined> {
    const { documents } = await this.searched(root, want);
    return documents?.slice(1).map(({ digest }) => this.names.get(digest));
  }

  async searched({ digest }: Descriptor, want: string): Promise<Searched> {
    const bytes = this.kept.get(digest) ?? Buffer.alloc(0);
    const index = parseManifest(bytes, "root") as Index;
    return await searchIndex({ bytes, digest, mediaType: INDEX }, index, {
      what: "x",
      want: platform(want),
      read: async (entry) => {
        this.asked.push(this.names.get(entry.digest) ?? entry.digest);
        const found = this.kept.get(entry.digest);
        if (found === undefined) throw new BerthError("NotFound", `find ${entry.digest}`);
        return found;
      },
      platformOf: async ({ annotations }) => this.configs.get(annotations?.["name"] ?? ""),
    });
  }
}

test("searchIndex: the best platform of the whole tree, not of the first index that has one", async () => {
  const t = new Tree();
  const first = t.index("first", [t.image("v5", "linux/arm/v5"), t.image("amd", "linux/amd64")]);
  const second = t.index("second", [t.image("v6", "linux/arm/v6"), t.index("third", [t.image("v7", "linux/arm/v7")])]);
  const root = t.index("root", [first, second, t.image("own v5", "linux/arm/v5")]);
  assert.deepEqual(await t.search(root, "linux/arm/v7"), ["second", "third", "v7"]);
  assert.deepEqual(await t.search(root, "linux/arm/v6"), ["second", "v6"]);
  assert.deepEqual(await t.search(root, "linux/arm/v5"), ["own v5"], "an entry before what is nested");
  assert.deepEqual(await t.search(root, "linux/amd64"), ["first", "amd"]);
  const { documents, have } = await t.searched(root, "linux/s390x");
  assert.deepEqual([documents, have.length], [undefined, 5]);
});

test("searchIndex: what matches exactly ends the search, what is nested for another platform is not read", async () => {
  const t = new Tree();
  const arm = t.index("of arm", [t.image("a", "linux/amd64")], "linux/arm/v7");
  const later = t.index("later", [t.image("b", "linux/amd64")]);
  const root = t.index("root", [later, arm, t.image("own", "linux/amd64")]);
  assert.deepEqual(await t.search(root, "linux/amd64"), ["own"]);
  assert.deepEqual(t.asked, ["own"]);
  assert.deepEqual(await t.search(t.index("root2", [arm, later]), "linux/amd64"), ["later", "b"]);
  assert.ok(!t.asked.includes("of arm"));
});

test("searchIndex: without a platform the configuration tells, when nothing else suits; artifacts are passed over", async () => {
  const t = new Tree();
  const untold = t.index("untold", [
    t.image("artifact"),
    t.image("arm5", undefined, "linux/arm/v5"),
    t.image("arm7", undefined, "linux/arm/v7"),
  ]);
  const told = t.index("told", [t.image("v5", "linux/arm/v5")]);
  assert.deepEqual(await t.search(t.index("r1", [untold]), "linux/arm/v7"), ["untold", "arm7"]);
  assert.deepEqual(await t.search(t.index("r2", [untold, told]), "linux/arm/v7"), ["told", "v5"]);
  assert.equal(await t.search(t.index("r3", [untold]), "linux/amd64"), undefined);
  const odd = { ...t.image("odd", "linux/amd64"), mediaType: "application/vnd.example.thing" };
  assert.equal(await t.search(t.index("r4", [odd]), "linux/amd64"), undefined, "a type that nobody knows");
});

test("searchIndex: an index in several places is read once, one that is missing only matters when nothing else is there", async () => {
  const t = new Tree();
  const shared = t.index("shared", [t.image("v5", "linux/arm/v5")]);
  const gone = t.index("gone", [t.image("v7", "linux/arm/v7")]);
  t.kept.delete(gone.digest);
  const wrapped = t.index("wrapped", [shared]);
  assert.deepEqual(await t.search(t.index("r1", [shared, gone, wrapped, shared]), "linux/arm/v7"), ["shared", "v5"]);
  assert.equal(t.asked.filter((name) => name === "shared").length, 1);
  await assert.rejects(t.search(t.index("r2", [shared, gone]), "linux/amd64"), (e) => isCode(e, "NotFound"));
});

test("searchIndex: circles, depth, number and size are bounded", async () => {
  const t = new Tree();
  const refused = (root: Descriptor, message: RegExp): Promise<void> =>
    assert.rejects(t.search(root, "linux/amd64"), (e) => isCode(e, "InvalidArgument") && message.test(String(e)));
  let deep = t.image("leaf", "linux/amd64");
  for (let i = 0; i < 4; i++) deep = t.index(`deep${i}`, [deep]);
  assert.equal((await t.search(deep, "linux/amd64"))?.length, 4);
  await refused(t.index("deep4", [deep]), /nested too deep/);
  // Only bytes that are not what they are called can name themselves.
  const promised = t.index("promised", []);
  const circle = t.index("circle", [promised]);
  t.kept.set(promised.digest, Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [circle] })));
  await refused(circle, /nested in circles, by sha256:/);
  const many = Array.from({ length: 101 }, (_, i) => t.index(`${i}`, []));
  assert.equal(await t.search(t.index("hundred", many.slice(1)), "linux/amd64"), undefined);
  await refused(t.index("more", many), /more documents than are read/);
  await refused(t.index("big", [{ ...t.index("b", []), size: 33 << 20 }]), /more documents than are read/);
});
