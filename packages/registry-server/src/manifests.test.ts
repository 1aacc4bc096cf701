import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { digestOf, OCI_INDEX, OCI_MANIFEST, pushBlob, pushImage, type Served, serve } from "./testing.ts";

let served: Served;
before(async () => {
  served = await serve();
});
after(() => served[Symbol.asyncDispose]());

const put = (name: string, reference: string, body: unknown, type = OCI_MANIFEST) =>
  served.ask("PUT", `/v2/${name}/manifests/${reference}`, typeof body === "string" ? body : JSON.stringify(body), {
    "content-type": type,
  });
const tagsOf = async (name: string, query = ""): Promise<readonly string[]> =>
  JSON.parse(String((await served.ask("GET", `/v2/${name}/tags/list${query}`)).body)).tags;

test("manifest: by tag and by digest, read and asked for, byte for byte", async () => {
  const bytes = await pushImage(served, "image", "v1", { "x-unknown": { deep: [1, 2, 3] } });
  const digest = digestOf(bytes);
  for (const reference of ["v1", digest]) {
    const got = await served.ask("GET", `/v2/image/manifests/${reference}`);
    assert.deepEqual([got.status, got.headers.get("content-type")], [200, OCI_MANIFEST]);
    assert.equal(got.headers.get("docker-content-digest"), digest);
    assert.deepEqual(got.body, bytes);
    const head = await served.ask("HEAD", `/v2/image/manifests/${reference}`);
    assert.deepEqual([head.status, head.headers.get("content-length")], [200, String(bytes.length)]);
    assert.equal(head.headers.get("docker-content-digest"), digest);
  }
  const again = await put("image", digest, bytes.toString());
  assert.deepEqual([again.status, again.headers.get("location")], [201, `/v2/image/manifests/${digest}`]);
});

test("manifest: what is not there is unknown, bad names are invalid", async () => {
  assert.equal((await served.ask("GET", "/v2/no/such/manifests/v1")).code, "MANIFEST_UNKNOWN");
  assert.equal((await served.ask("HEAD", `/v2/image/manifests/${digestOf("x")}`)).status, 404);
  assert.equal((await served.ask("GET", "/v2/image/manifests/sha256:abc")).code, "DIGEST_INVALID");
  assert.equal((await served.ask("GET", "/v2/image/manifests/-bad")).code, "MANIFEST_INVALID");
  assert.equal((await served.ask("POST", "/v2/image/manifests/v1")).status, 405);
});

test("manifest: documents that are none, or that contradict themselves, are refused", async () => {
  const bad: readonly [unknown, string?][] = [
    ["not json"],
    ["[]"],
    [{ schemaVersion: 2, layers: [{ mediaType: "x", digest: "sha256:short", size: 1 }] }],
    [{ schemaVersion: 2, config: { mediaType: "x", digest: digestOf("x"), size: -1 }, layers: [] }],
    [{ schemaVersion: 2, mediaType: OCI_INDEX, layers: [] }],
    [{ schemaVersion: 2, manifests: [], layers: [] }, OCI_INDEX],
    [`${"[".repeat(100)}${"]".repeat(100)}`],
  ];
  for (const [body, type] of bad) {
    const answer = await put("bad", "v1", body, type);
    assert.deepEqual([answer.status, answer.code], [400, "MANIFEST_INVALID"], JSON.stringify(body));
  }
  assert.equal((await served.ask("GET", "/v2/bad/tags/list")).status, 404);
});

test("manifest: a digest that is not its own is refused, of either algorithm", async () => {
  for (const algorithm of ["sha256", "sha512"]) {
    const body = JSON.stringify({ schemaVersion: 2, manifests: [], algorithm });
    assert.equal((await put("alg", digestOf(`${body} `, algorithm), body, OCI_INDEX)).code, "DIGEST_INVALID");
    const digest = digestOf(body, algorithm);
    const done = await put("alg", digest, body, OCI_INDEX);
    assert.deepEqual([done.status, done.headers.get("docker-content-digest")], [201, digest]);
    assert.deepEqual((await served.ask("GET", `/v2/alg/manifests/${digest}`)).body, Buffer.from(body));
  }
});

test("manifest: 4 MiB are taken, more than the limit is 413 without being read", async () => {
  const big = JSON.stringify({ schemaVersion: 2, manifests: [], annotations: annotations(400) });
  assert.ok(big.length > 4_000_000);
  assert.equal((await put("big", "v1", big, OCI_INDEX)).status, 201);
  assert.equal((await served.ask("GET", "/v2/big/manifests/v1")).body.length, big.length);
  assert.equal((await put("big", "v2", " ".repeat(9_000_000), OCI_INDEX)).status, 413);
});

