import type { DatabaseSync } from "node:sqlite";
import type { Descriptor, Digest, StoredManifest } from "@berth/oci";
import type { Migration } from "@berth/state";
import type { Kept, KeptManifest } from "./types.ts";

/** Tables of this package. */
export const migrations: readonly Migration[] = [
  {
    package: "repositories",
    id: 1,
    name: "create repository",
    sql: `
      CREATE TABLE repository (
        name          TEXT PRIMARY KEY,
        created_at_ms INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE repository_blob (
        repository TEXT NOT NULL REFERENCES repository (name) ON DELETE CASCADE,
        digest     TEXT NOT NULL,
        used_at_ms INTEGER NOT NULL,        -- when it came or was last asked for
        PRIMARY KEY (repository, digest)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX repository_blob_digest ON repository_blob (digest);
      CREATE TABLE repository_manifest (
        repository    TEXT NOT NULL REFERENCES repository (name) ON DELETE CASCADE,
        digest        TEXT NOT NULL,
        media_type    TEXT NOT NULL,
        size_bytes    INTEGER NOT NULL CHECK (size_bytes >= 0),
        artifact_type TEXT,
        subject       TEXT,                 -- digest, whether or not it is there
        annotations   TEXT,                 -- JSON, as the list of referrers repeats them
        PRIMARY KEY (repository, digest)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX repository_manifest_subject ON repository_manifest (repository, subject) WHERE subject IS NOT NULL;
      CREATE TABLE repository_reference (   -- blobs and manifests that a manifest names
        repository TEXT NOT NULL,
        manifest   TEXT NOT NULL,
        digest     TEXT NOT NULL,
        PRIMARY KEY (repository, manifest, digest),
        FOREIGN KEY (repository, manifest) REFERENCES repository_manifest (repository, digest) ON DELETE CASCADE
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE repository_tag (
        repository TEXT NOT NULL,
        tag        TEXT NOT NULL,
        digest     TEXT NOT NULL,
        PRIMARY KEY (repository, tag),
        FOREIGN KEY (repository, digest) REFERENCES repository_manifest (repository, digest) ON DELETE CASCADE
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX repository_tag_digest ON repository_tag (repository, digest);`,
  },
];

type Raw = Readonly<Record<string, unknown>>;

const column = (rows: readonly Raw[], name: string): readonly string[] => rows.map((row) => String(row[name]));

export function hasRepository(db: DatabaseSync, name: string): boolean {
  return db.prepare("SELECT 1 FROM repository WHERE name = ?").get(name) !== undefined;
}

export function addRepository(db: DatabaseSync, name: string): void {
  db.prepare("INSERT OR IGNORE INTO repository (name, created_at_ms) VALUES (?, ?)").run(name, Date.now());
}

export function listRepositories(db: DatabaseSync, after: string, limit: number): readonly string[] {
  return column(
    db.prepare("SELECT name FROM repository WHERE name > ? ORDER BY name LIMIT ?").all(after, limit),
    "name",
  );
}

/** When the blob was last asked for in this repository. */
export function findBlobUse(db: DatabaseSync, name: string, digest: Digest): number | undefined {
  const row = db
    .prepare("SELECT used_at_ms FROM repository_blob WHERE repository = ? AND digest = ?")
    .get(name, digest);
  return row === undefined ? undefined : Number(row["used_at_ms"]);
}

export function isBlobAnywhere(db: DatabaseSync, digest: Digest): boolean {
  return db.prepare("SELECT 1 FROM repository_blob WHERE digest = ? LIMIT 1").get(digest) !== undefined;
}

export function writeBlob(db: DatabaseSync, name: string, digest: Digest, usedAtMs: number): void {
  const sql = "INSERT OR REPLACE INTO repository_blob (repository, digest, used_at_ms) VALUES (?, ?, ?)";
  db.prepare(sql).run(name, digest, usedAtMs);
}

export function removeBlob(db: DatabaseSync, name: string, digest: Digest): boolean {
  const sql = "DELETE FROM repository_blob WHERE repository = ? AND digest = ?";
  return Number(db.prepare(sql).run(name, digest).changes) > 0;
}

