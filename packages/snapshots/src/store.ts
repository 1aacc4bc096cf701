import type { DatabaseSync } from "node:sqlite";
import type { Migration } from "@berth/state";

/** Tables of this package. */
export const migrations: readonly Migration[] = [
  {
    package: "snapshots",
    id: 1,
    name: "create snapshot",
    sql: `
      CREATE TABLE snapshot (
        n             INTEGER PRIMARY KEY AUTOINCREMENT,  -- names the directory; never used again
        kind          TEXT NOT NULL CHECK (kind IN ('layer', 'writable')),
        name          TEXT NOT NULL,                      -- chain id or key
        parent        INTEGER REFERENCES snapshot (n),
        owner         TEXT,                               -- process that unpacks it; NULL once committed
        created_at_ms INTEGER NOT NULL,
        UNIQUE (kind, name)
      ) STRICT;
      CREATE INDEX snapshot_parent ON snapshot (parent);`,
  },
];

export type Kind = "layer" | "writable";

export interface Row {
  readonly n: number;
  readonly parent: number | undefined;
  /** Undefined once committed. */
  readonly owner: string | undefined;
}

function toRow(row: Readonly<Record<string, unknown>>): Row {
  const { n, parent, owner } = row;
  return {
    n: Number(n),
    parent: parent === null ? undefined : Number(parent),
    owner: owner === null ? undefined : String(owner),
  };
}

export function findSnapshot(db: DatabaseSync, kind: Kind, name: string): Row | undefined {
  const row = db.prepare("SELECT n, parent, owner FROM snapshot WHERE kind = ? AND name = ?").get(kind, name);
  return row === undefined ? undefined : toRow(row);
}

/** Numbers from `n` down to the first layer, `n` included. */
export function listChain(db: DatabaseSync, n: number): readonly number[] {
  const rows = db
    .prepare(
      `WITH RECURSIVE chain (n, parent, depth) AS (
         SELECT n, parent, 0 FROM snapshot WHERE n = ?
         UNION ALL
         SELECT s.n, s.parent, depth + 1 FROM chain JOIN snapshot s ON s.n = chain.parent
       ) SELECT n FROM chain ORDER BY depth`,
    )
    .all(n);
  return rows.map((row) => Number(row["n"]));
}

export function hasChildren(db: DatabaseSync, n: number): boolean {
  return db.prepare("SELECT 1 FROM snapshot WHERE parent = ? LIMIT 1").get(n) !== undefined;
}

export function listAll(db: DatabaseSync): readonly (Row & { readonly kind: Kind; readonly name: string })[] {
  const rows = db.prepare("SELECT n, parent, owner, kind, name FROM snapshot ORDER BY n").all();
  return rows.map((row) => ({ ...toRow(row), kind: row["kind"] as Kind, name: String(row["name"]) }));
}

export interface NewRow {
  readonly kind: Kind;
  readonly name: string;
  readonly parent: number | undefined;
  readonly owner: string | undefined;
}

/** Returns the number of the new snapshot. */
export function addSnapshot(db: DatabaseSync, row: NewRow): number {
  const result = db
    .prepare("INSERT INTO snapshot (kind, name, parent, owner, created_at_ms) VALUES (?, ?, ?, ?, ?)")
    .run(row.kind, row.name, row.parent ?? null, row.owner ?? null, Date.now());
  return Number(result.lastInsertRowid);
}

export function commitSnapshot(db: DatabaseSync, n: number): void {
  db.prepare("UPDATE snapshot SET owner = NULL WHERE n = ?").run(n);
}

export function removeSnapshot(db: DatabaseSync, n: number): void {
  db.prepare("DELETE FROM snapshot WHERE n = ?").run(n);
}

export function listNumbers(db: DatabaseSync): ReadonlySet<number> {
  const rows = db.prepare("SELECT n FROM snapshot").all();
  return new Set(rows.map((row) => Number(row["n"])));
}

export function listUncommitted(db: DatabaseSync): readonly Row[] {
  return db.prepare("SELECT n, parent, owner FROM snapshot WHERE owner IS NOT NULL").all().map(toRow);
}

export function listLayerNames(db: DatabaseSync): readonly string[] {
  const rows = db.prepare("SELECT name FROM snapshot WHERE kind = 'layer' AND owner IS NULL ORDER BY n").all();
  return rows.map((row) => String(row["name"]));
}
