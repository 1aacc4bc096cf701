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
  {
    package: "volumes",
    id: 2,
    name: "volumes without id-mapped mounts",
    sql: `
      -- 1: owners on the disk are the host's ids of a container in a user namespace; 0: those that containers see
      ALTER TABLE volume ADD COLUMN host_ids INTEGER NOT NULL DEFAULT 0 CHECK (host_ids IN (0, 1));`,
  },
];

export interface Row {
  readonly name: string;
  readonly containerId: string | undefined;
  readonly isPopulating: boolean;
  readonly hasHostIds: boolean;
  readonly createdAtMs: number;
}

const COLUMNS = "name, container_id, populating, host_ids, created_at_ms";

function toRow(row: Readonly<Record<string, unknown>>): Row {
  const container = row["container_id"];
  return {
    name: String(row["name"]),
    containerId: container === null ? undefined : String(container),
    isPopulating: row["populating"] === 1,
    hasHostIds: row["host_ids"] === 1,
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
  return { name, containerId, isPopulating: false, hasHostIds: false, createdAtMs };
}

export function setPopulating(db: DatabaseSync, name: string, populating: boolean): void {
  db.prepare("UPDATE volume SET populating = ? WHERE name = ?").run(populating ? 1 : 0, name);
}

export function setHostIds(db: DatabaseSync, name: string, hostIds: boolean): void {
  db.prepare("UPDATE volume SET host_ids = ? WHERE name = ?").run(hostIds ? 1 : 0, name);
}

export function removeVolume(db: DatabaseSync, name: string): void {
  db.prepare("DELETE FROM volume WHERE name = ?").run(name);
}