const annotations = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`key-${i}`, "A".repeat(10_000)]));

test("manifest: blobs may come later, but not with --require-blobs; foreign layers never", async () => {
  const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digestOf("later"), size: 5 };
  const config = { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf("{}"), size: 2 };
  const foreign = {
    mediaType: "application/vnd.oci.image.layer.nondistributable.v1.tar",
    digest: digestOf("foreign"),
    size: 7,
    urls: ["https://store.example/layer"],
  };
  const sparse = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer, foreign] };
  assert.equal((await put("sparse", "v1", sparse)).status, 201);
  await using strict = await serve({ requireBlobs: true });
  const send = () => strict.ask("PUT", "/v2/a/manifests/v1", JSON.stringify(sparse), { "content-type": OCI_MANIFEST });
  await pushBlob(strict, "a", "{}");
  const refused = await send();
  assert.deepEqual([refused.status, refused.code], [400, "MANIFEST_BLOB_UNKNOWN"]);
  assert.deepEqual(JSON.parse(String(refused.body)).errors[0].detail, [digestOf("later")]);
  await pushBlob(strict, "a", "later");
  assert.equal((await send()).status, 201);
  const index = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [{ ...layer, mediaType: OCI_MANIFEST }] };
  const child = await strict.ask("PUT", "/v2/a/manifests/v2", JSON.stringify(index), { "content-type": OCI_INDEX });
  assert.equal(child.code, "MANIFEST_BLOB_UNKNOWN");
});

test("tags: sorted, in pages, each with the way to the next", async () => {
  assert.equal((await served.ask("GET", "/v2/none/tags/list")).code, "NAME_UNKNOWN");
  await pushImage(served, "tags", "");
  assert.deepEqual(await tagsOf("tags"), []);
  for (const tag of ["b", "a", "C", "v1.0", "v1.10"]) await pushImage(served, "tags", tag);
  assert.deepEqual(await tagsOf("tags"), ["C", "a", "b", "v1.0", "v1.10"]);
  assert.deepEqual(await tagsOf("tags", "?last=a"), ["b", "v1.0", "v1.10"]);
  const none = await served.ask("GET", "/v2/tags/tags/list?n=0");
  assert.deepEqual([JSON.parse(String(none.body)).tags, none.headers.get("link")], [[], null]);
  const seen: string[] = [];
  for (let path: string | undefined = "/v2/tags/tags/list?n=2"; path !== undefined; ) {
    const page = await served.ask("GET", path);
    seen.push(...JSON.parse(String(page.body)).tags);
    path = /^<([^>]+)>; rel="next"$/.exec(page.headers.get("link") ?? "")?.[1];
  }
  assert.deepEqual(seen, ["C", "a", "b", "v1.0", "v1.10"]);
  assert.equal((await served.ask("GET", "/v2/tags/tags/list?n=x")).status, 400);
});

test("tags: a deleted tag is gone at once, the manifest is not", async () => {
  const digest = digestOf(await pushImage(served, "untag", "one"));
  await pushImage(served, "untag", "two");
  assert.equal((await served.ask("DELETE", "/v2/untag/manifests/one")).status, 202);
  assert.deepEqual(await tagsOf("untag"), ["two"]);
  assert.equal((await served.ask("GET", "/v2/untag/manifests/one")).status, 404);
  assert.equal((await served.ask("DELETE", "/v2/untag/manifests/one")).status, 404);
  assert.equal((await served.ask("GET", `/v2/untag/manifests/${digest}`)).status, 200);
});

test("manifest: deleted by digest it takes its tags along", async () => {
  const digest = digestOf(await pushImage(served, "delete", "one"));
  await pushImage(served, "delete", "two");
  assert.equal((await served.ask("DELETE", `/v2/delete/manifests/${digest}`)).status, 202);
  for (const reference of ["one", "two", digest]) {
    assert.equal((await served.ask("GET", `/v2/delete/manifests/${reference}`)).status, 404, reference);
  }
  assert.deepEqual(await tagsOf("delete"), []);
  assert.equal((await served.ask("DELETE", `/v2/delete/manifests/${digest}`)).status, 404);
});

