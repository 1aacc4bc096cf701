/** Images and registries that lie: each pull ends with a clear error, in bounded memory and disk, and leaves nothing. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { dir, entry, file, hardlink, symlink, tar } from "../../keel/test/tar-writer.ts";
import { type BerthError, isCode } from "../../packages/base/src/index.ts";
import type { LayerLimits } from "../../packages/images/src/index.ts";
import { ARCHITECTURE, INDEX, MANIFEST, scratch, stored, whyNot } from "../../packages/images/test/fixture.ts";
import { openStore, type Store } from "../../packages/images/test/store.ts";
import type { ErrorCode } from "../../packages/protocol/src/index.ts";
import { digestOf, Evil, LAYER } from "./evil.ts";

const skip = whyNot();
const MIB = 1 << 20;

type Scene = { readonly evil: Evil; readonly store: Store; readonly root: string };

function t(name: string, body: (scene: Scene) => Promise<void>, limits?: LayerLimits): void {
  test(name, { skip, timeout: 60_000 }, async () => {
    using s = scratch();
    await using evil = await Evil.start();
    using store = openStore(s.dir, limits);
    await body({ evil, store, root: s.dir });
  });
}

/** The pull fails so, and nothing of it is there afterwards. */
async function refuses(
  { evil, store, root }: Scene,
  tag: string,
  code: ErrorCode,
  message: RegExp,
): Promise<BerthError> {
  const error = await store.images.pull(evil.name(tag)).then(
    () => assert.fail(`${tag} was pulled`),
    (e: unknown) => e as BerthError,
  );
  assert.ok(isCode(error, code), `${tag}: ${error.code}: ${error.message}`);
  assert.match(error.message, message, tag);
  assert.ok(error.message.length < 2000, tag);
  assert.deepEqual(store.images.list(), [], tag);
  // Whole layers wait for the next try until somebody collects.
  await store.images.collect();
  assert.deepEqual(store.snapshots.listLayers(), [], tag);
  for (const name of ["content/sha256", "snapshots"]) assert.deepEqual(stored(root, name), [], tag);
  return error;
}

const small = tar(file("a", "1\n"));
const noise = tar({ path: "noise", data: randomBytes(3 * MIB) });

t("bodies: longer than told, shorter, of another content, and none at all", async (scene) => {
  const { evil } = scene;
  const { digest } = evil.blob(noise);
  evil.image("1", [{ tar: noise }]);
  const changed = Buffer.from(noise);
  changed[5000] = (changed[5000] ?? 0) ^ 1;
  const bodies: readonly (readonly [string, Buffer, RegExp])[] = [
    ["longer", Buffer.concat([noise, Buffer.alloc(1000)]), /bytes/],
    ["much longer", Buffer.concat([noise, Buffer.alloc(20 * MIB)]), /bytes/],
    ["shorter", noise.subarray(0, -1000), /bytes/],
    ["empty", Buffer.alloc(0), /after 0 of/],
    ["changed", changed, /digest/],
  ];
  for (const [, body, message] of bodies) {
    evil.answer = (request, response, what) => {
      if (what !== `blobs/${digest}`) return false;
      evil.send(digest, request, response, body);
      return true;
    };
    await refuses(scene, "1", "DataLoss", message);
  }
  evil.answer = () => false;
  await scene.store.images.pull(evil.name("1"));
});

t(
  "a tag that moves with every question: the image that was seen first is pulled, and HEAD is never believed",
  async ({ evil, store }) => {
    let n = 0;
    evil.answer = (_, __, what) => {
      if (what === "manifests/moving") {
        const layer = tar(file("a", `${n}\n`));
        evil.image("moving", [{ tar: layer }, { tar: small }]);
        n++;
      }
      return false;
    };
    const { layers } = await store.images.pull(evil.name("moving"));
    assert.equal(layers[0]?.digest, digestOf(tar(file("a", "0\n"))));
    assert.deepEqual([n, evil.asked.filter(({ method }) => method !== "GET")], [1, []]);
  },
);

