import { BerthError, formatBytes, formatDuration, shortId } from "@berth/base";
import type { ImageSummary } from "@berth/engine";
import { familiarName, parseReference } from "@berth/oci";
import { parseTime } from "../commands/logs.ts";
import { formatTime, hasLabel, parseFilters, type RowKind } from "./format.ts";

/** One line of `images`: an image under one of its names. */
export interface ImageRow {
  readonly image: ImageSummary;
  /** As shown: `debian`, or `<none>`. */
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
}

const NONE = "<none>";

/** Every image under each of its names, newest first. */
export function imageRows(images: readonly ImageSummary[]): readonly ImageRow[] {
  return images
    .toSorted((a, b) => b.createdAtMs - a.createdAtMs)
    .flatMap((image): readonly ImageRow[] => {
      if (image.names.length === 0) {
        const [repository = NONE] = image.repoDigests.map((name) => familiarName(repositoryOf(name)));
        return [{ image, repository, tag: NONE, digest: digestOf(image, undefined) }];
      }
      return image.names.map((name) => {
        const full = repositoryOf(name);
        return { image, repository: familiarName(full), tag: tagOf(name), digest: digestOf(image, full) };
      });
    });
}

/** Names in the store are fully qualified: the last colon after the last slash begins the tag. */
function repositoryOf(name: string): string {
  const plain = name.split("@", 1)[0] ?? "";
  const colon = plain.indexOf(":", plain.lastIndexOf("/") + 1);
  return colon < 0 ? plain : plain.slice(0, colon);
}

function tagOf(name: string): string {
  const plain = name.split("@", 1)[0] ?? "";
  const colon = plain.indexOf(":", plain.lastIndexOf("/") + 1);
  return colon < 0 ? NONE : plain.slice(colon + 1);
}

function digestOf(image: ImageSummary, repository: string | undefined): string {
  const found = image.repoDigests.find((name) => repository === undefined || repositoryOf(name) === repository);
  return found?.slice(found.indexOf("@") + 1) ?? NONE;
}

/** Rows of `images`. */
export function imageRowKind(options: {
  readonly noTrunc: boolean;
  readonly digests: boolean;
  readonly nowMs: number;
}): RowKind<ImageRow> {
  const { noTrunc, nowMs } = options;
  return {
    fields: {
      Repository: { header: "REPOSITORY", value: (row) => row.repository },
      Tag: { header: "TAG", value: (row) => row.tag },
      Digest: { header: "DIGEST", value: (row) => row.digest },
      ID: { header: "IMAGE ID", value: ({ image }) => (noTrunc ? image.id : shortId(image.id)) },
      CreatedSince: { header: "CREATED", value: ({ image }) => createdSince(image, nowMs) },
      CreatedAt: {
        header: "CREATED AT",
        value: ({ image }) => (image.createdAtMs === 0 ? "N/A" : formatTime(image.createdAtMs)),
      },
      Size: { header: "SIZE", value: ({ image }) => formatBytes(image.sizeBytes, 3) },
    },
    table: ["Repository", "Tag", ...(options.digests ? ["Digest"] : []), "ID", "CreatedSince", "Size"],
    id: "ID",
  };
}

function createdSince(image: ImageSummary, nowMs: number): string {
  return image.createdAtMs === 0 ? "N/A" : `${formatDuration(nowMs - image.createdAtMs)} ago`;
}

type LabelsOf = (image: ImageSummary) => Readonly<Record<string, string>>;

/**
 * @param name `REPOSITORY[:TAG]`: only that one
 * @param labelsOf asked for the filter `label` only
 */
export function filterImages(
  rows: readonly ImageRow[],
  filters: readonly string[],
  name: string | undefined,
  labelsOf: LabelsOf,
): readonly ImageRow[] {
  const parsed = parseFilters(filters);
  const tests = parsed.flatMap(([key, value]) => (key === "reference" ? [] : [testFor(key, value, rows, labelsOf)]));
  // docker: one of several references is enough, and all of the others must hold.
  const references = parsed.flatMap(([key, value]) => (key === "reference" ? [referenceTest(value)] : []));
  if (references.length > 0) tests.push((row) => references.some((test) => test(row)));
  if (name !== undefined) tests.push(referenceTest(name));
  return rows.filter((row) => tests.every((test) => test(row)));
}

function testFor(
  key: string,
  value: string,
  rows: readonly ImageRow[],
  labelsOf: LabelsOf,
): (row: ImageRow) => boolean {
  switch (key) {
    case "label":
      return ({ image }) => hasLabel(labelsOf(image), value);
    case "dangling":
      return (row) => (row.image.names.length === 0) === (value === "true" || value === "1");
    case "before":
    case "since": {
      const { createdAtMs } = referenceRow(rows, value).image;
      return ({ image }) => (key === "before" ? image.createdAtMs < createdAtMs : image.createdAtMs > createdAtMs);
    }
    case "until": {
      const until = parseTime(value, "--filter until", Date.now());
      return ({ image }) => image.createdAtMs < until;
    }
    default:
      throw new BerthError("InvalidArgument", `invalid filter '${key}'`, {
        hint: "the filters are reference, label, dangling, before, since, until",
      });
  }
}

function referenceRow(rows: readonly ImageRow[], name: string): ImageRow {
  const test = referenceTest(name);
  const row = rows.find((candidate) => test(candidate) || shortId(candidate.image.id).startsWith(name));
  if (row === undefined) throw new BerthError("NotFound", `No such image: ${name}`);
  return row;
}

/** Go's path.Match, as docker has it: nothing matches a slash. */
function parseGlob(pattern: string): RegExp {
  const parts = pattern.match(/\[\^?[^\]]+\]|\\.|./gs) ?? [];
  const source = parts.map((part) => {
    if (part === "*") return "[^/]*";
    if (part === "?") return "[^/]";
    if (part.length > 2) return `[${part.slice(1).replaceAll(/[[\\]/g, "\\$&")}`;
    if (part === "[") throw badPattern(pattern);
    return part.slice(-1).replace(/[\\^$.*+?()[\]{}|/]/, "\\$&");
  });
  try {
    return new RegExp(`^${source.join("")}$`);
  } catch {
    throw badPattern(pattern);
  }
}

const badPattern = (pattern: string): BerthError =>
  new BerthError("InvalidArgument", `invalid filter 'reference=${pattern}': not a pattern of *, ? and [a-z]`);

/** `debian`, `debian:12`, `docker.io/library/debian`, or with `*`, `?` and `[a-z]` as in file names. */
function referenceTest(pattern: string): (row: ImageRow) => boolean {
  if (/[*?[]/.test(pattern)) {
    const glob = parseGlob(pattern);
    return (row) => glob.test(row.repository) || glob.test(`${row.repository}:${row.tag}`);
  }
  const wanted = parseReference(pattern);
  const repository = familiarName(`${wanted.domain}/${wanted.path}`);
  const tag = repositoryOf(pattern) === pattern ? undefined : wanted.tag;
  return (row) => row.repository === repository && (tag === undefined || row.tag === tag);
}