export function addManifest(
  db: DatabaseSync,
  name: string,
  manifest: { readonly digest: Digest; readonly sizeBytes: number; readonly document: StoredManifest },
): void {
  const { digest, document } = manifest;
  db.prepare(
    `INSERT INTO repository_manifest (repository, digest, media_type, size_bytes, artifact_type, subject, annotations)
     VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET media_type = excluded.media_type`,
  ).run(
    name,
    digest,
    document.mediaType,
    manifest.sizeBytes,
    document.artifactType ?? null,
    document.subject?.digest ?? null,
    document.annotations === undefined ? null : JSON.stringify(document.annotations),
  );
  const refer = db.prepare(
    "INSERT OR IGNORE INTO repository_reference (repository, manifest, digest) VALUES (?, ?, ?)",
  );
  for (const child of [...document.blobs, ...document.manifests]) refer.run(name, digest, child.digest);
}

export function writeTag(db: DatabaseSync, name: string, tag: string, digest: Digest): void {
  db.prepare("INSERT OR REPLACE INTO repository_tag (repository, tag, digest) VALUES (?, ?, ?)").run(name, tag, digest);
}

/** @param reference digest or tag; a tag has no colon */
export function findManifest(db: DatabaseSync, name: string, reference: string): KeptManifest | undefined {
  const sql = reference.includes(":")
    ? "SELECT * FROM repository_manifest WHERE repository = ? AND digest = ?"
    : `SELECT m.* FROM repository_tag t JOIN repository_manifest m USING (repository, digest)
       WHERE repository = ? AND tag = ?`;
  const row = db.prepare(sql).get(name, reference);
  if (row === undefined) return undefined;
  return {
    digest: row["digest"] as Digest,
    mediaType: String(row["media_type"]),
    sizeBytes: Number(row["size_bytes"]),
  };
}

export function removeManifest(db: DatabaseSync, name: string, digest: Digest): boolean {
  const sql = "DELETE FROM repository_manifest WHERE repository = ? AND digest = ?";
  return Number(db.prepare(sql).run(name, digest).changes) > 0;
}

export function removeTag(db: DatabaseSync, name: string, tag: string): boolean {
  const sql = "DELETE FROM repository_tag WHERE repository = ? AND tag = ?";
  return Number(db.prepare(sql).run(name, tag).changes) > 0;
}

export function listTags(db: DatabaseSync, name: string, after: string, limit: number): readonly string[] {
  const sql = "SELECT tag FROM repository_tag WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?";
  return column(db.prepare(sql).all(name, after, limit), "tag");
}

export interface ReferrerQuery {
  readonly name: string;
  readonly subject: Digest;
  readonly artifactType: string | undefined;
  readonly after: string;
  readonly limit: number;
}

export function listReferrers(db: DatabaseSync, query: ReferrerQuery): readonly Descriptor[] {
  const rows = db
    .prepare(
      `SELECT * FROM repository_manifest
       WHERE repository = ? AND subject = ? AND digest > ? AND (? IS NULL OR artifact_type = ?)
       ORDER BY digest LIMIT ?`,
    )
    .all(query.name, query.subject, query.after, query.artifactType ?? null, query.artifactType ?? null, query.limit);
  return rows.map((row) => ({
    mediaType: String(row["media_type"]),
    digest: row["digest"] as Digest,
    size: Number(row["size_bytes"]),
    ...(row["annotations"] === null ? {} : { annotations: JSON.parse(String(row["annotations"])) }),
    ...(row["artifact_type"] === null ? {} : { artifactType: String(row["artifact_type"]) }),
  }));
}

/** Manifests, and blobs that were pushed and that a manifest names: what garbage collection never takes. */
export function listKept(db: DatabaseSync): readonly Kept[] {
  const rows = db
    .prepare(
      `SELECT repository, digest, 'manifest' AS kind FROM repository_manifest
       UNION SELECT b.repository, b.digest, 'blob' FROM repository_blob b JOIN repository_reference USING (repository, digest)
       ORDER BY repository, kind, digest`,
    )
    .all();
  return rows.map((row) => ({
    repository: String(row["repository"]),
    kind: row["kind"] as Kept["kind"],
    digest: row["digest"] as Digest,
  }));
}

/** All manifests, what they name, and blobs that no manifest names but that were asked for since `freshMs`. */
export function listUsedBlobs(db: DatabaseSync, freshMs: number): readonly Digest[] {
  const rows = db
    .prepare(
      `SELECT digest FROM repository_manifest
       UNION SELECT b.digest FROM repository_blob b JOIN repository_reference USING (repository, digest)
       UNION SELECT digest FROM repository_blob WHERE used_at_ms >= ?`,
    )
    .all(freshMs);
  return column(rows, "digest") as readonly Digest[];
}
