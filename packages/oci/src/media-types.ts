import type { Descriptor } from "./types.ts";

/** Media types of image documents and layers: image-spec "OCI Image Media Types" and docker's older names for them. */
export const INDEX_TYPES: readonly string[] = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
];
export const MANIFEST_TYPES: readonly string[] = [
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.v2+json",
];
export const CONFIG_TYPES: readonly string[] = [
  "application/vnd.oci.image.config.v1+json",
  "application/vnd.docker.container.image.v1+json",
];
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";

const LAYER =
  /^application\/vnd\.(oci\.image\.layer(\.nondistributable)?\.v1\.tar(\+gzip|\+zstd)?|docker\.image\.rootfs\.(diff|foreign\.diff)\.tar(\.gzip|\.zstd)?)$/;

/** True for a tar layer, plain, gzip or zstd; the compression itself is found from the bytes. */
export function isLayerType(mediaType: string): boolean {
  return LAYER.test(mediaType);
}

/** False for a layer that must not be distributed: it stays where its URLs say. */
export function isDistributed(blob: Descriptor): boolean {
  return !((blob.urls?.length ?? 0) > 0 && /nondistributable|foreign/.test(blob.mediaType));
}
