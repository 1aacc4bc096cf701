import type { DatabaseSync } from "node:sqlite";
import type { Migration } from "@berth/state";

/** Tables of this package. */
export const migrations: readonly Migration[] = [
  {
    package: "volumes",
    id: 1,
    name: "create volume",
    sql: `
      CREATE TABLE volume (
        name          TEXT PRIMARY KEY,
        container_id  TEXT,                       -- whom an anonymous volume was made for; NULL for named ones
        populating    INTEGER NOT NULL DEFAULT 0  -- a copy of the image's content has begun and not ended
                      CHECK (populating IN (0, 1)),
        created_at_ms INTEGER NOT NULL            -- Unix time, UTC
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX volume_container ON volume (container_id) WHERE container_id IS NOT NULL;`,
  },
];

export interface Row {
  readonly name: string;
  readonly containerId: string | undefined;
  readonly isPopulating: boolean;
  readonly createdAtMs: number;
}

const COLUMNS = "name, container_id, populating, created_at_ms";

function toRow(row: Readonly<Record<string, unknown>>): Row {
  const container = row["container_id"];
  return {
    name: String(row["name"]),
    containerId: container === null ? undefined : String(container),
    isPopulating: row["populating"] === 1,
    createdAtMs: Number(row["created_at_ms"]),
  };
}

export function findVolume(db: DatabaseSync, name: string): Row | undefined {
  const row = db.prepare(`SELECT ${COLUMNS} FROM volume WHERE name = ?`).get(name);
  return row === undefined ? undefined : toRow(row);
}

export function listVolumes(db: DatabaseSync): readonly Row[] {
  return db.prepare(`SELECT ${COLUMNS} FROM volume ORDER BY name`).all().map(toRow);
}

export function listVolumesOf(db: DatabaseSync, containerId: string): readonly Row[] {
  return db.prepare(`SELECT ${COLUMNS} FROM volume WHERE container_id = ? ORDER BY name`).all(containerId).map(toRow);
}

export function addVolume(db: DatabaseSync, name: string, containerId: string | undefined): Row {
  const createdAtMs = Date.now();
  db.prepare("INSERT INTO volume (name, container_id, created_at_ms) VALUES (?, ?, ?)").run(
    name,
    containerId ?? null,
    createdAtMs,
  );
  return { name, containerId, isPopulating: false, createdAtMs };
}

export function setPopulating(db: DatabaseSync, name: string, populating: boolean): void {
  db.prepare("UPDATE volume SET populating = ? WHERE name = ?").run(populating ? 1 : 0, name);
}

export function removeVolume(db: DatabaseSync, name: string): void {
  db.prepare("DELETE FROM volume WHERE name = ?").run(name);
}
