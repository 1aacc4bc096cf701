import type { DatabaseSync } from "node:sqlite";
import type { Digest } from "@berth/oci";
import type { Migration } from "@berth/state";

/** Tables of this package. */
export const migrations: readonly Migration[] = [
  {
    package: "content",
    id: 1,
    name: "create blob",
    sql: `
      CREATE TABLE blob (
        digest        TEXT PRIMARY KEY CHECK (digest GLOB 'sha256:*' AND length(digest) = 71),
        size_bytes    INTEGER NOT NULL CHECK (size_bytes >= 0),
        created_at_ms INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;`,
  },
  {
    package: "content",
    id: 2,
    name: "blobs with sha512",
    sql: `
      CREATE TABLE blob_2 (
        digest        TEXT PRIMARY KEY CHECK (
          (digest GLOB 'sha256:*' AND length(digest) = 71) OR (digest GLOB 'sha512:*' AND length(digest) = 135)),
        size_bytes    INTEGER NOT NULL CHECK (size_bytes >= 0),
        created_at_ms INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      INSERT INTO blob_2 SELECT * FROM blob;
      DROP TABLE blob;
      ALTER TABLE blob_2 RENAME TO blob;`,
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
