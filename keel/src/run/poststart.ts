import type { Spec } from "../spec/types.ts";
import { ociState, type Record } from "../state/store.ts";
import { deleteContainer } from "./kill.ts";
import { rare } from "./rare.ts";

/** A container whose poststart hook fails is stopped and deleted (runtime-spec "Lifecycle"). */
export function runPoststart(record: Record, { hooks }: Spec): void {
  if (!record.poststart) return;
  try {
    rare().runHooks("poststart", hooks && hooks.poststart, ociState(record, "running"));
  } catch (thrown) {
    deleteContainer(record.id, true);
    throw thrown;
  }
}
