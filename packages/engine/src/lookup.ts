import { type ContainerRow, findByName, findByPrefix, findContainer } from "@berth/containers";
import type { Context } from "./context.ts";
import { ambiguousContainer, noSuchContainer } from "./errors.ts";

/**
 * The container that a user means: id, then name, then unique id prefix.
 *
 * @throws {BerthError} NotFound; InvalidArgument if several ids begin so
 */
export function getRow(ctx: Context, ref: string): ContainerRow {
  const { db } = ctx.state;
  const bare = ref.startsWith("/") ? ref.slice(1) : ref;
  const row = findContainer(db, bare) ?? findByName(db, bare);
  if (row !== undefined) return row;
  if (!/^[0-9a-f]{1,64}$/.test(bare)) throw noSuchContainer(ref);
  const [first, second] = findByPrefix(db, bare);
  if (second !== undefined) throw ambiguousContainer(ref);
  if (first === undefined) throw noSuchContainer(ref);
  return first;
}
