import type { Migration } from "@berth/state";
export const migrations: readonly Migration[] = [];
