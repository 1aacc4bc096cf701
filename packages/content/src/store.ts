import type { DatabaseSync } from "node:sqlite";
import type { Digest } from "@berth/oci";
import type { Migration } from "@berth/state";

/** Tables of this package. */
export const migrations: readonly Migration[] = [
  {
    package: "content",
    id: 1,
    name: "create blob and ingest",
    sql: `
      CREATE TABLE blob (
        digest        TEXT PRIMARY KEY CHECK (digest GLOB 'sha256:*' AND length(digest) = 71),
        size_bytes    INTEGER NOT NULL CHECK (size_bytes >= 0),
        created_at_ms INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE ingest (  -- a process writes the partial file of this blob
        digest TEXT PRIMARY KEY,
        owner  TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;`,
  },
];

export function findSize(db: DatabaseSync, digest: Digest): number | undefined {
  const row = db.prepare("SELECT size_bytes FROM blob WHERE digest = ?").get(digest);
  return row === undefined ? undefined : Number(row["size_bytes"]);
}

export function addBlob(db: DatabaseSync, digest: Digest, sizeBytes: number): void {
  db.prepare("INSERT OR REPLACE INTO blob (digest, size_bytes, created_at_ms) VALUES (?, ?, ?)").run(
    digest,
    sizeBytes,
    Date.now(),
  );
}

export function removeBlob(db: DatabaseSync, digest: Digest): void {
  db.prepare("DELETE FROM blob WHERE digest = ?").run(digest);
}

export function listBlobs(db: DatabaseSync): readonly { readonly digest: Digest; readonly sizeBytes: number }[] {
  const rows = db.prepare("SELECT digest, size_bytes FROM blob ORDER BY digest").all();
  return rows.map((row) => ({ digest: row["digest"] as Digest, sizeBytes: Number(row["size_bytes"]) }));
}

export function writeIngest(db: DatabaseSync, digest: Digest, owner: string): void {
  db.prepare("INSERT OR REPLACE INTO ingest (digest, owner) VALUES (?, ?)").run(digest, owner);
}

export function removeIngest(db: DatabaseSync, digest: Digest): void {
  db.prepare("DELETE FROM ingest WHERE digest = ?").run(digest);
}

export function listIngests(db: DatabaseSync): readonly { readonly digest: string; readonly owner: string }[] {
  const rows = db.prepare("SELECT digest, owner FROM ingest").all();
  return rows.map((row) => ({ digest: String(row["digest"]), owner: String(row["owner"]) }));
}
