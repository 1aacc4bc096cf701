import type { DatabaseSync } from "node:sqlite";
import type { Descriptor, Digest, ImageConfig } from "@berth/oci";
import type { Migration } from "@berth/state";
import type { ImageSummary } from "./types.ts";

/** Tables of this package. */
export const migrations: readonly Migration[] = [
  {
    package: "images",
    id: 1,
    name: "create image",
    sql: `
      CREATE TABLE image (
        id              TEXT PRIMARY KEY,  -- digest of the configuration
        manifest_digest TEXT NOT NULL,
        manifest_type   TEXT NOT NULL,
        manifest_bytes  INTEGER NOT NULL CHECK (manifest_bytes >= 0),
        chain_id        TEXT NOT NULL,     -- of the top layer
        size_bytes      INTEGER NOT NULL CHECK (size_bytes >= 0),
        created_at_ms   INTEGER NOT NULL,
        config          TEXT NOT NULL      -- JSON of ImageConfig, checked when it came: a list reads no blobs
      ) STRICT;
      CREATE TABLE image_layer (
        image_id   TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
        position   INTEGER NOT NULL,       -- 0 is the lowest
        digest     TEXT NOT NULL,
        media_type TEXT NOT NULL,
        size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
        chain_id   TEXT NOT NULL,
        PRIMARY KEY (image_id, position)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE image_blob (            -- every blob that the image needs
        image_id TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
        digest   TEXT NOT NULL,
        PRIMARY KEY (image_id, digest)
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE image_name (
        name     TEXT PRIMARY KEY,         -- domain/path:tag
        image_id TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX image_name_image ON image_name (image_id);
      CREATE TABLE image_digest (
        repository TEXT NOT NULL,          -- domain/path
        digest     TEXT NOT NULL,          -- of the manifest or index it was pulled by
        image_id   TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
        PRIMARY KEY (repository, digest)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX image_digest_image ON image_digest (image_id);`,
  },
  {
    package: "images",
    id: 2,
    name: "what a name leads to",
    // the index or manifest that the name was pulled or loaded by; NULL: the image's manifest
    sql: "ALTER TABLE image_name ADD COLUMN root_digest TEXT;",
  },
];

export interface ImageRow {
  readonly id: Digest;
  readonly manifest: Descriptor;
  readonly chainId: Digest;
  readonly sizeBytes: number;
  readonly createdAtMs: number;
  readonly config: ImageConfig;
}

export interface LayerRow extends Descriptor {
  readonly chainId: Digest;
}

type Raw = Readonly<Record<string, unknown>>;

function toImage(row: Raw): ImageRow {
  return {
    id: row["id"] as Digest,
    manifest: {
      mediaType: String(row["manifest_type"]),
      digest: row["manifest_digest"] as Digest,
      size: Number(row["manifest_bytes"]),
    },
    chainId: row["chain_id"] as Digest,
    sizeBytes: Number(row["size_bytes"]),
    createdAtMs: Number(row["created_at_ms"]),
    config: JSON.parse(String(row["config"])) as ImageConfig,
  };
}

const column = (rows: readonly Raw[], name: string): readonly string[] => rows.map((row) => String(row[name]));

export function findImage(db: DatabaseSync, id: Digest): ImageRow | undefined {
  const row = db.prepare("SELECT * FROM image WHERE id = ?").get(id);
  return row === undefined ? undefined : toImage(row);
}

/** At most two: one is a hit, two are ambiguous. */
export function findIdsByPrefix(db: DatabaseSync, hex: string): readonly Digest[] {
  const sql = "SELECT id FROM image WHERE id GLOB ? OR id GLOB ? LIMIT 2";
  const rows = db.prepare(sql).all(`sha256:${hex}*`, `sha512:${hex}*`);
  return column(rows, "id") as readonly Digest[];
}

export function findIdByName(db: DatabaseSync, name: string): Digest | undefined {
  return db.prepare("SELECT image_id FROM image_name WHERE name = ?").get(name)?.["image_id"] as Digest | undefined;
}

export function findIdByDigest(db: DatabaseSync, repository: string, digest: Digest): Digest | undefined {
  const row = db
    .prepare("SELECT image_id FROM image_digest WHERE repository = ? AND digest = ?")
    .get(repository, digest);
  return row?.["image_id"] as Digest | undefined;
}

/** All in one statement and in arrays: half of the time of one for each table, a twentieth of one for each image. */
export function listSummaries(db: DatabaseSync): readonly ImageSummary[] {
  const statement = db.prepare(`
    SELECT id, manifest_type, manifest_digest, manifest_bytes, chain_id, size_bytes, created_at_ms,
      (SELECT group_concat(name, ' ' ORDER BY name) FROM image_name WHERE image_id = id),
      (SELECT group_concat(repository || '@' || digest, ' ' ORDER BY repository, digest)
        FROM image_digest WHERE image_id = id)
    FROM image ORDER BY created_at_ms DESC, id`);
  statement.setReturnArrays(true);
  const words = (text: unknown): readonly string[] => (text === null ? [] : String(text).split(" "));
  return (statement.all() as unknown as readonly (readonly unknown[])[]).map((row) => ({
    id: row[0] as Digest,
    manifest: { mediaType: String(row[1]), digest: row[2] as Digest, size: Number(row[3]) },
    chainId: row[4] as Digest,
    sizeBytes: Number(row[5]),
    createdAtMs: Number(row[6]),
    names: words(row[7]),
    repoDigests: words(row[8]),
  }));
}

export function listConfigs(db: DatabaseSync): ReadonlyMap<Digest, ImageConfig> {
  const rows = db.prepare("SELECT id, config FROM image").all();
  return new Map(rows.map((row) => [row["id"] as Digest, JSON.parse(String(row["config"])) as ImageConfig]));
}

