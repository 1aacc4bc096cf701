import type * as create from "../run/create.ts";
import type { planCreate } from "../run/plan.ts";

/** What restore has in common with create, in whose module (entry/create.ts) it stays: nothing is in the binary twice. */
export interface Making {
  readonly planCreate: typeof planCreate;
  readonly makeFirstCgroups: typeof create.makeFirstCgroups;
  readonly makeContainerCgroups: typeof create.makeContainerCgroups;
  readonly completeDraft: typeof create.completeDraft;
  readonly prepareRecord: typeof create.prepareRecord;
  readonly undoCreate: typeof create.undoCreate;
}

declare global {
  var keelMaking: Making;
}
