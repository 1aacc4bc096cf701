import type { DatabaseSync } from "node:sqlite";
import type { Migration } from "@berth/state";

/** Tables of this package. */
export const migrations: readonly Migration[] = [
  {
    package: "remotes",
    id: 1,
    name: "create index_draft",
    sql: `
      CREATE TABLE index_draft (   -- manifest lists that were not pushed yet
        name    TEXT PRIMARY KEY,  -- domain/path:tag
        entries TEXT NOT NULL      -- JSON of IndexEntry[]
      ) STRICT, WITHOUT ROWID;`,
  },
];

export function findDraft(db: DatabaseSync, name: string): string | undefined {
  const row = db.prepare("SELECT entries FROM index_draft WHERE name = ?").get(name);
  return row === undefined ? undefined : String(row["entries"]);
}

export function writeDraft(db: DatabaseSync, name: string, entries: string): void {
  db.prepare("INSERT OR REPLACE INTO index_draft (name, entries) VALUES (?, ?)").run(name, entries);
}

export function removeDraft(db: DatabaseSync, name: string): boolean {
  return Number(db.prepare("DELETE FROM index_draft WHERE name = ?").run(name).changes) > 0;
}