t(
  "documents: 10,000 layers, wrong diff ids, a size that is not the document's, another document under its digest",
  async (scene) => {
    const { evil } = scene;
    const layer = { mediaType: LAYER, ...evil.blob(small) };
    const config = { mediaType: "application/vnd.oci.image.config.v1+json", ...evil.blob(Buffer.from("{}")) };
    const many = { schemaVersion: 2, mediaType: MANIFEST, config, layers: Array<object>(10_000).fill(layer) };
    evil.document(many, MANIFEST, "many");
    await refuses(scene, "many", "InvalidArgument", /layers/);
    assert.equal(evil.asked.length, 1);
    evil.image("fewer", [{ tar: small }, { tar: noise }], { diffIds: [digestOf(small)] });
    await refuses(scene, "fewer", "InvalidArgument", /1 diff ids for 2 layers/);
    evil.image("swapped", [{ tar: small }, { tar: noise }], { diffIds: [digestOf(noise), digestOf(small)] });
    await refuses(scene, "swapped", "DataLoss", /diff id/);
    const child = evil.image("child", [{ tar: small }]);
    const platform = { os: "linux", architecture: ARCHITECTURE };
    evil.index([{ ...child, size: child.size + 1, platform }], "size");
    await refuses(scene, "size", "DataLoss", /bytes, its descriptor says/);
    evil.index([{ ...child, platform }], "lie");
    evil.answer = (_, response, what) => {
      if (what !== `manifests/${child.digest}`) return false;
      response.writeHead(200, { "content-type": MANIFEST }).end(Buffer.alloc(child.size, " "));
      return true;
    };
    await refuses(scene, "lie", "DataLoss", /digest/);
  },
);

t("indexes: in each other, in circles by lies, without end and without number", async (scene) => {
  const { evil, store } = scene;
  const image = evil.image("leaf", [{ tar: small }]);
  const platform = { os: "linux", architecture: ARCHITECTURE };
  const other = evil.image("foreign", [{ tar: noise }], { architecture: "s390x" });
  const s390x = { os: "linux", architecture: "s390x" };
  const dead = evil.index([{ ...other, platform: s390x }]);
  const inner = evil.index([
    { ...other, platform: s390x },
    { ...image, platform },
  ]);
  evil.index([dead, evil.index([inner])], "nested");
  await store.images.pull(evil.name("nested"));
  await store.images.remove(evil.name("nested"));
  let deep = image;
  for (let i = 0; i < 8; i++) deep = evil.index([i === 0 ? { ...deep, platform } : deep], `deep${i}`);
  await refuses(scene, "deep7", "InvalidArgument", /nested too deep/);
  const before = evil.asked.length;
  evil.index(
    Array.from({ length: 5000 }, (_, i) =>
      evil.document({ schemaVersion: 2, manifests: [], annotations: { i: `${i}` } }, INDEX),
    ),
    "wide",
  );
  await refuses(scene, "wide", "InvalidArgument", /nested/);
  assert.ok(evil.asked.length - before <= 101, `${evil.asked.length - before} questions`);
  // A circle needs a digest of what is not written yet: only a server that lies can make one.
  const promised = `sha256:${"a".repeat(64)}`;
  const circle = evil.index([{ mediaType: INDEX, digest: promised, size: 200, platform }], "circle");
  evil.answer = (request, response, what) => {
    if (what !== `manifests/${promised}`) return false;
    response
      .writeHead(302, { location: `http://${request.headers.host}/v2/test/evil/manifests/${circle.digest}` })
      .end();
    return true;
  };
  await refuses(scene, "circle", "DataLoss", /digest/);
});

t(
  "a pull of all platforms of an index that names more manifests than anybody needs is refused",
  async ({ evil, store }) => {
    const image = { ...evil.image("own", [{ tar: small }]), platform: { os: "linux", architecture: ARCHITECTURE } };
    const more = Array.from({ length: 1100 }, (_, i) =>
      evil.document({ schemaVersion: 2, mediaType: MANIFEST, annotations: { i: `${i}` }, layers: [] }, MANIFEST),
    );
    evil.index([image, ...more], "all");
    await assert.rejects(store.images.pull(evil.name("all"), { allPlatforms: true }), (e) =>
      isCode(e, "ResourceExhausted"),
    );
    assert.ok(evil.asked.length < 1100);
    await store.images.pull(evil.name("all"));
  },
);

const LIMITS: LayerLimits = { bytes: 50 * MIB, entries: 2000, ratio: 200 };

t(
  "bombs: of bytes and of entries are refused with the settings that allow more, and leave nothing",
  async (scene) => {
    const { evil, root } = scene;
    const zeros = Buffer.concat([entry(file("zeros", "", { size: 60 * MIB })), Buffer.alloc(60 * MIB + 1024)]);
    const files = tar(...Array.from({ length: 3000 }, (_, i) => file(`d/${i}`)));
    evil.image("gzip", [{ tar: small }, { tar: zeros, sent: gzipSync(zeros), suffix: "+gzip" }]);
    evil.image("zstd", [{ tar: zeros, sent: zstdCompressSync(zeros), suffix: "+zstd" }]);
    evil.image("files", [{ tar: files, sent: zstdCompressSync(files), suffix: "+zstd" }]);
    for (const [tag, message] of [
      ["gzip", /more bytes than are allowed/],
      ["zstd", /more bytes than are allowed/],
      ["files", /more entries than are allowed/],
    ] as const) {
      const error = await refuses(scene, tag, "InvalidArgument", message);
      assert.match(error.hint ?? "", /BERTH_MAX_LAYER_BYTES.*BERTH_MAX_LAYER_ENTRIES.*BERTH_MAX_LAYER_RATIO/);
    }
    assert.deepEqual(readdirSync(join(root, "ingest")), []);
  },
  LIMITS,
);

