import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { newId } from "@berth/base";
import {
  addContainer,
  type ContainerMount,
  type ContainerSpec,
  checkSpec,
  findByName,
  listContainers,
  planArgs,
  planAutoUserns,
  planContainerMount,
  planMounts,
  randomName,
  setCreated,
  type UserNamespaceSpec,
  usernsOf,
} from "@berth/containers";
import type { Image } from "@berth/images";
import { removeWhole } from "./cleanup.ts";
import { type Context, leaseOf, pathsOf } from "./context.ts";
import { nameTaken, noSource } from "./errors.ts";
import { getRow } from "./lookup.ts";
import { obtainImage } from "./obtain.ts";
import type { CreateOptions } from "./types.ts";

/** Makes a container that can be started; returns its id. Nothing stays of one that cannot be made. */
export async function create(ctx: Context, spec: ContainerSpec, options: CreateOptions): Promise<string> {
  checkSpec(spec);
  // A name that is taken is told before minutes of pulling; the row below decides.
  if (spec.name !== undefined) refuseTaken(ctx, spec.name);
  const image = await obtainImage(ctx, spec.image, options);
  const id = newId();
  using _lease = await ctx.state.lease(leaseOf(id));
  const full = addRow(ctx, id, spec, image);
  try {
    const mounts = makeMounts(ctx, id, spec, image);
    await ctx.snapshots.prepare(id, image.chainId, { volatile: spec.autoRemove, ids: usernsOf(full) });
    mkdirSync(pathsOf(ctx.config, id).data, { recursive: true, mode: 0o710 });
    ctx.state.transaction(() => setCreated(ctx.state.db, id, mounts, options.own ? ctx.state.owner : undefined));
  } catch (error) {
    await removeWhole(ctx, getRow(ctx, id), true);
    throw error;
  }
  return id;
}

function refuseTaken(ctx: Context, name: string): void {
  const other = findByName(ctx.state.db, name);
  if (other !== undefined) throw nameTaken(name, other.id);
}

/** Returns the specification with what the host chose of it. */
function addRow(ctx: Context, id: string, wanted: ContainerSpec, image: Image): ContainerSpec {
  const { db, owner } = ctx.state;
  const args = planArgs(wanted, image.config);
  return ctx.state.transaction(() => {
    const spec = wanted.userns?.kind === "auto" ? { ...wanted, userns: freeUserns(ctx, wanted.userns.size) } : wanted;
    ctx.images.get(image.id); // removed meanwhile?
    let name = spec.name ?? randomName();
    if (spec.name !== undefined) refuseTaken(ctx, spec.name);
    else while (findByName(db, name) !== undefined) name = randomName(true);
    const row = { id, name, imageId: image.id, imageName: spec.image, spec, args, createdAtMs: Date.now() };
    addContainer(db, row, owner);
    return spec;
  });
}

function freeUserns(ctx: Context, size: number): UserNamespaceSpec {
  const used = listContainers(ctx.state.db).flatMap(({ spec }) => (spec.userns === undefined ? [] : [spec.userns]));
  return planAutoUserns(size, used, { subuid: readIfThere("/etc/subuid"), subgid: readIfThere("/etc/subgid") });
}

function readIfThere(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

/** Volumes come into being with the container, named or not; sources of binds must be there, or are made for `-v`. */
function makeMounts(ctx: Context, id: string, spec: ContainerSpec, image: Image): readonly ContainerMount[] {
  return planMounts(spec, image.config).map((mount) => {
    if (mount.kind === "tmpfs") return planContainerMount(mount, "", "");
    if (mount.kind === "bind") {
      ensureSource(mount.source, mount.createSource);
      return planContainerMount(mount, mount.source, "");
    }
    const volume = mount.source === undefined ? ctx.volumes.createAnonymous(id) : ctx.volumes.ensure(mount.source);
    return planContainerMount(mount, volume.path, volume.name);
  });
}

function ensureSource(path: string, create: boolean): void {
  if (existsSync(path)) return;
  if (!create) throw noSource(path);
  mkdirSync(path, { recursive: true });
}
