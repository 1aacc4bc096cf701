import { type Descriptor, INDEX_TYPES, isDigest } from "@berth/oci";
import { badDigest, notAllowed, Refusal, unknownName } from "./errors.ts";
import type { Call, Reply, Site } from "./types.ts";

/** Entries of one answer when the client names no number, and at most. */
const MAX_ENTRIES = 10_000;
const MAX_REFERRERS = 1000;
/** Clients read no longer documents than manifests, 4 MiB at least. */
const MAX_REFERRERS_BYTES = 3 * 1024 * 1024;
const INDEX = INDEX_TYPES[0] ?? "";

/** GET of a repository's tags. */
export function answerTags(site: Site, call: Call, name: string): Reply {
  onlyRead(call);
  const { n, last } = pageOf(call);
  if (!site.repositories.has(name)) throw unknownName(name);
  const page = n === 0 ? { items: [], more: false } : site.repositories.listTags(name, { after: last, limit: n });
  return json({ name, tags: page.items }, nextOf(`/v2/${name}/tags/list`, page, { n: String(n) }));
}

/** GET of all repositories; not of the specification, but docker's clients know it. */
export function answerCatalog(site: Site, call: Call): Reply {
  onlyRead(call);
  const { n, last } = pageOf(call);
  const page = n === 0 ? { items: [], more: false } : site.repositories.list({ after: last, limit: n });
  return json({ repositories: page.items }, nextOf("/v2/_catalog", page, { n: String(n) }));
}

/** GET of the manifests whose subject is `digest`; there need not be such a manifest. */
export function answerReferrers(site: Site, call: Call, name: string, digest: string): Reply {
  onlyRead(call);
  if (!isDigest(digest)) throw badDigest(digest);
  const artifactType = call.query.get("artifactType") || undefined;
  const after = call.query.get("last") ?? "";
  const found = site.repositories.listReferrers(name, digest, { artifactType, after, limit: MAX_REFERRERS });
  const items = cut(found.items);
  const page = { items: items.map((item) => item.digest), more: found.more || items.length < found.items.length };
  const filter = artifactType === undefined ? undefined : { artifactType };
  return json(
    { schemaVersion: 2, mediaType: INDEX, manifests: items },
    {
      ...nextOf(`/v2/${name}/referrers/${digest}`, page, filter ?? {}),
      ...(filter === undefined ? {} : { "oci-filters-applied": "artifactType" }),
      "content-type": INDEX,
    },
  );
}

/** As many as fit into one document; one at least. */
function cut(items: readonly Descriptor[]): readonly Descriptor[] {
  let bytes = 0;
  const end = items.findIndex((item, i) => {
    bytes += JSON.stringify(item).length + 1;
    return i > 0 && bytes > MAX_REFERRERS_BYTES;
  });
  return end < 0 ? items : items.slice(0, end);
}

function onlyRead(call: Call): void {
  if (call.method !== "GET" && call.method !== "HEAD") throw notAllowed(call.method);
}

function pageOf(call: Call): { readonly n: number; readonly last: string } {
  const n = call.query.get("n");
  if (n !== null && !/^\d{1,9}$/.test(n)) throw new Refusal(400, "UNSUPPORTED", "n is not a number of entries");
  return { n: Math.min(n === null ? MAX_ENTRIES : Number(n), MAX_ENTRIES), last: call.query.get("last") ?? "" };
}

function nextOf(
  path: string,
  page: { readonly items: readonly string[]; readonly more: boolean },
  query: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const last = page.items.at(-1);
  if (!page.more || last === undefined) return {};
  return { link: `<${path}?${new URLSearchParams({ ...query, last })}>; rel="next"` };
}

function json(document: unknown, headers: Readonly<Record<string, string>>): Reply {
  return {
    status: 200,
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(document),
  };
}