t(
  "layers that want out: links to /, a/b behind them, hard links to a symlink outside, whiteouts of ..",
  async (scene) => {
    const { evil, store, root } = scene;
    const escapes = {
      "a to /": tar(symlink("a", "/"), file("a/etc-escaped", "x")),
      "a up": tar(symlink("a", "../../../../.."), dir("a/x"), file("a/x/escaped", "x")),
      "hard link to a link": tar(symlink("l", "/etc/passwd"), hardlink("h", "l"), file("h", "changed\n")),
      dots: tar(file("../../../escaped", "x"), file("/../escaped2", "x")),
    };
    const passwd = readFileSync("/etc/passwd", "utf8");
    for (const [name, layer] of Object.entries(escapes)) {
      evil.image("out", [{ tar: layer }]);
      await store.images.pull(evil.name("out"));
      assert.ok(!existsSync("/etc-escaped") && !existsSync("/escaped") && !existsSync("/x/escaped"), name);
      assert.deepEqual(
        readdirSync(root).filter((file) => file.includes("escaped")),
        [],
        name,
      );
      await store.images.remove(evil.name("out"));
    }
    assert.equal(readFileSync("/etc/passwd", "utf8"), passwd);
    const broken = {
      "whiteout of ..": [tar(dir("d")), tar(file("d/.wh..."))],
      "whiteout of the directory": [tar(dir("d")), tar(file("d/.wh.."))],
      "hard link to nothing": [tar(hardlink("h", "/etc/passwd"))],
      "a name of 4096 bytes": [tar(file("x", "", { pax: { path: "n".repeat(4096) } }))],
      "a path of 5000 bytes": [tar(file("x", "", { pax: { path: "n/".repeat(2500) } }))],
    };
    for (const [name, layers] of Object.entries(broken)) {
      evil.image(
        name.replaceAll(/[^a-z]/g, "_"),
        layers.map((layer) => ({ tar: layer })),
      );
      const error = await store.images.pull(evil.name(name.replaceAll(/[^a-z]/g, "_"))).then(
        () => assert.fail(name),
        (e: unknown) => e as BerthError,
      );
      assert.ok(
        /^(InvalidArgument|NotFound|FailedPrecondition)$/.test(error.code),
        `${name}: ${error.code}: ${error.message}`,
      );
      assert.deepEqual([store.images.list(), store.snapshots.listLayers().length <= 1], [[], true], name);
    }
  },
);

t(
  "zstd:chunked, with its table of contents in frames that are to be skipped, is unpacked as zstd",
  async ({ evil, store }) => {
    const layer = tar(...Array.from({ length: 20 }, (_, i) => file(`f${i}`, `${i}`.repeat(10_000))));
    const skippable = (bytes: Uint8Array): Buffer => {
      const head = Buffer.alloc(8);
      head.writeUInt32LE(0x184d2a50, 0);
      head.writeUInt32LE(bytes.length, 4);
      return Buffer.concat([head, bytes]);
    };
    // A frame for each file, as containers/storage writes them, then the table of contents and the footer.
    const frames = Array.from({ length: Math.ceil(layer.length / 10_000) }, (_, i) =>
      zstdCompressSync(layer.subarray(i * 10_000, (i + 1) * 10_000)),
    );
    const contents = skippable(zstdCompressSync(Buffer.from('{"version":1,"entries":[]}')));
    const footer = skippable(Buffer.concat([Buffer.alloc(32), Buffer.from("GnUlInUx")]));
    const sent = Buffer.concat([...frames, contents, footer]);
    evil.image("chunked", [{ tar: layer, sent, suffix: "+zstd" }]);
    const image = await store.images.pull(evil.name("chunked"));
    assert.equal(image.layers[0]?.digest, digestOf(sent));
  },
);

t(
  "a layer that is unpacked from other bytes: the blob is fetched all the same, since push and save need it",
  async ({ evil, store }) => {
    evil.image("plain", [{ tar: small }]);
    evil.image("gzip", [{ tar: small, sent: gzipSync(small), suffix: "+gzip" }, { tar: noise }]);
    await store.images.pull(evil.name("plain"));
    const { layers } = await store.images.pull(evil.name("gzip"));
    for (const { digest } of layers) assert.ok(store.content.has(digest), digest);
    assert.deepEqual((await store.images.check({ repair: false })).problems, []);
  },
);
