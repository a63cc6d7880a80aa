/** The verbs, in the order in which `lazydisk --help` shows them. */
import { cloneVerb } from './clone.js';
import { commitVerb } from './commit.js';
import { dashboardVerb } from './dashboard.js';
import { deleteVerb } from './delete.js';
import { diffVerb } from './diff.js';
import { doctorVerb } from './doctor.js';
import { exportVerb } from './export.js';
import { flattenVerb } from './flatten.js';
import { forgetVerb } from './forget.js';
import { gcVerb } from './gc.js';
import { hydrateVerb } from './hydrate.js';
import { importVerb } from './import.js';
import { infoVerb } from './info.js';
import { initVerb } from './init.js';
import { listVerb } from './list.js';
import { mountVerb } from './mount.js';
import { profileVerb } from './profile.js';
import { restartVerb } from './restart.js';
import { revertVerb } from './revert.js';
import { statusVerb } from './status.js';
import { tagVerb } from './tag.js';
import { undeleteVerb } from './undelete.js';
import { unlockVerb } from './unlock.js';
import { unmountVerb } from './unmount.js';
import { upgradeVerb } from './upgrade.js';
import type { Verb } from './verb.js';
import { verifyVerb } from './verify.js';

export const VERBS: readonly Verb[] = [
  initVerb,
  importVerb,
  exportVerb,
  listVerb,
  infoVerb,
  diffVerb,
  cloneVerb,
  commitVerb,
  revertVerb,
  tagVerb,
  deleteVerb,
  forgetVerb,
  undeleteVerb,
  gcVerb,
  verifyVerb,
  upgradeVerb,
  unlockVerb,
  mountVerb,
  hydrateVerb,
  profileVerb,
  statusVerb,
  dashboardVerb,
  flattenVerb,
  restartVerb,
  unmountVerb,
  doctorVerb,
];