test("tag parameters: a push by digest sets several tags and says which", async () => {
  const body = JSON.stringify({ schemaVersion: 2, manifests: [] });
  for (const algorithm of ["sha256", "sha512"]) {
    const digest = digestOf(body, algorithm);
    const done = await put("params", `${digest}?tag=${algorithm}&tag=x-${algorithm}`, body, OCI_INDEX);
    assert.deepEqual([done.status, done.headers.get("oci-tag")], [201, `${algorithm}, x-${algorithm}`]);
    const got = await served.ask("HEAD", `/v2/params/manifests/x-${algorithm}`);
    assert.equal(got.headers.get("docker-content-digest"), digest);
  }
  const digest = digestOf(body);
  assert.equal((await put("params", `${digest}?tag=-bad`, body, OCI_INDEX)).status, 400);
  const many = Array.from({ length: 101 }, (_, i) => `tag=t${i}`).join("&");
  assert.equal((await put("params", `${digest}?${many}`, body, OCI_INDEX)).status, 414);
});

test("referrers: empty before, then each with its type and annotations, filtered when asked", async () => {
  const image = await pushImage(served, "ref", "v1");
  const subject = { mediaType: OCI_MANIFEST, digest: digestOf(image), size: image.length };
  const list = async (query = "") => served.ask("GET", `/v2/ref/referrers/${subject.digest}${query}`);
  const empty = await list();
  assert.deepEqual([empty.status, empty.headers.get("content-type")], [200, OCI_INDEX]);
  assert.deepEqual(JSON.parse(String(empty.body)), { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] });
  const body = (more: object): string =>
    JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, layers: [], subject, ...more });
  const config = { mediaType: "application/vnd.example.config", digest: digestOf("{}"), size: 2 };
  const typed = body({ artifactType: "application/vnd.example.sbom", config, annotations: { made: "today" } });
  const untyped = body({ config });
  const index = JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests: [], subject });
  for (const [text, type] of [[typed], [untyped], [index, OCI_INDEX]] as const) {
    const done = await put("ref", digestOf(text), text, type);
    assert.deepEqual([done.status, done.headers.get("oci-subject")], [201, subject.digest]);
  }
  const all = JSON.parse(String((await list()).body)).manifests as Record<string, unknown>[];
  const expected = [
    {
      mediaType: OCI_MANIFEST,
      text: typed,
      artifactType: "application/vnd.example.sbom",
      annotations: { made: "today" },
    },
    { mediaType: OCI_MANIFEST, text: untyped, artifactType: "application/vnd.example.config" },
    { mediaType: OCI_INDEX, text: index },
  ].map(({ text, ...more }) => ({ digest: digestOf(text), size: text.length, ...more }));
  const byDigest = (a: Record<string, unknown>, b: Record<string, unknown>): number =>
    String(a["digest"]).localeCompare(String(b["digest"]));
  assert.deepEqual(all, expected.sort(byDigest));
  const filtered = await list("?artifactType=application/vnd.example.sbom");
  assert.equal(filtered.headers.get("oci-filters-applied"), "artifactType");
  assert.deepEqual(
    JSON.parse(String(filtered.body)).manifests.map((one: { digest: string }) => one.digest),
    [digestOf(typed)],
  );
  await served.ask("DELETE", `/v2/ref/manifests/${digestOf(typed)}`);
  assert.equal(JSON.parse(String((await list()).body)).manifests.length, 2);
  assert.equal((await served.ask("GET", "/v2/ref/referrers/nonsense")).code, "DIGEST_INVALID");
});

test("referrers: a subject that is not there is accepted, and too many come in pages", async () => {
  const subject = { mediaType: OCI_MANIFEST, digest: digestOf("not here"), size: 8 };
  for (let i = 0; i < 5; i++) {
    const text = JSON.stringify({
      schemaVersion: 2,
      manifests: [],
      subject,
      annotations: { i: String(i), ...annotations(100) },
    });
    assert.equal((await put("pages", digestOf(text), text, OCI_INDEX)).status, 201);
  }
  const seen: string[] = [];
  let pages = 0;
  for (let path: string | undefined = `/v2/pages/referrers/${subject.digest}`; path !== undefined; pages++) {
    const page = await served.ask("GET", path);
    seen.push(...JSON.parse(String(page.body)).manifests.map((one: { digest: string }) => one.digest));
    path = /^<([^>]+)>; rel="next"$/.exec(page.headers.get("link") ?? "")?.[1];
  }
  assert.deepEqual([pages, new Set(seen).size], [2, 5]);
});

test("nothing of this was a fault of the server", () => assert.deepEqual(served.faults, []));
