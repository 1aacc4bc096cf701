import assert from "node:assert/strict";
import { test } from "node:test";
import { isCode } from "@berth/base";
import { isLayerType, MANIFEST_TYPES, parseDockerArchive, parseImageConfig, parseManifest } from "./index.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;
const bytes = (value: unknown): Uint8Array => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const descriptor = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest: DIGEST, size: 3 };
const manifest = {
  schemaVersion: 2,
  config: { ...descriptor, mediaType: "application/vnd.oci.image.config.v1+json" },
  layers: [descriptor],
};
const config = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [DIGEST] } };

test("parseManifest: a manifest without media type is recognised by its fields, unknown fields are dropped", () => {
  const got = parseManifest(bytes({ ...manifest, extra: 1 }), "m", "application/json");
  assert.equal(got.kind, "manifest");
  assert.equal(got.mediaType, MANIFEST_TYPES[0]);
  assert.ok(!("extra" in got));
});

test("parseManifest: hostile or broken documents are refused as InvalidArgument naming the field", () => {
  const table: readonly (readonly [unknown, RegExp])[] = [
    ["{", /not JSON/],
    ["[]", /not an object/],
    ['"\xff"', /not an object|not JSON/],
    [{ ...manifest, schemaVersion: 3 }, /schemaVersion/],
    [{ ...manifest, manifests: [] }, /both a manifest and an index/],
    [{ schemaVersion: 2 }, /neither/],
    [{ ...manifest, mediaType: "application/vnd.oci.image.index.v1+json" }, /contradict/],
    [{ ...manifest, layers: [{ ...descriptor, digest: "sha256:zz" }] }, /layers\[0\]\.digest/],
    [{ ...manifest, layers: [{ ...descriptor, digest: `${DIGEST}\n` }] }, /layers\[0\]\.digest/],
    [{ ...manifest, layers: [{ ...descriptor, size: -1 }] }, /layers\[0\]\.size/],
    [{ ...manifest, layers: [{ ...descriptor, size: 1e300 }] }, /layers\[0\]\.size/],
    [{ ...manifest, layers: Array(501).fill(descriptor) }, /501 entries/],
    [{ ...manifest, layers: {} }, /layers: not an array/],
    [{ ...manifest, config: null }, /config: not an object/],
    [{ ...manifest, annotations: { a: 1 } }, /annotations\.a/],
    [`{"a":${"[".repeat(50_000)}${"]".repeat(50_000)}}`, /nested deeper/],
  ];
  for (const [doc, message] of table) {
    assert.throws(
      () => parseManifest(bytes(doc), "m"),
      (e) => isCode(e, "InvalidArgument") && message.test(e.message),
      String(message),
    );
  }
  assert.throws(() => parseManifest(Buffer.alloc(9 * 1024 * 1024, " "), "m"), /more than the allowed/);
  assert.throws(
    () => parseManifest(bytes({ schemaVersion: 1 }), "m"),
    (e) => isCode(e, "Unimplemented"),
  );
});

test("parseManifest: a content type that contradicts the document is refused", () => {
  const doc = bytes({ ...manifest, mediaType: MANIFEST_TYPES[0] });
  assert.throws(() => parseManifest(doc, "m", MANIFEST_TYPES[1]), /contradicts the content type/);
  assert.equal(parseManifest(doc, "m", `${MANIFEST_TYPES[0]}; charset=utf-8`).kind, "manifest");
});

test("parseImageConfig: null counts as absent, wrong types are refused naming the field", () => {
  const got = parseImageConfig(
    bytes({ ...config, config: { Env: null, Cmd: ["sh"], Labels: { a: "b" } }, history: null }),
    "c",
  );
  assert.deepEqual(got, { ...config, config: { Cmd: ["sh"], Labels: { a: "b" } } });
  const table: readonly (readonly [unknown, RegExp])[] = [
    [{ ...config, os: 1 }, /field os/],
    [{ ...config, rootfs: null }, /field rootfs/],
    [{ ...config, rootfs: { type: "x", diff_ids: [] } }, /rootfs\.type/],
    [{ ...config, rootfs: { type: "layers", diff_ids: ["x"] } }, /diff_ids\[0\]/],
    [{ ...config, config: { Env: "x" } }, /config\.Env: not an array/],
    [{ ...config, config: { Cmd: ["a\0b"] } }, /NUL/],
  ];
  for (const [doc, message] of table) assert.throws(() => parseImageConfig(bytes(doc), "c"), message);
});

test("parseImageConfig: a key named __proto__ changes no prototype", () => {
  const got = parseImageConfig(
    bytes(`{"architecture":"a","os":"l","rootfs":{"type":"layers"},"config":{"Labels":{"__proto__":"x"}}}`),
    "c",
  );
  assert.deepEqual(Object.keys(got.config?.Labels ?? {}), ["__proto__"]);
  assert.equal(({} as { x?: unknown }).x, undefined);
});

test("parseDockerArchive: images with their members; missing tags count as none", () => {
  assert.deepEqual(parseDockerArchive(bytes([{ Config: "c.json", RepoTags: null, Layers: ["l/layer.tar"] }]), "d"), [
    { config: "c.json", repoTags: [], layers: ["l/layer.tar"] },
  ]);
  assert.throws(() => parseDockerArchive(bytes([{ Config: 1 }]), "d"), /\[0\]\.Config/);
});

test("isLayerType: tar layers of OCI and docker, nothing else", () => {
  for (const type of [
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
  ]) {
    assert.ok(isLayerType(type), type);
  }
  assert.ok(!isLayerType("application/vnd.oci.empty.v1+json"));
});
