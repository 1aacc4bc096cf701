import { isDigest } from "./digest.ts";
import { type JsonObject, Reader } from "./json.ts";
import type { ImageConfig } from "./types.ts";

/** Longest image configuration that is read, bytes. */
export const MAX_CONFIG_BYTES: number = 8 * 1024 * 1024;
const MAX_LAYERS = 500;
const MAX_HISTORY = 10_000;

type ProcessConfig = NonNullable<ImageConfig["config"]>;
type History = NonNullable<ImageConfig["history"]>[number];

/**
 * Reads an image configuration; fields that Berth does not act on are dropped, null counts as absent.
 *
 * @param what names the document in messages, for example `config sha256:…`
 * @throws {BerthError} InvalidArgument
 */
export function parseImageConfig(bytes: Uint8Array, what: string): ImageConfig {
  const reader = new Reader(what);
  const doc = reader.parse(bytes, MAX_CONFIG_BYTES);
  const short = (key: string) => (value: unknown) => reader.string(value, key, 1024);
  const rootfs = reader.object(doc["rootfs"], "rootfs");
  if (rootfs["type"] !== "layers") throw reader.fail("rootfs.type", "not layers");
  const ids = rootfs["diff_ids"] ?? [];
  const diffIds = reader.array(ids, "rootfs.diff_ids", MAX_LAYERS).map((id, i) => {
    if (!isDigest(id)) throw reader.fail(`rootfs.diff_ids[${i}]`, "not a sha256 digest");
    return id;
  });
  return {
    architecture: reader.string(doc["architecture"], "architecture", 64),
    os: reader.string(doc["os"], "os", 64),
    ...reader.optional(doc, "variant", short("variant")),
    ...reader.optional(doc, "created", short("created")),
    ...reader.optional(doc, "author", short("author")),
    ...reader.optional(doc, "config", (v) => parseProcess(reader, reader.object(v, "config"))),
    rootfs: { type: "layers", diff_ids: diffIds },
    ...reader.optional(doc, "history", (v) =>
      reader.array(v, "history", MAX_HISTORY).map((item, i) => parseHistory(reader, item, `history[${i}]`)),
    ),
  };
}

function parseProcess(reader: Reader, doc: JsonObject): ProcessConfig {
  const text = (key: string) => (value: unknown) => reader.string(value, `config.${key}`);
  const list = (key: string) => (value: unknown) => reader.strings(value, `config.${key}`);
  const set = (key: string) => (value: unknown) => reader.object(value, `config.${key}`);
  return {
    ...reader.optional(doc, "User", text("User")),
    ...reader.optional(doc, "ExposedPorts", set("ExposedPorts")),
    ...reader.optional(doc, "Env", list("Env")),
    ...reader.optional(doc, "Entrypoint", list("Entrypoint")),
    ...reader.optional(doc, "Cmd", list("Cmd")),
    ...reader.optional(doc, "Volumes", set("Volumes")),
    ...reader.optional(doc, "WorkingDir", text("WorkingDir")),
    ...reader.optional(doc, "Labels", (v) => reader.stringMap(v, "config.Labels")),
    ...reader.optional(doc, "StopSignal", text("StopSignal")),
  };
}

function parseHistory(reader: Reader, value: unknown, field: string): History {
  const doc = reader.object(value, field);
  const text = (key: string) => (v: unknown) => reader.string(v, `${field}.${key}`);
  return {
    ...reader.optional(doc, "created", text("created")),
    ...reader.optional(doc, "created_by", text("created_by")),
    ...reader.optional(doc, "comment", text("comment")),
    ...reader.optional(doc, "empty_layer", (v) => v === true),
  };
}