export function listAllLayers(db: DatabaseSync): ReadonlyMap<Digest, readonly Descriptor[]> {
  const rows = db.prepare("SELECT * FROM image_layer ORDER BY image_id, position").all();
  const layers = new Map<Digest, Descriptor[]>();
  for (const row of rows) {
    const { mediaType, digest, size } = toLayer(row);
    const id = row["image_id"] as Digest;
    const known = layers.get(id);
    if (known === undefined) layers.set(id, [{ mediaType, digest, size }]);
    else known.push({ mediaType, digest, size });
  }
  return layers;
}

export function listLayers(db: DatabaseSync, id: Digest): readonly LayerRow[] {
  const rows = db.prepare("SELECT * FROM image_layer WHERE image_id = ? ORDER BY position").all(id);
  return rows.map(toLayer);
}

function toLayer(row: Raw): LayerRow {
  return {
    mediaType: String(row["media_type"]),
    digest: row["digest"] as Digest,
    size: Number(row["size_bytes"]),
    chainId: row["chain_id"] as Digest,
  };
}

export function listNames(db: DatabaseSync, id: Digest): readonly string[] {
  return column(db.prepare("SELECT name FROM image_name WHERE image_id = ? ORDER BY name").all(id), "name");
}

/** `repository@digest` */
export function listRepoDigests(db: DatabaseSync, id: Digest): readonly string[] {
  const sql = "SELECT repository || '@' || digest AS text FROM image_digest WHERE image_id = ? ORDER BY text";
  return column(db.prepare(sql).all(id), "text");
}

export interface NewImage extends ImageRow {
  readonly layers: readonly LayerRow[];
  /** All blobs, index, manifest and config included. */
  readonly blobs: readonly Digest[];
}

/** Adds an image, or the blobs that a known one was found by. */
export function addImage(db: DatabaseSync, image: NewImage): void {
  const { id, manifest } = image;
  const added = db
    .prepare(
      `INSERT OR IGNORE INTO image
         (id, manifest_digest, manifest_type, manifest_bytes, chain_id, size_bytes, created_at_ms, config)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    )
    .run(
      id,
      manifest.digest,
      manifest.mediaType,
      manifest.size,
      image.chainId,
      image.sizeBytes,
      image.createdAtMs,
      JSON.stringify(image.config),
    );
  if (added.changes > 0) addLayers(db, image);
  const blob = db.prepare("INSERT OR IGNORE INTO image_blob (image_id, digest) VALUES (?, ?)");
  for (const digest of image.blobs) blob.run(id, digest);
}

function addLayers(db: DatabaseSync, image: NewImage): void {
  const insert = db.prepare(
    "INSERT INTO image_layer (image_id, position, digest, media_type, size_bytes, chain_id) VALUES (?, ?, ?, ?, ?, ?)",
  );
  image.layers.forEach((layer, i) => {
    insert.run(image.id, i, layer.digest, layer.mediaType, layer.size, layer.chainId);
  });
}

/** @param root index or manifest that the name leads to; undefined: the image's manifest */
export function writeName(db: DatabaseSync, name: string, id: Digest, root: Digest | undefined): void {
  const sql = "INSERT OR REPLACE INTO image_name (name, image_id, root_digest) VALUES (?, ?, ?)";
  db.prepare(sql).run(name, id, root ?? null);
}

export function findRootOfName(db: DatabaseSync, name: string): Digest | undefined {
  const row = db.prepare("SELECT root_digest FROM image_name WHERE name = ?").get(name);
  return (row?.["root_digest"] ?? undefined) as Digest | undefined;
}

export function writeRepoDigest(db: DatabaseSync, repository: string, digest: Digest, id: Digest): void {
  const sql = "INSERT OR REPLACE INTO image_digest (repository, digest, image_id) VALUES (?, ?, ?)";
  db.prepare(sql).run(repository, digest, id);
}

export function removeName(db: DatabaseSync, name: string): void {
  db.prepare("DELETE FROM image_name WHERE name = ?").run(name);
}

export function removeRepoDigests(db: DatabaseSync, repository: string, id: Digest): void {
  db.prepare("DELETE FROM image_digest WHERE repository = ? AND image_id = ?").run(repository, id);
}

export function listBlobs(db: DatabaseSync, id: Digest): readonly Digest[] {
  const sql = "SELECT digest FROM image_blob WHERE image_id = ? ORDER BY digest";
  return column(db.prepare(sql).all(id), "digest") as readonly Digest[];
}

export function removeImage(db: DatabaseSync, id: Digest): void {
  db.prepare("DELETE FROM image WHERE id = ?").run(id);
}

/** What SQLite finds wrong with the whole file: broken pages and indexes, rows that point at none. */
export function listFaults(db: DatabaseSync): readonly string[] {
  const pages = column(db.prepare("PRAGMA integrity_check").all(), "integrity_check").filter((line) => line !== "ok");
  const rows = db.prepare("PRAGMA foreign_key_check").all();
  return [...pages, ...rows.map((row) => `a row of ${row["table"]} points at none of ${row["parent"]}`)];
}

/** Blobs that any image needs. */
export function listUsedBlobs(db: DatabaseSync): ReadonlySet<string> {
  return new Set(column(db.prepare("SELECT DISTINCT digest FROM image_blob").all(), "digest"));
}

/** Chain ids that any image needs. */
export function listUsedLayers(db: DatabaseSync): ReadonlySet<string> {
  return new Set(column(db.prepare("SELECT DISTINCT chain_id FROM image_layer").all(), "chain_id"));
}
