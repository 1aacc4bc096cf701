import { BerthError } from "@berth/base";
import { type Descriptor, type Digest, familiarName } from "@berth/oci";

/** Nothing here has this name or id. */
export const noSuchImage = (ref: string): BerthError =>
  new BerthError("NotFound", `find image ${ref}: no such image`, { hint: `download it: berth pull ${ref}` });

export const ambiguous = (ref: string): BerthError =>
  new BerthError("InvalidArgument", `find image ${ref}: several images have ids that begin so`, {
    hint: "write more digits",
  });

export const inUse = (ref: string): BerthError =>
  new BerthError("FailedPrecondition", `remove image ${ref}: a container uses it`, {
    hint: "remove the container first, or force the removal",
  });

export const inUseRunning = (ref: string): BerthError =>
  new BerthError("FailedPrecondition", `remove image ${ref}: a running container uses it`, {
    hint: "stop the container first; this cannot be forced",
  });

export const isMounted = (ref: string): BerthError =>
  new BerthError("FailedPrecondition", `remove image ${ref}: it is mounted`, {
    hint: `unmount it first: berth image unmount ${ref}; this cannot be forced`,
  });

export const notItsName = (ref: string, name: string): BerthError =>
  new BerthError("NotFound", `untag image ${ref}: it has no name ${name}`, { hint: "see its names: berth images" });

export const severalNames = (ref: string, names: readonly string[]): BerthError =>
  new BerthError(
    "FailedPrecondition",
    `remove image ${ref}: it has several names (${names.map(familiarName).join(", ")})`,
    {
      hint: "remove it by its names, or force the removal",
    },
  );

export const noTag = (name: string): BerthError =>
  new BerthError("InvalidArgument", `name an image ${name}: a digest is no name`, { hint: "give it a tag: NAME:TAG" });

/** A platform of an index that was never asked for. */
export const notHere = (what: string, digest: Digest): BerthError =>
  new BerthError("FailedPrecondition", `read image ${what}: its ${digest} is not here`, {
    hint: "bring all of its index here first: berth pull --all-platforms",
  });

export const notAnImage = (what: string, type: string): BerthError =>
  new BerthError("FailedPrecondition", `read image ${what}: ${type || "an unknown type"} is no container image`, {
    hint: "it is an artifact for another tool",
  });

export const foreignSystem = (what: string, os: string): BerthError =>
  new BerthError("FailedPrecondition", `read image ${what}: the image is for ${os}, this host is linux`);

export const layerCount = (what: string, layers: number, diffIds: number): BerthError =>
  new BerthError("InvalidArgument", `read config of ${what}: ${diffIds} diff ids for ${layers} layers`, {
    hint: "the image is broken: ask its publisher",
  });

export const wrongSize = (descriptor: Descriptor, got: number): BerthError =>
  new BerthError(
    "DataLoss",
    `verify ${descriptor.digest}: it has ${got} bytes, its descriptor says ${descriptor.size}`,
  );

export const wrongDigest = (want: Digest, got: Digest): BerthError =>
  new BerthError("DataLoss", `verify manifest ${want}: it has digest ${got}`, { details: { want, got } });

/** The stored blob is not what it was when it was verified. */
export const damagedBlob = (layer: Digest, got: string): BerthError =>
  new BerthError("DataLoss", `unpack layer ${layer}: its stored bytes have digest ${got} now`, {
    hint: "the damaged copy was removed: try again; if it repeats, check the disk",
    details: { want: layer, got },
  });

export const cancelled = (what: string, cause: unknown): BerthError =>
  new BerthError("Cancelled", `read image ${what}: interrupted`, {
    hint: "the next pull goes on where this one stopped",
    cause,
  });

export const diffIdMismatch = (layer: Digest, want: Digest, got: string): BerthError =>
  new BerthError("DataLoss", `unpack layer ${layer}: its content has diff id ${got}, the configuration says ${want}`, {
    hint: "the image is broken: ask its publisher",
    details: { want, got },
  });

export const unpackFailed = (layer: Digest, why: string, cause?: unknown): BerthError =>
  new BerthError("Internal", `unpack layer ${layer}: ${why}`, { cause });

export const noKeel = (path: string, cause: unknown): BerthError =>
  new BerthError("FailedPrecondition", `start ${path}: Berth's low-level runtime is missing`, {
    hint: "build it: node scripts/build.ts keel",
    cause,
  });

export const nothingToLoad = (path: string): BerthError =>
  new BerthError("InvalidArgument", `load ${path}: neither an OCI layout nor a docker archive with an image in it`, {
    hint: "give what docker save, skopeo or buildah wrote",
  });

export const blobMissing = (digest: Digest, path: string): BerthError =>
  new BerthError("DataLoss", `save blob ${digest}: ${path} is missing or has another size`, {
    hint: "repair the store: berth system check --repair; then pull the image again",
  });

export const blobDamaged = (digest: Digest, got: string): BerthError =>
  new BerthError("DataLoss", `save blob ${digest}: its stored bytes have digest ${got} now`, {
    hint: "repair the store: berth system check --repair; then pull the image again",
    details: { want: digest, got },
  });
