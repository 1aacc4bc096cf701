import type { DatabaseSync } from "node:sqlite";
import type { Migration } from "./types.ts";

/** Tables of this package; `openState` adds them to the list it is given. */
export const migrations: readonly Migration[] = [
  {
    package: "state",
    id: 1,
    name: "create lease and hold",
    sql: `
      CREATE TABLE lease (
        name  TEXT PRIMARY KEY,
        owner TEXT NOT NULL,  -- pid:starttime:boot-id
        token TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE hold (
        name  TEXT NOT NULL,
        token TEXT NOT NULL,
        owner TEXT NOT NULL,
        PRIMARY KEY (name, token)
      ) STRICT, WITHOUT ROWID;`,
  },
];

export function createMigrationTable(db: DatabaseSync): void {
  db.exec(`CREATE TABLE IF NOT EXISTS migration (
    package TEXT NOT NULL,
    id      INTEGER NOT NULL,
    name    TEXT NOT NULL,
    PRIMARY KEY (package, id)
  ) STRICT, WITHOUT ROWID`);
}

/** `package/id` of every migration the database has. */
export function listApplied(db: DatabaseSync): ReadonlySet<string> {
  const rows = db.prepare("SELECT package, id FROM migration").all();
  return new Set(rows.map((row) => `${row["package"]}/${row["id"]}`));
}

export function applyMigration(db: DatabaseSync, migration: Migration): void {
  db.exec(migration.sql);
  db.prepare("INSERT INTO migration (package, id, name) VALUES (?, ?, ?)").run(
    migration.package,
    migration.id,
    migration.name,
  );
}

export function readUserVersion(db: DatabaseSync): number {
  return Number(db.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
}

export function findLeaseOwner(db: DatabaseSync, name: string): string | undefined {
  const row = db.prepare("SELECT owner FROM lease WHERE name = ?").get(name);
  return row === undefined ? undefined : String(row["owner"]);
}

export function writeLease(db: DatabaseSync, name: string, owner: string, token: string): void {
  db.prepare("INSERT OR REPLACE INTO lease (name, owner, token) VALUES (?, ?, ?)").run(name, owner, token);
}

export function removeLease(db: DatabaseSync, name: string, token: string): void {
  db.prepare("DELETE FROM lease WHERE name = ? AND token = ?").run(name, token);
}

export function addHolds(db: DatabaseSync, names: readonly string[], token: string, owner: string): void {
  const insert = db.prepare("INSERT OR IGNORE INTO hold (name, token, owner) VALUES (?, ?, ?)");
  for (const name of names) insert.run(name, token, owner);
}

export function removeHolds(db: DatabaseSync, token: string): void {
  db.prepare("DELETE FROM hold WHERE token = ?").run(token);
}

export function listHoldOwners(db: DatabaseSync): readonly string[] {
  return db
    .prepare("SELECT DISTINCT owner FROM hold")
    .all()
    .map((row) => String(row["owner"]));
}

/** Everything that a dead process held. */
export function forgetOwner(db: DatabaseSync, owner: string): void {
  db.prepare("DELETE FROM hold WHERE owner = ?").run(owner);
  db.prepare("DELETE FROM lease WHERE owner = ?").run(owner);
}

export function listHolds(db: DatabaseSync): readonly string[] {
  return db
    .prepare("SELECT DISTINCT name FROM hold")
    .all()
    .map((row) => String(row["name"]));
}
