import { BerthError, isCode } from "@berth/base";
import { type Descriptor, type Digest, INDEX_TYPES, isTag, MAX_MANIFEST_BYTES, parseManifest } from "@berth/oci";
import { readBody } from "./body.ts";
import { fetchReferrersIndex } from "./referrers.ts";
import { persist } from "./retry.ts";
import type { Answer, Call, Session } from "./session.ts";
import type { ListReferrersOptions, ListTagsOptions } from "./types.ts";

const PAGE = 1000;
/** A registry that never ends its list is not read to the end. */
const MAX_PAGES = 10_000;

interface Page {
  readonly bytes: Buffer;
  readonly answer: Answer;
  readonly next: URL | undefined;
}

export async function* listTags(session: Session, path: string, options: ListTagsOptions): AsyncGenerator<string> {
  const { signal, pageSize = PAGE } = options;
  const what = `list tags of ${session.domain}/${path}`;
  const first = `${path}/tags/list?n=${pageSize}`;
  let at: string | URL | undefined = first;
  let last = "";
  for (let pages = 0; at !== undefined; pages++) {
    if (pages === MAX_PAGES) throw endless(what);
    const page: Page = await fetchPage(session, { at, scope: `repository:${path}:pull`, ok: [200], what, signal });
    const tags = parseTags(page.bytes, what);
    // Some registries know no Link header; one that knows no `last` either sends what it sent before.
    const isNew = tags.length > 0 && tags.at(-1) !== last;
    if (!isNew) return;
    yield* tags;
    last = tags.at(-1) ?? "";
    at = page.next ?? (tags.length >= pageSize ? `${first}&last=${encodeURIComponent(last)}` : undefined);
  }
}

function parseTags(bytes: Buffer, what: string): readonly string[] {
  let tags: unknown;
  try {
    tags = (JSON.parse(bytes.toString("utf8")) as { tags?: unknown } | null)?.tags ?? [];
  } catch {
    tags = undefined;
  }
  if (Array.isArray(tags) && tags.every((tag): tag is string => typeof tag === "string" && isTag(tag))) return tags;
  throw new BerthError("Unavailable", `${what}: the answer is no list of tags`, { hint: "is it an OCI registry?" });
}

export async function listReferrers(
  session: Session,
  path: string,
  digest: Digest,
  options: ListReferrersOptions,
): Promise<readonly Descriptor[]> {
  const { artifactType, signal } = options;
  const suits = (entry: Descriptor): boolean => artifactType === undefined || entry.artifactType === artifactType;
  const what = `list referrers of ${session.domain}/${path}@${digest}`;
  const query = artifactType === undefined ? "" : `?${new URLSearchParams({ artifactType })}`;
  const found: Descriptor[] = [];
  let at: string | URL | undefined = `${path}/referrers/${digest}${query}`;
  try {
    for (let pages = 0; at !== undefined; pages++) {
      if (pages === MAX_PAGES) throw endless(what);
      const page: Page = await fetchPage(session, { at, scope: `repository:${path}:pull`, ok: [200], what, signal });
      const index = parseManifest(page.bytes, `answer to ${what}`, INDEX_TYPES[0]);
      if (index.kind === "index") found.push(...index.manifests);
      at = page.next;
    }
  } catch (error) {
    // The registry has no such list: clients keep one under a tag.
    if (!isCode(error, "NotFound") && !isCode(error, "Unimplemented")) throw error;
    found.push(...(await fetchReferrersIndex(session, path, digest, signal)));
  }
  return found.filter(suits);
}

function fetchPage(session: Session, call: Call): Promise<Page> {
  return persist(call.signal, async () => {
    const answer = await session.send(call);
    const bytes = await readBody(answer.response, MAX_MANIFEST_BYTES, answer.request);
    return { bytes, answer, next: nextOf(answer) };
  });
}

/** Where the Link header says that the list goes on (RFC 8288). */
function nextOf({ response, request }: Answer): URL | undefined {
  const header = [response.headers["link"] ?? ""].flat().join(",");
  const target = /<([^<>]{1,4096})>\s*;[^,]*\brel="?next\b/i.exec(header)?.[1];
  return target === undefined ? undefined : (URL.parse(target, request.url) ?? undefined);
}

const endless = (what: string): BerthError =>
  new BerthError("ResourceExhausted", `${what}: more than ${MAX_PAGES} pages`, { hint: "is it an OCI registry?" });
